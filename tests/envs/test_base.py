"""What every environment promises, and what a learner may rely on."""

import pytest
import torch
from gymnasium import spaces

from manybody.envs.base import EnvSpec, Step, VecEnv

BOX = spaces.Box(-1.0, 1.0, (2,))


class Nothing(VecEnv):
    num_envs, device = 3, torch.device("cpu")

    def __init__(self, **spec):
        self.spec = EnvSpec(BOX, BOX, **spec)

    def reset(self):
        return {"obs": torch.zeros(3, 2)}

    def step(self, actions):
        raise NotImplementedError


def test_an_environment_has_reset_and_step():
    with pytest.raises(TypeError, match=r"abstract methods?.*reset.*step"):
        VecEnv()


def test_done_is_terminated_or_truncated():
    terminated = torch.tensor([True, False, False])
    truncated = torch.tensor([False, True, False])
    step = Step({"obs": torch.zeros(3, 2)}, torch.zeros(3), terminated, truncated, None, {})
    assert step.done.tolist() == [True, True, False]


def test_sizes_under_rl_games_names():
    assert Nothing().get_env_info() == {
        "observation_space": BOX,
        "action_space": BOX,
        "agents": 1,
        "value_size": 1,
    }
    info = Nothing(state_space=BOX, num_agents=2, value_size=3).get_env_info()
    assert (info["state_space"], info["agents"], info["value_size"]) == (BOX, 2, 3)


def test_what_an_environment_need_not_have():
    env = Nothing()
    assert env.get_env_state() is None and env.restores_exactly
    assert env.get_action_masks() is None
    env.set_env_state({})
    env.set_train_info(0, None)
    env.close()
