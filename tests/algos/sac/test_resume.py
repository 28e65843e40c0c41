"""A run that was stopped and went on is the run that was never stopped, when its memory was saved."""

import pytest
import torch
from toy_env import differences
from toy_sac import sac_params

from manybody.engine.checkpoint import load_checkpoint
from manybody.runner import Runner

N = 2
"""Epochs before and after the interruption."""


def params(tmp_path, **config):
    return {
        "params": sac_params(
            env_name="Cartpole",
            num_actors=16,
            num_steps_per_episode=8,
            num_warmup_steps=1,
            max_epochs=2 * N,
            save_frequency=N,
            train_dir=str(tmp_path),
            **config,
        )
    }


def train(config, **args):
    runner = Runner()
    runner.load(config)
    return runner.run({"train": True, **args})


def checkpoint(agent, epoch):
    (file,) = agent.run.folder.nn.glob(f"last_*_ep_{epoch}_*.pth")
    return file


VARIANTS = {
    "ring not yet full": {},
    "ring full, three steps": {"replay_buffer_size": 200, "n_step": 3},  # 12 steps of 16
    "an odd number of updates": {"utd_ratio": 0.05, "policy_frequency": 3},
    "fixed temperature": {"learnable_temperature": False, "normalize_input": False},
}


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_2n_epochs_are_n_and_n_again(tmp_path, settings):
    config = params(tmp_path, save_replay_buffer=True, **settings)
    whole = train(config)
    torch.rand(7)  # whatever happens in between does not matter
    resumed = train(config, checkpoint=checkpoint(whole, N))
    final = [load_checkpoint(checkpoint(agent, 2 * N)) for agent in (whole, resumed)]
    assert differences(*final) == ["/elapsed"]
    moved = differences(load_checkpoint(checkpoint(whole, N)), final[0])
    for part in (
        "/model/sac_network.actor.trunk.0.weight",
        "/model/sac_network.critic_target.Q1.0.weight",
        "/critic_optimizer/state/0/exp_avg",
        "/update_counter",
        "/replay_buffer/fields/reward",
        "/rng/torch",
    ):
        assert part in moved
    assert ("/log_alpha" in moved) == whole.learnable_temperature


def test_the_temperature_is_saved(make_sac):
    """RL Games up to 1.6.5 begins again at init_alpha (defect 8b)."""
    agent = make_sac(num_warmup_frames=0, max_epochs=3)
    agent.train()
    other = make_sac(num_warmup_frames=0)
    other.set_full_state_weights(agent.get_full_state_weights())
    assert other.alpha == agent.alpha != 0.5


def test_without_the_memory_it_is_said_and_collected_anew(tmp_path, capsys):
    config = params(tmp_path)
    first = train(config)
    capsys.readouterr()
    resumed = train(config, checkpoint=checkpoint(first, N))
    told = capsys.readouterr().err
    assert (
        "holds no replay buffer (save_replay_buffer was off); the policy acts until the replay buffer holds 128" in told
    )
    # Whole: 1 update at the end of the first epoch, the warm-up, then 8 in each of three. Resumed: 9 from before, 1 at
    # the end of the third epoch, 8 in the fourth.
    assert (first.update_counter, resumed.update_counter) == (25, 18)


def test_a_memory_of_another_size_is_told(tmp_path, capsys):
    first = train(params(tmp_path, save_replay_buffer=True))
    resumed = train(params(tmp_path, replay_buffer_size=64), checkpoint=checkpoint(first, N))
    assert "got 25 steps of 16 rows; expected 4 steps of 16 rows" in capsys.readouterr().err
    assert len(resumed.replay_buffer) == 64


def test_learning_rates_are_those_of_the_configuration(make_sac):
    agent = make_sac(num_warmup_frames=0, max_epochs=2)
    agent.train()
    other = make_sac(actor_lr=7e-3)
    other.set_full_state_weights(agent.get_full_state_weights())
    assert other.actor_optimizer.lr.item() == pytest.approx(7e-3)
    assert other.critic_optimizer.lr.item() == pytest.approx(2e-3)
