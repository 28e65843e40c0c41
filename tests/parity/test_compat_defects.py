"""Defects of RL Games in agents that inherit from its classes: which are fixed and which behaviour is kept."""

import math

import pytest
import torch
from rl_games_agents import RlGamesEnv, complete_params, create
from toy import ToyEnv, toy_params

from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.compat.rl_games.algos_torch.a2c_continuous import A2CAgent
from manybody.compat.rl_games.common.algo_observer import DefaultAlgoObserver
from manybody.config import ConfigError


class ClientAgent(A2CAgent):
    """A client's subclass without changes."""


@pytest.fixture
def make(tmp_path):
    """``make(**config)``: a ``ClientAgent`` on eight toy environments, ready for an epoch."""

    def build(env=None, **config):
        env = RlGamesEnv(env or ToyEnv())
        agent = create(ClientAgent, complete_params(toy_params(**config), DefaultAlgoObserver(), env, tmp_path))
        agent.init_tensors()
        agent.obs = agent.env_reset()
        return agent

    return build


def epochs(agent, number):
    for _ in range(number):
        agent.update_epoch()
        agent.train_epoch()
        agent.frame += agent.curr_frames
    return agent


def test_a_linear_schedule_by_frames_lowers_the_rate(make):
    # 64 of 640 frames per epoch. The second epoch starts at 64 frames: 1e-6 + (1e-3 - 1e-6) x 0.9.
    agent = epochs(make(lr_schedule="linear", max_frames=640), 2)
    assert agent.last_lr == pytest.approx(9.001e-4)


def test_standard_epoch_changes_the_rate_once_per_epoch(make):
    agent = epochs(make(schedule_type="standard_epoch", kl_threshold=1e-6), 1)
    assert agent.last_lr == pytest.approx(1e-3 / 1.5)


def test_limits_of_the_learning_rate_apply(make):
    # This threshold lowers the rate of 1e-3 in every minibatch by a factor of 1.1, down to 9.5e-4.
    limits = {"min_lr": 9.5e-4, "lr_multiplier": 1.1, "lr_schedule": "adaptive", "kl_threshold": 1e-9}
    assert epochs(make(**limits), 1).last_lr == pytest.approx(9.5e-4)


def test_resume_keeps_the_learning_rate_and_the_best_return(make):
    adaptive = {"lr_schedule": "adaptive", "kl_threshold": 1e-6}
    first = epochs(make(**adaptive), 1)
    first.last_mean_rewards = 1e6
    second = make(**adaptive)
    second.set_full_state_weights(first.get_full_state_weights())
    assert second.last_lr == first.last_lr < 1e-3
    assert second.last_mean_rewards == 1e6


@pytest.mark.parametrize(
    "config",
    [
        {"bounds_loss_coef": None},
        {"normalize_rms_advantage": True},
        {
            "horizon_length": 5,
            "num_actors": 3,
            "minibatch_size": 5,
            "env": ToyEnv(3),
        },  # 15 is not a multiple of 4
    ],
    ids=["no bounds loss", "moving advantages", "any batch"],
)
def test_settings_that_crash_rl_games_train(make, config):
    agent = make(**config)
    before = torch.nn.utils.parameters_to_vector(agent.model.parameters()).clone()
    epochs(agent, 1)
    after = torch.nn.utils.parameters_to_vector(agent.model.parameters())
    assert after.isfinite().all() and not torch.equal(before, after)


@pytest.mark.parametrize("key", ["lr_schedule", "schedule_type"])
def test_unknown_schedules_are_refused(make, key):
    with pytest.raises(ConfigError, match=key):
        make(**{key: "sometimes"})


def test_unknown_keys_stay_in_the_configuration(make):
    assert make(lerning_rate="3e-4").config["lerning_rate"] == "3e-4"


def test_the_divergence_of_equal_policies_is_zero():
    mu, sigma = torch.zeros(4, 28), torch.full((4, 28), math.exp(-2.9))
    assert torch_ext.policy_kl(mu, sigma, mu, sigma) == 0.0


def test_a_truncated_episode_bootstraps_from_the_state_before_its_end(make):
    """As in RL Games, whose environments have no final observation. Compare test_rl_games_defects.py."""
    agent = make()
    row = 1 * 8 + 3  # environment 1 starts at step 1 of 5: its step 3 is the last
    torch.manual_seed(7)
    with torch.no_grad():
        batch = agent.play_steps()
    action = 2.0 * batch["actions"][row].clamp(-1.0, 1.0)
    reward = 0.1 * (1.0 - (action - batch["obses"][row, :2] / 2.0).square().mean().item())
    assert batch["returns"][row].item() == pytest.approx(reward + 0.99 * batch["values"][row].item(), rel=1e-4)


def test_an_infinite_reward_does_not_reach_the_weights(make):
    class InfiniteReward(ToyEnv):
        def step(self, actions):
            step = super().step(actions)
            step.reward[3] = float("inf")
            return step

    agent = epochs(make(env=InfiniteReward()), 2)
    assert all(parameter.isfinite().all() for parameter in agent.model.parameters())


def test_non_finite_updates_are_skipped_and_counted(make):
    agent = make(normalize_value=False, critic_coef=1e38)  # the loss overflows
    before = torch.nn.utils.parameters_to_vector(agent.model.parameters()).clone()
    epochs(agent, 1)
    assert agent.guard.skipped_updates == agent.mini_epochs_num * agent.num_minibatches
    assert torch.equal(before, torch.nn.utils.parameters_to_vector(agent.model.parameters()))
