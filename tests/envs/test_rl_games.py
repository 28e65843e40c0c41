"""RL Games' protocol and registers: what its clients write works, whatever it returns."""

import gymnasium
import numpy as np
import pytest
import torch
from counting_env import Counting, reference_rows
from gymnasium import spaces
from rl_games.common.ivecenv import IVecEnv as RLGamesIVecEnv
from toy import ToyEnv
from validated_env import ValidatedEnv

from manybody.envs import env_configurations, vecenv
from manybody.envs.base import EnvError
from manybody.envs.registration import create_vec_env
from manybody.envs.rl_games import RLGamesVecEnv
from manybody.envs.vecenv import IVecEnv


@pytest.fixture(autouse=True)
def _registers():
    """Registers as they were before."""
    saved = dict(env_configurations.configurations), dict(vecenv.vecenv_config)
    yield
    for register, before in zip((env_configurations.configurations, vecenv.vecenv_config), saved, strict=True):
        register.clear()
        register.update(before)


class Protocol:
    """Two environments of ``agents`` rows; episodes last two steps, those of the even rows end by time.

    Args:
        kind: what makes its arrays, ``np.asarray`` or ``torch.as_tensor``.
    """

    def __init__(self, kind=np.asarray, agents=1, states=False, **info):
        self.kind, self.agents, self.states, self.info = kind, agents, states, info
        self.rows = 2 * agents
        self.buffer = kind(np.zeros((self.rows, 3), np.float32))
        self.t, self.weights = 0, []

    def get_env_info(self):
        box = spaces.Box(-9.0, 9.0, (3,))
        info = {"observation_space": box, "action_space": spaces.Discrete(4), **self.info}
        return info | ({"agents": self.agents} if self.agents > 1 else {}) | self._state_space()

    def _state_space(self):
        return {"state_space": spaces.Box(-9.0, 9.0, (2,))} if self.states else {}

    def _obs(self):
        self.buffer[:] = self.t  # the same memory every time, as simulators do
        return (
            {"obs": self.buffer, "states": self.kind(np.full((2, 2), self.t, np.float32))}
            if self.states
            else self.buffer
        )

    def reset(self):
        self.t = 0
        return self._obs()

    def step(self, actions):
        self.actions = actions
        self.t += 1
        done = self.kind(np.full(self.rows, self.t % 2 == 0, np.uint8))
        even = self.kind(np.arange(self.rows) % 2 == 0)
        rewards = self.kind(np.arange(self.rows, dtype=np.float64))
        return (
            self._obs(),
            rewards,
            done,
            {"time_outs": even, "scores": rewards, "episode": {"a": 1.0}, "name": "x"},
        )

    def set_weights(self, indices, weights):
        self.weights.append((indices, weights))


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_a_client_registers_and_names_his_environment(kind):
    vecenv.register("MYENV", lambda config_name, num_actors, **kw: Protocol(kind, **kw))
    env_configurations.register("myenv", {"vecenv_type": "MYENV", "env_creator": lambda **kw: None})
    env = create_vec_env("myenv", 2, seed=None)
    first = env.reset()["obs"]
    one, two = env.step(torch.tensor([3, 1])), env.step(torch.tensor([0, 2]))
    assert type(env.actions) is (np.ndarray if kind is np.asarray else torch.Tensor)
    assert env.actions.tolist() == [0, 2]
    assert (first.tolist(), one.obs["obs"].tolist()) == (
        [[0.0] * 3] * 2,
        [[1.0] * 3] * 2,
    )  # kept as they were
    assert one.reward.tolist() == [0.0, 1.0] and one.reward.dtype == torch.float32
    assert not one.done.any()  # time_outs without an end are none
    assert (two.truncated.tolist(), two.terminated.tolist()) == ([True, False], [False, True])
    assert two.final_obs is None
    assert two.extras["scores"].tolist() == [0.0, 1.0] and two.extras["episode"] == {"a": 1.0}
    assert "time_outs" not in two.extras


def test_states_agents_and_value_size():
    env = RLGamesVecEnv(Protocol(torch.as_tensor, agents=3, states=True, value_size=1), 2)
    assert env.get_env_info()["agents"] == 3 and env.get_env_info()["state_space"].shape == (2,)
    obs = env.reset()
    assert obs["obs"].shape == (6, 3) and obs["states"].shape == (2, 2)
    assert env.step(torch.zeros(6, dtype=torch.int64)).reward.shape == (6,)


def test_without_time_outs_every_end_is_final():
    class Old(Protocol):
        def step(self, actions):
            return (*super().step(actions)[:3], [{}, {}])

    env = RLGamesVecEnv(Old(), 2)
    env.reset()
    env.step(torch.zeros(2, dtype=torch.int64))
    step = env.step(torch.zeros(2, dtype=torch.int64))
    assert step.terminated.all() and not step.truncated.any() and step.extras == {}


def test_what_the_object_can_do_besides():
    env = RLGamesVecEnv(Protocol(), 2)
    env.set_weights([0], "weights")
    assert env.ivecenv.weights == [([0], "weights")] and env.rows == 2
    with pytest.raises(AttributeError, match="reset_done"):
        env.reset_done()
    assert env.get_action_masks() is None and env.get_env_state() is None and not env.restores_exactly
    env.set_train_info(5, None)
    env.set_env_state({})
    env.close()


@pytest.mark.parametrize("base", [IVecEnv, RLGamesIVecEnv])
def test_masks_curricula_and_closing(base):
    class Full(Protocol, base):
        level = 0

        def get_action_masks(self):
            return np.array([[1, 0, 0, 1]] * 2, np.uint8)

        def set_train_info(self, frames, agent):
            self.level = frames

        def get_env_state(self):
            return {"level": self.level}

        def set_env_state(self, state):
            self.level = state["level"]

        def close(self):
            self.level = None

    env = RLGamesVecEnv(Full(), 2)
    env.set_train_info(7, "agent")
    state = env.get_env_state()
    env.set_train_info(9, "agent")
    env.set_env_state(state)
    assert state == {"level": 7} and env.level == 7
    assert env.get_action_masks().tolist() == [[True, False, False, True]] * 2
    env.close()
    assert env.level is None


def test_a_type_ray_runs_single_environments_without_ray():
    env_configurations.register("counting", {"vecenv_type": "RAY", "env_creator": lambda length: Counting(length)})
    env = create_vec_env("counting", 2, seed=3, length=2, vectorization="async", ray_config={"num_cpus": 2})
    env.reset()
    expected = reference_rows(2, [1] * 6)
    for t in range(6):
        step = env.step(torch.tensor([1, 1]))
        assert step.obs["obs"][1].tolist() == expected[t][0] and step.reward[1] == expected[t][1]
        assert [bool(step.terminated[1]), bool(step.truncated[1])] == list(expected[t][2:4])
    env.close()


def test_a_creator_of_something_else_is_told():
    env_configurations.register("old", {"vecenv_type": "RAY", "env_creator": lambda: Protocol()})
    with pytest.raises(EnvError, match=r"old: its creator returned Protocol; expected a gymnasium.Env"):
        create_vec_env("old", 2)


def test_a_type_may_make_a_vec_env_of_ours():
    vecenv.register("TOY", lambda config_name, num_actors, **kw: ToyEnv(num_actors))
    env_configurations.register("toy1", {"vecenv_type": "TOY"})
    assert isinstance(create_vec_env("toy1", 3), ToyEnv)


def test_what_is_missing_is_told():
    env_configurations.register("typeless", {"env_creator": gymnasium.make})
    with pytest.raises(
        EnvError,
        match=r"'typeless' has vecenv_type None; expected one of \['ENVPOOL', 'GYMNASIUM', 'MJLAB', 'RAY'\]",
    ):
        create_vec_env("typeless", 1)
    with pytest.raises(EnvError, match=r"vecenv: got object, without step, reset, get_env_info; expected a manybody"):
        RLGamesVecEnv(object(), 1)

    class Bare(Protocol):
        def get_env_info(self):
            return {"action_space": spaces.Discrete(2)}

    with pytest.raises(
        EnvError, match=r"Bare: get_env_info\(\): got .*\['action_space'\]; expected 'observation_space', 'action"
    ):
        RLGamesVecEnv(Bare(), 1)

    class Five(Protocol):
        def step(self, actions):
            return (*super().step(actions), 1)

    five = RLGamesVecEnv(Five(), 2, "five")
    five.reset()
    with pytest.raises(EnvError, match=r"five: step\(\): got 5 values; expected obs, rewards, dones, infos"):
        five.step(torch.zeros(2, dtype=torch.int64))
    vecenv.register("SHORT", lambda config_name, num_actors, **kw: Protocol())
    env_configurations.register("short", {"vecenv_type": "SHORT"})
    with pytest.raises(EnvError, match=r"short: reset\(\) 'obs': got a tensor \(2, 3\) .*; expected a tensor \(5, 3\)"):
        ValidatedEnv(create_vec_env("short", 5), "short").reset()


@pytest.mark.parametrize(
    ("place", "given", "message"),
    [
        (0, "x", r"'obs': got 'x'; expected numbers"),
        (1, ["x", "y"], r"rewards: got \['x', 'y'\]; expected numbers"),
        (2, np.ones(1), r"dones: got the shape \(1,\); expected \(2,\)"),
        (2, None, r"dones: got None; expected numbers"),
        (3, {"time_outs": np.ones(1)}, r"infos\['time_outs'\]: got the shape \(1,\); expected \(2,\)"),
        (3, {"time_outs": torch.ones(2, 2)}, r"infos\['time_outs'\]: got the shape \(2, 2\)"),
    ],
)
def test_what_cannot_be_read_is_told(place, given, message):
    class Bent(Protocol):
        def step(self, actions):
            return tuple(given if place == i else part for i, part in enumerate(super().step(actions)))

    env = RLGamesVecEnv(Bent(), 2, "bent")
    env.reset()
    with pytest.raises(EnvError, match=rf"^bent: step\(\) {message}"):
        env.step(torch.zeros(2, dtype=torch.int64))


def test_a_resumed_run_has_the_curriculum_and_begins_new_episodes(make_agent):
    class Curriculum(ToyEnv):
        restores_exactly, level = False, 0

        def get_env_state(self):
            return {"level": self.level}

        def set_env_state(self, state):
            self.level = state["level"]

    agent = make_agent(Curriculum())
    agent.init_tensors()
    agent.obs = agent.env_reset()
    agent.vec_env.level = 3
    resumed = make_agent(Curriculum())
    resumed.set_full_state_weights(agent.get_full_state_weights())
    assert resumed.vec_env.level == 3 and not resumed.obs


class Listing(Protocol):
    """Its infos are a list with one dictionary of each environment, as of single environments in RL Games."""

    def step(self, actions):
        obs, rewards, dones, _ = super().step(actions)
        cut = {"TimeLimit.truncated": True}
        return obs, rewards[:, None], dones[:, None], [{"scores": 3.0, **cut}, {"scores": 5.0, "won": True}]


def test_infos_of_each_environment():
    env = RLGamesVecEnv(Listing(), 2)
    env.reset()
    one, two = (env.step(torch.zeros(2, dtype=torch.int64)) for _ in range(2))
    assert one.extras["scores"].tolist() == [3.0, 5.0] and one.extras["_won"].tolist() == [False, True]
    assert not one.done.any() and "TimeLimit.truncated" not in one.extras
    assert (two.truncated.tolist(), two.terminated.tolist()) == ([True, False], [False, True])


def test_infos_of_each_environment_of_several_agents():
    env = RLGamesVecEnv(Listing(agents=2), 2)
    env.reset()
    env.step(torch.zeros(4, dtype=torch.int64))
    assert env.step(torch.zeros(4, dtype=torch.int64)).truncated.tolist() == [True, True, False, False]


def _strict(config_name, num_actors):
    return Protocol()


def _forwarding(config_name, num_actors, **kwargs):
    return _strict(config_name, num_actors, **kwargs)


@pytest.mark.parametrize("creator", [_strict, _forwarding])
def test_a_creator_that_takes_no_seed_gets_none(creator):
    vecenv.register("STRICT", creator)
    env_configurations.register("strict", {"vecenv_type": "STRICT"})
    assert isinstance(create_vec_env("strict", 2, seed=3).ivecenv, Protocol)
    with pytest.raises(TypeError, match="unexpected keyword argument 'speed'"):
        create_vec_env("strict", 2, seed=3, speed=1)


def test_a_creator_that_takes_a_seed_gets_it():
    given = []
    vecenv.register("SEEDED", lambda config_name, num_actors, **kw: given.append(kw) or Protocol())
    env_configurations.register("seeded", {"vecenv_type": "SEEDED"})
    create_vec_env("seeded", 2, seed=3, speed=1)
    assert given == [{"seed": 3, "speed": 1}]
