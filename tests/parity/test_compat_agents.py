"""Agents that clients inherit from, beside RL Games 1.6.5's own: the same rollouts, the same weights after them."""

import contextlib
import copy
import io

import pytest
import torch
from toy import ToyEnv, toy_params

from manybody.compat.rl_games.algos_torch.a2c_continuous import A2CAgent
from manybody.compat.rl_games.common.algo_observer import DefaultAlgoObserver


@pytest.fixture
def make_client(tmp_path, rl_games_toy):
    """``make_client(**config)``: the agent of ``compat`` on eight toy environments."""

    def make(**config):
        params = copy.deepcopy(toy_params(**config))
        env = rl_games_toy(ToyEnv())
        params["config"] |= {
            "features": {"observer": DefaultAlgoObserver()},
            "env_info": env.get_env_info(),
            "vec_env": env,
            "train_dir": str(tmp_path / "ours"),
        }
        torch.manual_seed(0)
        with contextlib.redirect_stdout(io.StringIO()):
            return A2CAgent("run", params)

    return make


CASES = [
    {"mini_epochs": 1, "normalize_input": True},
    {"mini_epochs": 3, "normalize_input": False},  # with it, 1.6.5 counts each sample three times
    {"mini_epochs": 3, "normalize_input": False, "schedule_type": "standard", "use_smooth_clamp": True},
    {
        "mini_epochs": 2,
        "normalize_input": False,
        "truncate_grads": False,
        "bound_loss_type": "regularisation",
    },
    {"mini_epochs": 2, "normalize_input": False, "clip_value": True, "normalize_value": False},
]


@pytest.mark.parametrize("config", CASES)
def test_three_epochs_from_the_same_weights(config, make_client, make_theirs, largest_difference):
    agents = make_client(**config), make_theirs(**config)
    agents[1].model.load_state_dict(agents[0].model.state_dict())
    for agent in agents:
        torch.manual_seed(1)
        agent.init_tensors()
        agent.obs = agent.env_reset()
        for _ in range(3):
            agent.update_epoch()
            agent.train_epoch()
    assert largest_difference(agents[0].model, agents[1].model) < 1e-6
    assert agents[0].last_lr == pytest.approx(agents[1].last_lr, rel=1e-6)
    assert agents[0].game_rewards.get_mean() == pytest.approx(agents[1].game_rewards.get_mean(), rel=1e-5)


def test_each_rollout_enters_the_statistics_once(make_client):
    agent = make_client(mini_epochs=3, normalize_input=True)
    agent.init_tensors()
    agent.obs = agent.env_reset()
    agent.update_epoch()
    agent.train_epoch()
    assert agent.model.running_mean_std.count == 1 + 64  # 8 environments, 8 steps
