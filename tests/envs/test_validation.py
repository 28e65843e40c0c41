"""Wrong numbers from an environment are told by name, whenever they come."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from toy import ToyEnv
from validated_env import ValidatedEnv

from manybody.envs import validation
from manybody.envs.base import EnvError, EnvSpec
from manybody.envs.gymnasium import WrappedVectorEnv, vectorized
from manybody.envs.registration import create_vec_env, register
from manybody.envs.validation import check_value, layout_of


class Bent(ToyEnv):
    """A toy environment that bends what it returns."""

    def __init__(self, obs=None, step=None, **spec):
        super().__init__(4)
        self.bend_obs, self.bend_step = obs, step
        for key, value in spec.items():
            object.__setattr__(self.spec, key, value)

    def reset(self):
        obs = super().reset()
        return self.bend_obs(obs) if self.bend_obs else obs

    def step(self, actions):
        step = super().step(actions)
        return self.bend_step(step) if self.bend_step else step


def with_nan(obs):
    obs["obs"][[1, 3], 0] = float("nan")
    return obs


@pytest.mark.parametrize(
    ("bend", "message"),
    [
        (
            lambda obs: obs["obs"],
            r"bent: reset\(\): got a tensor \(4, 3\) of torch.float32; expected a dict \{'obs': ...\}",
        ),
        (lambda obs: {"observation": obs["obs"]}, r"got a dict with the keys \['observation'\]"),
        (
            lambda obs: {"obs": obs["obs"][:3]},
            r"'obs': got a tensor \(3, 3\) .*; expected a tensor \(4, 3\) of",
        ),
        (lambda obs: {"obs": obs["obs"].double()}, r"of torch.float64; expected .* of torch.float32"),
        (lambda obs: {"obs": obs["obs"].numpy()}, r"got an array \(4, 3\) of float32; expected a tensor \(4, 3\)"),
        (with_nan, r"bent: reset\(\) 'obs': got NaN or infinity in row 1 \(2 of 4 rows\)"),
        (lambda obs: obs | {"action_masks": torch.ones(4, 2)}, r"'action_masks': got a tensor \(4, 2\)"),
    ],
)
def test_observations(bend, message):
    with pytest.raises(EnvError, match=message):
        ValidatedEnv(Bent(bend), "bent").reset()


def test_states_and_keys():
    box = spaces.Box(-1.0, 1.0, (3,))
    with pytest.raises(EnvError, match=r"got no 'states'; expected them, as its spec has a state_space"):
        ValidatedEnv(Bent(state_space=box), "bent").reset()
    both = spaces.Dict({"left": box, "right": box})
    with pytest.raises(
        EnvError, match=r"'obs': got a tensor \(4, 3\) .*; expected a dict with the keys \['left', 'right'\]"
    ):
        ValidatedEnv(Bent(observation_space=both), "bent").reset()
    one = Bent(lambda obs: {"obs": {"left": obs["obs"]}}, observation_space=both)
    with pytest.raises(
        EnvError, match=r"got a dict with the keys \['left'\]; expected a dict with the keys \['left', 'right'\]"
    ):
        ValidatedEnv(one, "bent").reset()


@pytest.mark.parametrize(
    ("bend", "message"),
    [
        (tuple, r"bent: step\(\): got tuple; expected a manybody.Step"),
        (
            lambda x: x._replace(reward=x.reward[:2]),
            r"reward: got a tensor \(2,\) .*expected a tensor \(4,\)",
        ),
        (
            lambda x: x._replace(reward=x.reward.unsqueeze(1).repeat(1, 2)),
            r"\(4, 2\).*expected a tensor \(4, 1\)",
        ),
        (lambda x: x._replace(terminated=x.terminated.float()), r"terminated: got .*float32; .*torch.bool"),
        (lambda x: x._replace(truncated=None), r"truncated: got None"),
        (lambda x: x._replace(final_obs={}), r"final_obs: got a dict with the keys \[\]"),
        (lambda x: x._replace(extras=None), "extras: got None"),
    ],
)
def test_steps(bend, message):
    env = ValidatedEnv(Bent(step=bend), "bent")
    env.reset()
    with pytest.raises(EnvError, match=message):
        env.step(torch.zeros(4, 2))


WRONG_LATER = [
    (lambda x: x._replace(obs={"obs": x.obs["obs"][:, :1]}), r"'obs': got a tensor \(4, 1\)"),
    (lambda x: x._replace(obs={"obs": x.obs["obs"].double()}), r"'obs': got .* of torch.float64"),
    (lambda x: x._replace(obs=x.obs["obs"]), r"got a tensor .* expected a dict"),
    (lambda x: x._replace(final_obs={"obs": x.obs["obs"][:1]}), r"final_obs 'obs': got a tensor \(1, 3\)"),
    (lambda x: x._replace(reward="x"), "reward: got 'x'; expected a tensor"),
    (lambda x: x._replace(terminated=x.terminated.float()), "terminated: got .* of torch.float32"),
    (lambda x: x._replace(extras=None), "extras: got None"),
    (lambda x: None, "got NoneType; expected a manybody.Step"),
]


@pytest.mark.parametrize(("bend", "message"), WRONG_LATER)
def test_a_later_step_is_as_good_as_the_first(bend, message):
    env = ValidatedEnv(Bent(), "bent")
    env.reset()
    for _ in range(2):
        env.step(torch.zeros(4, 2))
    env.vec_env.bend_step = bend
    with pytest.raises(EnvError, match=rf"^bent: step\(\).*{message}"):
        env.step(torch.zeros(4, 2))


def test_only_another_layout_is_looked_at_again(monkeypatch):
    looked = []
    monkeypatch.setattr(validation, "check_step", lambda *_: looked.append("step"))
    env = ValidatedEnv(ToyEnv(4), "toy")
    env.reset()
    for _ in range(9):
        env.step(torch.zeros(4, 2))
    assert looked == ["step"]
    env.vec_env.gives_final_obs = False  # is right, too
    for _ in range(9):
        env.step(torch.zeros(4, 2))
    assert looked == ["step"] * 2


def test_a_list_may_hide_another_shape_and_is_always_looked_at():
    assert layout_of([1.0]) != layout_of([1.0])
    assert layout_of({"a": np.zeros(2)}) == layout_of({"a": np.ones(2)}) != layout_of({"a": np.zeros(3)})
    assert layout_of({"a": 1.0}) != layout_of({"b": 1.0})


@pytest.mark.parametrize("shape", [(), (0,), (2, 0)])
def test_a_space_without_numbers_or_axes_is_refused(shape):
    register("bent", lambda num_actors, seed: Bent(observation_space=spaces.Box(-1.0, 1.0, shape)))
    with pytest.raises(EnvError, match=r"observation space of 'bent': got Box.*a single one has the shape"):
        create_vec_env("bent", 4, seed=0)


def test_a_spec_is_frozen_until_a_test_bends_it():
    with pytest.raises(AttributeError):
        EnvSpec(spaces.Box(0, 1, (1,)), spaces.Discrete(2)).num_agents = 2


class Single(gymnasium.Env):
    observation_space = spaces.Dict({"image": spaces.Box(0, 255, (2,), np.uint8), "pose": spaces.Box(-1, 1, (3,))})
    action_space = spaces.Discrete(2)

    def __init__(self, reset=None, step=None):
        good = {"image": np.zeros(2, np.uint8), "pose": np.zeros(3, np.float32)}
        self.results = (
            (good, {}) if reset is None else reset,
            (good, 0.0, False, False, {}) if step is None else step,
        )

    def reset(self, *, seed=None, options=None):
        return self.results[0]

    def step(self, action):
        return self.results[1]


GOOD = {"image": np.zeros(2, np.uint8), "pose": np.zeros(3, np.float32)}


@pytest.mark.parametrize(
    ("reset", "step", "message"),
    [
        (({"image": GOOD["image"]}, {}), None, r"one: reset\(\) observation: got a dict with the keys \['image'\]"),
        (
            (GOOD | {"pose": np.zeros(4)}, {}),
            None,
            r"observation\['pose'\]: got an array \(4,\) of float64; expected",
        ),
        (
            (GOOD | {"image": np.zeros(2)}, {}),
            None,
            r"\['image'\]: got an array \(2,\) of float64; expected \(2,\) of",
        ),
        (np.zeros(3), None, r"reset\(\): got an array .*; expected \(observation, info\)"),
        (
            None,
            (GOOD, 0.0, False, {}),
            r"one: step\(\): got 4 values; expected \(observation, reward, terminated",
        ),
        (
            None,
            (GOOD, "x", False, False, {}),
            r"step\(\) reward: got 'x'; expected one number",
        ),
        (
            None,
            (GOOD, np.zeros(2), False, False, {}),
            r"step\(\) reward: got an array \(2,\) of float64; expected one number",
        ),
    ],
)
def test_a_gymnasium_environment_before_it_enters_a_batch(reset, step, message):
    env = WrappedVectorEnv(vectorized(lambda: Single(reset, step), 2, "sync", "one"), env_name="one")
    with pytest.raises(EnvError, match=message):
        env.reset()
        env.step(torch.zeros(2, dtype=torch.int64))


@pytest.mark.filterwarnings("ignore")
def test_an_error_in_another_process_arrives_as_it_is():
    env = WrappedVectorEnv(vectorized(lambda: Single(np.zeros(3)), 2, "async", "one"), env_name="one")
    with pytest.raises(EnvError, match=r"one: reset\(\): got an array .*; expected \(observation, info\)"):
        env.reset()
    env.env.close(terminate=True)


@pytest.mark.parametrize(
    ("declared", "given", "fits"),
    [
        (np.float32, np.zeros(3), True),
        (np.float32, np.zeros(3, np.int64), True),
        (np.int8, np.ones(3, np.int64), True),
        (np.int8, np.ones(3), False),
        (np.uint8, np.ones(3, bool), False),
        (np.float32, ["a", "b", "c"], False),
        (np.float32, [[1.0], [1.0, 2.0], 3.0], False),
        (np.float32, None, False),
    ],
)
def test_what_numpy_casts_within_a_kind_is_right(declared, given, fits):
    space = spaces.Box(0, 9, (3,), declared)
    if fits:
        check_value("it", given, space)
        return
    with pytest.raises(EnvError, match=r"^it: got .*; expected \(3,\) of u?(int|float)"):
        check_value("it", given, space)
