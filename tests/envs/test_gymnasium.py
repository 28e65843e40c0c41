"""Gymnasium environments as a VecEnv: same numbers, reset in the step that ends an episode."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from manybody.envs.base import EnvError
from manybody.envs.gymnasium import GymnasiumEnv


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
    with pytest.raises(EnvError, match=r"action space of 'CartPole-v1' is Discrete\(2\); expected a Box"):
        GymnasiumEnv("CartPole-v1", 1)
    with pytest.raises(EnvError, match=r"cannot make 'Counter-v0' with \{'lenght': 3\}.*lenght"):
        GymnasiumEnv("Counter-v0", 1, lenght=3)
    with pytest.raises(EnvError, match="cannot make 'Nothing-v0'"):
        GymnasiumEnv("Nothing-v0", 1)
