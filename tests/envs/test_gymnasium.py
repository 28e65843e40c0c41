"""Gymnasium environments as a VecEnv: same numbers, reset in the step that ends an episode."""

import os
import signal

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from manybody.envs.base import EnvError
from manybody.envs.gymnasium import GymnasiumEnv, WrappedVectorEnv, vectorized
from manybody.envs.registration import create_vec_env


class Counter(gymnasium.Env):
    """Observes its step and the action; terminates after ``length`` steps, is truncated after ``limit``."""

    observation_space = spaces.Box(-100.0, 100.0, (2,), np.float32)
    action_space = spaces.Box(-2.0, 2.0, (1,), np.float32)

    def __init__(self, length=3, limit=99):
        self.length, self.limit = length, limit

    def _obs(self, action=0.0):
        return np.array([self.count, action], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._obs(), {}

    def step(self, action):
        self.count += 1
        return (
            self._obs(action[0]),
            10.0 * self.count,
            self.count >= self.length,
            self.count >= self.limit,
            {},
        )


@pytest.fixture(autouse=True, scope="module")
def counter():
    gymnasium.register("Counter-v0", Counter)
    yield
    del gymnasium.registry["Counter-v0"]


def steps(env, number):
    env.reset()
    return [env.step(torch.full((env.num_envs, 1), 0.5)) for _ in range(number)]


def test_steps_within_an_episode():
    first, second = steps(GymnasiumEnv("Counter-v0", 2), 2)
    assert first.obs["obs"].tolist() == [[1.0, 0.5]] * 2 and second.obs["obs"].tolist() == [[2.0, 0.5]] * 2
    assert second.reward.tolist() == [20.0, 20.0] and second.reward.dtype == torch.float32
    assert not second.done.any()


def test_an_ended_episode_shows_its_last_observation_and_the_first_of_the_next():
    *_, last, after = steps(GymnasiumEnv("Counter-v0", 2), 4)
    assert last.terminated.tolist() == [True, True] and not last.truncated.any()
    assert last.obs["obs"].tolist() == [[0.0, 0.0]] * 2  # of the new episode
    assert last.final_obs["obs"].tolist() == [[3.0, 0.5]] * 2  # of the old one, not written over it
    assert last.reward.tolist() == [30.0, 30.0]
    assert after.obs["obs"].tolist() == [[1.0, 0.5]] * 2


def test_time_running_out_is_a_truncation_and_ending_wins_over_it():
    last = steps(GymnasiumEnv("Counter-v0", 2, limit=2), 2)[-1]
    assert last.truncated.all() and not last.terminated.any()
    last = steps(GymnasiumEnv("Counter-v0", 2, length=2, limit=2), 2)[-1]
    assert last.terminated.all() and not last.truncated.any()


def test_steps_that_were_given_stay_as_they_are():
    one, two = steps(GymnasiumEnv("Counter-v0", 1), 2)
    assert one.obs["obs"][0, 0] == 1.0 and one.reward[0] == 10.0 and two.obs["obs"][0, 0] == 2.0


def test_sizes():
    env = GymnasiumEnv("Pendulum-v1", 3)
    info = env.get_env_info()
    assert info["observation_space"].shape == (3,) and info["action_space"].high.tolist() == [2.0]
    assert (env.num_envs, info["agents"], info["value_size"]) == (3, 1, 1)
    assert env.reset()["obs"].shape == (3, 3) and env.get_env_state() is None
    env.close()


def test_the_seed_decides_the_first_episodes_and_is_used_once():
    one, same, other = (GymnasiumEnv("Pendulum-v1", 3, seed=seed) for seed in (1, 1, 2))
    first = one.reset()["obs"]
    assert torch.equal(first, same.reset()["obs"]) and not torch.equal(first, other.reset()["obs"])
    assert not torch.equal(first[0], first[1])  # every copy has its own
    assert not torch.equal(first, one.reset()["obs"])


def test_what_cannot_be_made_is_told():
    with pytest.raises(EnvError, match=r"observation space of 'FrozenLake-v1': got Discrete\(16\); expected a Box"):
        create_vec_env("FrozenLake-v1", 1)
    with pytest.raises(EnvError, match="vectorization: got 'ray'; expected 'sync' or 'async'"):
        GymnasiumEnv("Pendulum-v1", 1, vectorization="ray")
    with pytest.raises(EnvError, match=r"cannot make 'nowhere:Pendulum-v1'.*No module named 'nowhere'"):
        GymnasiumEnv("nowhere:Pendulum-v1", 1)
    with pytest.raises(EnvError, match=r"cannot make 'Counter-v0' with \{'lenght': 3\}.*lenght"):
        GymnasiumEnv("Counter-v0", 1, lenght=3)
    with pytest.raises(EnvError, match="cannot make 'Nothing-v0'"):
        GymnasiumEnv("Nothing-v0", 1)


class Echo(gymnasium.Env):
    """Checks that its actions are in their space and shows the last one in ``{'image', 'vector'}``."""

    observation_space = spaces.Dict(
        {"image": spaces.Box(0, 255, (2, 3, 1), np.uint8), "vector": spaces.Box(-9.0, 9.0, (2,), np.float64)}
    )

    def __init__(self, action_space):
        self.action_space = action_space

    def _obs(self, action):
        return {"image": np.full((2, 3, 1), 200, np.uint8), "vector": np.array(action, np.float64)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._obs([0.0, 0.0]), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return self._obs(np.resize(np.array(action, np.float64), 2)), 0.0, True, False, {}


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize(
    ("action_space", "actions", "arrives"),
    [
        (spaces.Box(-2.0, 2.0, (2,), np.float64), [[0.5, -1.5], [2.0, 0.0]], [[0.5, -1.5], [2.0, 0.0]]),
        (spaces.Discrete(3, start=-1), [0, 2], [[-1.0, -1.0], [1.0, 1.0]]),
        (spaces.MultiDiscrete([2, 4]), [[1, 3], [0, 2]], [[1.0, 3.0], [0.0, 2.0]]),
        (spaces.MultiDiscrete([2, 4], start=[0, 5]), [[1, 3], [0, 2]], [[1.0, 8.0], [0.0, 7.0]]),
        (spaces.Tuple([spaces.Discrete(2), spaces.Discrete(4, start=1)]), [[1, 3], [0, 2]], [[1, 4], [0, 3]]),
    ],
)
def test_dict_observations_and_every_action_space(vectorization, action_space, actions, arrives):
    gymnasium.register("Echo-v0", Echo)
    env = GymnasiumEnv("Echo-v0", 2, vectorization=vectorization, action_space=action_space)
    del gymnasium.registry["Echo-v0"]
    first = env.reset()["obs"]
    assert first["image"].dtype == torch.uint8 and first["vector"].dtype == torch.float32
    assert first["image"].shape == (2, 2, 3, 1) and first["image"].unique().tolist() == [200]
    step = env.step(torch.tensor(actions))
    env.close()
    assert step.final_obs["obs"]["vector"].tolist() == arrives
    assert step.obs["obs"]["vector"].tolist() == [[0.0, 0.0]] * 2  # the next episode
    assert step.final_obs["obs"]["image"].dtype == torch.uint8


def test_cartpole_with_the_same_actions_is_gymnasiums_cartpole():
    env = GymnasiumEnv("CartPole-v1", 1, seed=7)
    one = gymnasium.make("CartPole-v1")
    expected, _ = one.reset(seed=7)
    obs, lengths = env.reset()["obs"], 0
    for t in range(60):
        assert obs[0].tolist() == expected.tolist()
        step = env.step(torch.tensor([t % 3 // 2]))
        expected, _, over, _, _ = one.step(t % 3 // 2)
        assert bool(step.terminated[0]) == over
        if over:
            assert step.final_obs["obs"][0].tolist() == expected.tolist()
            expected, _ = one.reset()
            lengths += 1
        obs = step.obs["obs"]
    assert lengths >= 2


def test_ctrl_c_is_for_the_parent_alone():
    """A terminal sends it to every process of its group; the workers go on until the epoch is over."""
    env = create_vec_env("CartPole-v1", 2, vectorization="async")
    try:
        env.reset()
        for worker in env.env.processes:
            os.kill(worker.pid, signal.SIGINT)
        for _ in range(20):
            assert env.step(torch.zeros(2, dtype=torch.long)).obs["obs"].shape == (2, 4)
    finally:
        env.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Wrapped(gymnasium.Env):
    """Episodes of four steps of reward 1; from step ``late`` on its numbers come as ``kind`` makes them."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, kind, late):
        self.kind, self.late = kind, late

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.t += 1
        kind = self.kind if self.t >= self.late else lambda value: value
        return np.zeros(2, np.float32), kind(1.0), kind(self.t == 4), kind(False), {}


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("late", [1, 3])
@pytest.mark.parametrize("kind", [lambda x: np.array([x]), np.array, lambda x: torch.tensor([x]), torch.tensor])
def test_numbers_may_be_arrays_with_one_element(vectorization, late, kind):
    env = WrappedVectorEnv(vectorized(lambda: Wrapped(kind, late), 2, vectorization, "wrapped"))
    env.reset()
    steps = [env.step(torch.zeros(2, dtype=torch.int64)) for _ in range(5)]
    env.close()
    assert [step.reward.tolist() for step in steps] == [[1.0, 1.0]] * 5
    assert [step.terminated.tolist() for step in steps] == [[t == 3] * 2 for t in range(5)]


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize(("late", "kind"), [(1, lambda x: None), (3, lambda x: None), (3, lambda x: np.ones(2))])
def test_what_is_no_number_is_refused_in_any_step(vectorization, late, kind):
    env = WrappedVectorEnv(vectorized(lambda: Wrapped(kind, late), 2, vectorization, "wrapped"))
    env.reset()
    with pytest.raises(EnvError, match=r"^wrapped: step\(\) reward: got (None|an array .*); expected one number"):
        for _ in range(3):
            env.step(torch.zeros(2, dtype=torch.int64))
    env.env.close(**({"terminate": True} if vectorization == "async" else {}))
