"""A whole epoch equals that of RL Games 1.6.5: minibatches, losses, clipping, Adam and learning-rate schedule."""

import pytest
import torch
from rl_games_agents import largest_difference
from toy import ToyEnv

from manybody.nn.normalizer import RunningMeanStd

VARIANTS = {
    "as configured": {},
    "one mini-epoch": {"mini_epochs": 1},
    "three mini-epochs": {"mini_epochs": 3},
    "no clipping of values": {"clip_value": False},
    "no clipping of gradients": {"truncate_grads": False},
    "smooth clamp": {"use_smooth_clamp": True},
    "plain policy gradient": {"ppo": False},
    "regularisation": {"bound_loss_type": "regularisation", "bounds_loss_coef": 0.1},
    "standard schedule": {"schedule_type": "standard"},
    "linear schedule": {"lr_schedule": "linear", "max_epochs": 10, "schedule_entropy": True},
    "constant rate": {"lr_schedule": "constant"},
    "no normalisation": {"normalize_value": False, "normalize_advantage": False},
    "weight decay": {"weight_decay": 0.1},
    "minibatches per environment": {"minibatch_size": None, "minibatch_size_per_env": 2},
}


def without_sizes(config):
    return {key: value for key, value in config.items() if not key.startswith("minibatch_size")}


def train_epoch(agent, rollout):
    """Train one epoch on ``rollout`` instead of a new one."""
    agent.init_tensors()
    agent.play_steps = lambda: dict(rollout)
    agent.update_epoch()
    return agent.train_epoch()


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_epoch_from_one_rollout_changes_every_weight_equally(variant, make_agent, make_reference, random_batch):
    config = {"normalize_input": False, **VARIANTS[variant]}
    ours = make_agent(**config)
    if "minibatch_size" in config:
        reference = make_reference(minibatch_size=16, minibatch_size_per_env=2, **without_sizes(config))
    else:
        reference = make_reference(**config)
    reference.model.load_state_dict(ours.model.state_dict())
    before = {name: value.clone() for name, value in ours.model.state_dict().items()}
    for agent in (ours, reference):
        train_epoch(agent, random_batch(agent))
    assert max((ours.model.state_dict()[name] - x).abs().max().item() for name, x in before.items()) > 1e-4
    assert largest_difference(ours.model, reference.model) <= 1e-6
    assert ours.last_lr.item() == pytest.approx(reference.last_lr, rel=1e-5)
    assert ours.entropy_coef.item() == pytest.approx(reference.entropy_coef, rel=1e-5)


@pytest.mark.parametrize("mini_epochs", [1, 2, 3])
def test_with_normalised_observations(mini_epochs, make_agent, make_reference, random_batch):
    """A patched ``set_train`` of RL Games updates the statistics in the first mini-epoch only, like this library.

    ``test_rl_games_defects.py`` tests the unpatched behaviour.
    """
    config = {"normalize_input": True, "mini_epochs": mini_epochs}
    ours, reference = make_agent(**config), make_reference(**config)
    reference.model.load_state_dict(ours.model.state_dict())
    finished = []
    reference.diagnostics.mini_epoch = lambda agent, number: finished.append(number)

    def set_train():
        reference.model.train()
        if finished:
            reference.model.running_mean_std.eval()

    reference.set_train = set_train
    for agent in (ours, reference):
        train_epoch(agent, random_batch(agent))
    assert reference.model.running_mean_std.count.item() == 65
    assert largest_difference(ours.model, reference.model) <= 1e-6


def test_metrics_of_an_epoch_are_equal(make_agent, make_reference, random_batch):
    config = {"normalize_input": False, "mini_epochs": 3}
    ours, reference = make_agent(**config), make_reference(**config)
    reference.model.load_state_dict(ours.model.state_dict())
    scalars = train_epoch(ours, random_batch(ours)).scalars
    a_losses, c_losses, b_losses, entropies, kls = train_epoch(reference, random_batch(reference))[4:9]
    for tag, values in {
        "losses/a_loss": a_losses,
        "losses/c_loss": c_losses,
        "losses/bounds_loss": b_losses,
        "losses/entropy": entropies,
        "info/kl": kls,
    }.items():
        expected = torch.stack(values).mean().item()
        assert scalars[tag].item() == pytest.approx(expected, rel=1e-4, abs=1e-6), tag


def test_rollouts_are_equal(make_both):
    """With one seed and environments that only terminate, ``play_steps`` returns equal values."""

    class Terminating(ToyEnv):
        def step(self, actions):
            step = super().step(actions)
            return step._replace(terminated=step.done, truncated=torch.zeros_like(step.done))

    ours, reference = make_both(env=Terminating)
    batches = []
    for agent in (ours, reference):
        torch.manual_seed(7)
        with torch.no_grad():
            batches.append(agent.play_steps())
    for name in ("obses", "actions", "neglogpacs", "values", "mus", "sigmas", "dones", "returns"):
        torch.testing.assert_close(batches[0][name], batches[1][name], atol=1e-5, rtol=1e-5)
    assert batches[0]["played_frames"] == batches[1]["played_frames"] == 64
    torch.testing.assert_close(ours.game_rewards.mean, reference.game_rewards.mean.reshape(1), atol=1e-4, rtol=1e-4)
    assert ours.game_rewards.current_size.item() == reference.game_rewards.current_size > 0
    torch.testing.assert_close(ours.game_lengths.mean, reference.game_lengths.mean.reshape(()))


def test_time_outs_without_a_final_observation(make_both):
    """Without a final observation, a truncated step bootstraps from V(s_t), as in RL Games."""
    ours, reference = make_both(env=lambda: ToyEnv(gives_final_obs=False))
    returns = []
    for agent in (ours, reference):
        torch.manual_seed(7)
        with torch.no_grad():
            returns.append(agent.play_steps()["returns"])
    torch.testing.assert_close(returns[0], returns[1], atol=1e-5, rtol=1e-5)


def test_five_epochs_from_one_seed_are_equal(make_both):
    """Rounding errors grow from epoch to epoch, hence the larger tolerance."""
    ours, reference = make_both(
        env=lambda: ToyEnv(gives_final_obs=False), normalize_input=False, mini_epochs=3, learning_rate=3e-4
    )
    for agent in (ours, reference):
        torch.manual_seed(7)
        for _ in range(5):
            agent.update_epoch()
            agent.train_epoch()
    assert largest_difference(ours.model, reference.model) <= 1e-4
    assert ours.last_lr.item() == pytest.approx(reference.last_lr, rel=1e-5)
    assert isinstance(ours.model.value_mean_std, RunningMeanStd)
    assert ours.model.value_mean_std.count.item() == 5 * 2 * 64 + 1
