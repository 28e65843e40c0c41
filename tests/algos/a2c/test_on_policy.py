"""Learning from a rollout: each method of the agent on numbers that are computed by hand."""

import math

import pytest
import torch

from manybody.algos.session import clone
from manybody.engine.checkpoint.untrusted import CheckpointError


def batch_of(returns):
    """A rollout of 64 rows whose values are 0 and whose returns repeat ``returns``."""
    rows = torch.tensor(returns).repeat(64 // len(returns)).unsqueeze(1)
    nothing = torch.zeros(64)
    return {
        "values": torch.zeros(64, 1),
        "returns": rows,
        "neglogpacs": nothing,
        "actions": torch.zeros(64, 2),
        "obses": torch.zeros(64, 3),
        "dones": nothing,
        "mus": torch.full((64, 2), 0.25),
        "sigmas": torch.full((64, 2), 0.5),
    }


def test_advantages_are_returns_minus_values_normalised_over_the_batch(make_agent):
    """Half of them 1 and half 3: mean 2, unbiased standard deviation sqrt(64 / 63)."""
    agent = make_agent(normalize_value=False)
    agent.prepare_dataset(batch_of([1.0, 3.0]))
    prepared = agent.dataset.values_dict
    expected = 1 / math.sqrt(64 / 63)
    torch.testing.assert_close(prepared["advantages"], torch.tensor([-expected, expected]).repeat(32))
    assert torch.equal(prepared["returns"], batch_of([1.0, 3.0])["returns"])
    assert prepared["mu"].unique().tolist() == [0.25] and prepared["sigma"].unique().tolist() == [0.5]


def test_without_normalisation_advantages_are_plain(make_agent):
    agent = make_agent(normalize_value=False, normalize_advantage=False)
    agent.prepare_dataset(batch_of([1.0, 3.0]))
    assert agent.dataset.values_dict["advantages"][:4].tolist() == [1.0, 3.0, 1.0, 3.0]


def test_values_and_returns_are_normalised_by_the_same_statistics(make_agent):
    """The statistics take in the values, then the returns; what both become is what the module gives now."""
    agent = make_agent()
    agent.prepare_dataset(batch_of([1.0, 3.0]))
    prepared, statistics = agent.dataset.values_dict, agent.model.value_mean_std
    torch.testing.assert_close(prepared["returns"], statistics(batch_of([1.0, 3.0])["returns"]))
    assert not statistics.training and statistics.running_mean.item() != 0.0


def test_losses(make_agent):
    """Ratios 1.5 and 0.5 with advantages of 1, clipped at 1.2: a = -(1.2 + 0.5) / 2 = -0.85.

    Values 2 for returns 1: the error 1 is larger than the clipped one, (0.2 - 1)^2, so c = 1.
    Mean actions of 1.6 exceed 1.1 by 0.5 in two dimensions: b = 2 * 0.25 = 0.5. Mean entropy: 2.
    Total: -0.85 + 0.5 * 4 * 1 - 0.1 * 2 + 0.2 * 0.5 = 1.05.
    """
    agent = make_agent(critic_coef=4.0, entropy_coef=0.1, bounds_loss_coef=0.2)
    minibatch = {
        "old_logp_actions": torch.zeros(2),
        "advantages": torch.ones(2),
        "old_values": torch.zeros(2, 1),
        "returns": torch.ones(2, 1),
    }
    result = {
        "prev_neglogp": -torch.tensor([1.5, 0.5]).log(),
        "values": torch.full((2, 1), 2.0),
        "entropy": torch.tensor([1.0, 3.0]),
        "mus": torch.full((2, 2), 1.6),
    }
    losses = {name: value.item() for name, value in agent.calc_losses(minibatch, result).items()}
    expected = {"loss": 1.05, "a_loss": -0.85, "c_loss": 1.0, "entropy": 2.0, "bounds_loss": 0.5}
    assert losses == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kl", "expected"),
    [
        (0.03, 1e-3 / 1.5),  # above 2 * 0.01
        (0.004, 1.5e-3),  # below 0.01 / 2
        (0.015, 1e-3),
        (float("nan"), 1e-3),  # counts as the target
    ],
)
def test_the_schedule_follows_the_divergence(make_agent, kl, expected):
    agent = make_agent(learning_rate=1e-3, lr_schedule="adaptive", kl_threshold=0.01)
    agent.update_schedule(torch.tensor(kl))
    assert agent.last_lr.item() == agent.optimizer.lr.item() == pytest.approx(expected)


def test_an_update_that_is_not_finite_changes_nothing(make_agent):
    agent = make_agent()
    agent.start_training()
    agent.prepare_dataset(agent.play_steps())
    before = clone(agent.learner_state())
    minibatch = {**agent.dataset[0], "advantages": torch.full((32,), float("nan"))}
    agent.model.running_mean_std.eval()
    agent.train_actor_critic(minibatch)
    torch.testing.assert_close(agent.learner_state(), before, rtol=0, atol=0)
    agent.train_actor_critic(agent.dataset[0])
    assert not torch.equal(agent.model.a2c_network.mu.weight, before["model"]["a2c_network.mu.weight"])


def test_named_parts_of_the_state(make_agent):
    agent, other = make_agent(normalize_rms_advantage=True, max_epochs=1), make_agent(normalize_rms_advantage=True)
    assert list(agent.learner_parts()) == ["optimizer", "schedule", "advantage_mean_std"]
    agent.train()
    other.set_learner_state(agent.learner_state())
    torch.testing.assert_close(other.learner_state(), agent.learner_state(), rtol=0, atol=0)


@pytest.mark.parametrize("part", ["model", "optimizer", "schedule"])
def test_a_missing_part_is_named_with_its_file(make_agent, part):
    agent = make_agent()
    state = {name: value for name, value in agent.learner_state().items() if name != part}
    with pytest.raises(CheckpointError, match=rf"^old\.pth: {part}:"):
        agent.set_learner_state(state, "old.pth")
