"""Environments of this library through RL Games' protocol."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from toy import ToyEnv

from manybody.compat.agent import time_outs
from manybody.compat.environments import LegacyEnv, create_legacy_env, legacy_env
from manybody.envs import registration
from manybody.envs.base import EnvSpec
from manybody.envs.env_configurations import configurations
from manybody.envs.rl_games import RLGamesVecEnv
from manybody.envs.vecenv import vecenv_config


def test_a_step():
    env = legacy_env(ToyEnv(2, length=2))
    obs = env.reset()
    assert obs.shape == (2, 3) and env.get_number_of_agents() == 1
    # Environment 1 starts at the last step of its episode and is odd: its time runs out at once.
    obs, rewards, dones, infos = env.step(np.zeros((2, 2), np.float32))
    assert dones.tolist() == infos["time_outs"].tolist() == [False, True]
    assert infos["terminate"].tolist() == [False, False]
    assert rewards.shape == (2,)
    # Environment 0 terminates one step later, when the other is in the middle of an episode.
    _, _, dones, infos = env.step(torch.zeros(2, 2))
    assert dones.tolist() == infos["terminate"].tolist() == [True, False]


def test_other_attributes_are_those_of_the_environment():
    env = legacy_env(ToyEnv(2, length=3))
    assert env.length == env.env.length == 3 and env.viewer is None
    assert env.action_space.shape == (2,)
    env.set_env_state(env.get_env_state())
    env.set_train_info(7, "agent")
    with pytest.raises(AttributeError):
        env.nothing


def test_a_client_that_resets_by_itself_sees_the_end():
    env, plain = legacy_env(ToyEnv(2, length=2)), ToyEnv(2, length=2)
    plain.reset()
    env.reset()
    first, ended = env.reset_done()
    assert ended.tolist() == []
    torch.testing.assert_close(first, plain.observe())
    shown, _, _, _ = env.step(torch.zeros(2, 2))
    step = plain.step(torch.zeros(2, 2))
    assert not torch.equal(step.final_obs["obs"][1], step.obs["obs"][1])
    torch.testing.assert_close(shown[1], step.final_obs["obs"][1])
    torch.testing.assert_close(shown[0], step.obs["obs"][0])
    begun, ended = env.reset_done()
    assert ended.tolist() == [1]
    torch.testing.assert_close(begun, step.obs["obs"])


class Masked(ToyEnv):
    def __init__(self):
        super().__init__()
        self.spec = EnvSpec(self.spec.observation_space, spaces.Discrete(2), spaces.Box(-1.0, 1.0, (4,)))

    def reset(self):
        return {
            **super().reset(),
            "states": torch.ones(self.num_envs, 4),
            "action_masks": torch.ones(8, 2) > 0,
        }


def test_states_and_masks():
    env = legacy_env(Masked())
    assert not env.has_action_masks()
    assert sorted(env.reset()) == ["obs", "states"]
    assert env.has_action_masks() and env.get_action_mask().shape == (8, 2)


class Foreign:
    def reset(self):
        return torch.zeros(4, 3)

    def step(self, actions):
        return torch.zeros(4, 3), torch.zeros(4), torch.zeros(4), {}

    def get_env_info(self):
        spec = ToyEnv().spec
        return {"observation_space": spec.observation_space, "action_space": spec.action_space}


def test_an_object_of_the_protocol_is_unchanged():
    foreign = Foreign()
    assert legacy_env(RLGamesVecEnv(foreign, 4)) is foreign
    assert legacy_env(foreign) is foreign


@pytest.fixture
def names(monkeypatch):
    monkeypatch.setattr(registration, "_creators", dict(registration._creators))
    monkeypatch.setitem(configurations, "theirs", {"vecenv_type": "FOREIGN"})
    monkeypatch.setitem(vecenv_config, "FOREIGN", lambda name, num_actors, **config: Foreign())
    registration.register("toy", lambda num_actors, seed, **config: ToyEnv(num_actors, **config))


def test_by_name(names):
    assert isinstance(create_legacy_env("theirs", 4, {}), Foreign)
    ours = create_legacy_env("toy", 3, {"length": 4}, seed=1)
    assert isinstance(ours, LegacyEnv) and ours.reset().shape == (3, 3) and ours.length == 4
    assert create_legacy_env("Cartpole", 2, {"num_threads": 1}).reset().shape == (2, 4)
    assert create_legacy_env("Pendulum-v1", 2, {}).reset().shape == (2, 3)


class Scored(gymnasium.Env):
    """Truncated episodes of two steps."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {"scores": -1.0}

    def step(self, action):
        self.t += 1
        return np.zeros(2, np.float32), 1.0, False, self.t == 2, {"scores": float(self.t), "name": "x"}


@pytest.fixture
def scored(monkeypatch):
    configuration = {"vecenv_type": "RAY", "env_creator": lambda **kw: Scored()}
    monkeypatch.setitem(configurations, "scored", configuration)


def test_infos_of_single_environments_are_a_list(scored):
    env = create_legacy_env("scored", 2, {})
    env.reset()
    for expected in ({"scores": 1.0, "time_outs": False}, {"scores": 2.0, "time_outs": True}):
        *_, infos = env.step(torch.zeros(2, 1))
        assert infos == [{"name": "x", "terminate": False, **expected}] * 2


def test_truncations_of_single_environments(scored):
    infos = [{"time_outs": True}, {"time_outs": False}]
    assert time_outs(infos, 2).tolist() == [True, False]
    assert time_outs(infos, 4).tolist() == [True, True, False, False]
    assert time_outs([{}, {}], 2) is None and time_outs([], 2) is None
    assert time_outs({"time_outs": 1}, 2) == 1
