"""Non-finite values during training: the weights stay finite, the message names the place, the return is unaffected."""

import json
import re
import shutil

import pytest
import torch
from toy_env import Fault, FaultyEnv, all_finite, toy_params

from manybody.algos.a2c import A2CAgent
from manybody.config import parse_params
from manybody.engine.checkpoint import load_checkpoint
from manybody.engine.guard import MAX_STUCK_EPOCHS, POLICIES, TrainingAbortedError
from manybody.engine.observers import AlgoObserver
from manybody.engine.run_folder import RunFolder

HORIZON, ENVS = 8, 8  # of toy_params; an episode has five steps
NON_FINITE = [float("nan"), float("inf"), float("-inf"), 1e38]


class FiniteWeights(AlgoObserver):
    """Record whether the weights are finite after every epoch, before and after the guard acts."""

    def after_init(self, algo):
        self.algo, self.seen = algo, []

    def after_steps(self):
        self.seen.append(all_finite(self.algo.model.state_dict()))

    def after_print_stats(self, *_):
        self.seen.append(all_finite(self.algo.model.state_dict()))


def build(*faults, folder=None, env=None, log_sigma=0.0, **config):
    torch.manual_seed(0)
    mapping = toy_params(**{"max_epochs": 5, "value_bootstrap": True, **config})
    mapping["network"]["space"]["continuous"]["sigma_init"]["val"] = log_sigma
    params = parse_params(mapping)
    make = None if folder is None else lambda: RunFolder.create(folder, "Toy", "toy")
    return A2CAgent("run", params, vec_env=env or FaultyEnv(*faults), observer=FiniteWeights(), folder=make)


def train(*faults, **config):
    agent = build(*faults, **config)
    agent.train()
    assert all(agent.algo_observer.seen) and len(agent.algo_observer.seen) == 2 * agent.epoch_num
    return agent


# --- non-finite values from the environment -----------------------------------------------------------------------


@pytest.mark.parametrize("value", NON_FINITE)
@pytest.mark.parametrize("key", ["obs", "reward", "final_obs"])
def test_quarantine_reports_the_place_and_training_continues(capsys, key, value):
    # Environment 3 is odd (truncated, so the final observation is used) and starts at step 3 of 5: its episodes end
    # with steps 1, 6, 11, 16, 21, ... of the run. Step 21 is step 5 of the third rollout of 8.
    agent = train(Fault(key, value, row=3, first=21, last=21))
    err = capsys.readouterr().err
    assert re.findall(r"epoch (\d+)", err) == ["3"]
    assert f"{key} of environment 3 at step 5 (1 such rows)" in err and "guard: quarantine" in err
    assert agent.epoch_num == 5


@pytest.mark.parametrize("value", NON_FINITE)
@pytest.mark.parametrize("key", ["obs", "reward", "final_obs"])
def test_quarantine_continues_with_an_environment_that_stays_non_finite(capsys, key, value):
    agent = train(Fault(key, value, first=0, last=10**9), save_best_after=0)
    assert len(re.findall(r"epoch \d+: NaN, infinite", capsys.readouterr().err)) == 5
    assert torch.isfinite(agent.game_rewards.mean).all() and agent.game_rewards.mean.abs() < 100


def mean_return(*faults):
    """Train for 40 epochs and return the mean return; the maximum is 5."""
    # The initial sigma exp(-2) costs 4 exp(-4) = 0.07 per step in an action space twice as wide as [-1, 1].
    # Actions of the toy do not affect later rewards, so a small gamma learns it in 40 epochs.
    sizes = {
        "num_actors": 32,
        "minibatch_size": 128,
        "mini_epochs": 4,
        "max_epochs": 40,
        "gamma": 0.1,
        "tau": 0.1,
    }
    env = FaultyEnv(*faults, num_envs=32)
    return train(env=env, log_sigma=-2.0, learning_rate=3e-3, entropy_coef=0.0, **sizes).run.mean_reward


@pytest.fixture(scope="module")
def clean():
    return mean_return()


@pytest.mark.parametrize("key", ["obs", "reward", "final_obs"])
def test_one_quarantined_row_does_not_change_the_final_return(clean, key):
    assert clean > 4.9  # the policy is trained
    assert mean_return(Fault(key, float("nan"), row=3, first=21, last=21)) == pytest.approx(clean, rel=0.01)


def test_training_continues_when_every_value_is_non_finite(capsys):
    faults = [Fault(key, float("nan"), row, 9, 12) for key in ("obs", "reward", "final_obs") for row in range(ENVS)]
    agent = train(*faults)
    assert "obs of environment 0 at step 1 (32 such rows)" in capsys.readouterr().err  # 8 environments, 4 steps
    assert agent.epoch_num == 5


def test_skip_leaves_the_weights_unchanged_in_that_epoch(capsys):
    agent = build(Fault("reward", float("nan"), row=3, first=9, last=9), guard="skip", max_epochs=1)
    agent.train()
    before = [value.clone() for value in agent.model.parameters()]
    agent.max_epochs = 2
    agent.train()
    assert all(torch.equal(*pair) for pair in zip(before, agent.model.parameters(), strict=True))
    assert "guard: skip" in capsys.readouterr().err
    agent.max_epochs = 3
    agent.train()
    assert not all(torch.equal(*pair) for pair in zip(before, agent.model.parameters(), strict=True))


def test_rollback_returns_to_the_weights_of_the_last_good_epoch(capsys):
    agent = build(Fault("obs", float("inf"), row=3, first=9, last=9), guard="rollback", max_epochs=1)
    agent.train()
    before = [value.clone() for value in agent.model.parameters()]
    agent.max_epochs = 2
    agent.train()
    assert all(torch.equal(*pair) for pair in zip(before, agent.model.parameters(), strict=True))
    assert "restored the last good weights" in capsys.readouterr().err


def test_two_rollbacks_return_to_the_same_optimiser(capsys):
    agent = build(Fault("obs", float("inf"), row=3, first=9, last=30), guard="rollback", max_epochs=1)
    agent.train()
    moment = agent.optimizer.state_dict()["state"][0]["exp_avg"].clone()
    agent.max_epochs = 3
    agent.train()  # the optimiser must not modify the saved state after the first rollback
    assert capsys.readouterr().err.count("restored the last good weights") == 2
    assert torch.equal(agent.optimizer.state_dict()["state"][0]["exp_avg"], moment)


@pytest.mark.parametrize("value", NON_FINITE)
@pytest.mark.parametrize("key", ["obs", "reward", "final_obs"])
def test_abort_saves_the_last_good_weights_and_names_the_file(tmp_path, key, value):
    agent = build(Fault(key, value, row=3, first=21, last=21), guard="abort", folder=tmp_path)
    with pytest.raises(TrainingAbortedError, match=f"{key} of environment 3 at step 5") as error:
        agent.train()
    (file,) = (tmp_path / "toy" / "nn").glob("last_*_ep_3_*.pth")
    assert f"The last good weights are in {file}" in str(error.value)
    assert all_finite(load_checkpoint(file)["model"])


# --- non-finite weights --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", NON_FINITE)
@pytest.mark.parametrize("policy", POLICIES)
def test_non_finite_weights_are_restored(capsys, policy, value):
    agent = build(guard=policy, max_epochs=1, save_best_after=0)
    agent.train()
    good = {name: tensor.clone() for name, tensor in agent.model.state_dict().items()}
    agent.max_epochs = 20
    agent.run.begin_epoch = lambda: overwrite_once(agent, value)
    if policy == "abort":
        with pytest.raises(TrainingAbortedError, match="action of environment 0 at step 0"):
            agent.train()
        assert agent.epoch_num == 2
    else:
        agent.train()
        wait = 1 if policy == "rollback" else MAX_STUCK_EPOCHS
        assert f"epoch {1 + wait}: NaN, infinite" in (err := capsys.readouterr().err)
        assert "action of environment 0 at step 0" in err and "restored the last good weights" in err
        assert f"epoch {2 + wait}:" not in err  # no further report
        assert not torch.equal(good["a2c_network.mu.weight"], agent.model.a2c_network.mu.weight)  # training continues
    assert all_finite(agent.model.state_dict())


def overwrite_once(agent, value):
    if agent.epoch_num == 1:
        with torch.no_grad():
            agent.model.a2c_network.mu.weight[0, 0] = value
            agent.model.a2c_network.mu.bias[0] = value


# --- non-finite updates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixed_precision", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("policy", ["quarantine", "skip", "rollback"])
def test_a_divergent_update_is_detected_in_the_next_minibatch_and_not_saved_as_best(
    tmp_path, capsys, policy, mixed_precision
):
    config = {"learning_rate": 1e6, "lr_schedule": "constant", "guard": policy, "save_best_after": 0}
    agent = train(folder=tmp_path, mixed_precision=mixed_precision, **config)
    err = capsys.readouterr().err
    updates = 2 * 64 // 32  # two mini-epochs of two minibatches
    assert f"epoch 1: NaN, infinite or above 1e+15: loss or gradient in {updates - 1} minibatches" in err
    files = sorted(file.name for file in (tmp_path / "toy" / "nn").iterdir())
    assert len(files) == 1 and files[0].startswith("last_Toy_ep_5_")  # no Toy.pth, although every return improved
    assert all_finite(load_checkpoint(tmp_path / "toy" / "nn" / files[0])["model"])
    assert agent.last_mean_rewards == float("-inf")


def test_repeated_rollbacks_abort_the_training(tmp_path):
    agent = build(learning_rate=1e6, lr_schedule="constant", guard="rollback", max_epochs=50, folder=tmp_path)
    before = [value.clone() for value in agent.model.parameters()]
    with pytest.raises(TrainingAbortedError, match="Lower learning_rate"):
        agent.train()
    assert agent.epoch_num == 10
    lines = (tmp_path / "toy" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 11))
    assert all(torch.equal(*pair) for pair in zip(before, agent.model.parameters(), strict=True))


def test_abort_saves_the_weights_from_before_the_divergent_update(tmp_path):
    agent = build(learning_rate=1e6, lr_schedule="constant", guard="abort", folder=tmp_path)
    before = {name: value.clone() for name, value in agent.model.named_parameters()}
    with pytest.raises(TrainingAbortedError, match="loss or gradient"):
        agent.train()
    (file,) = (tmp_path / "toy" / "nn").iterdir()
    saved = load_checkpoint(file)["model"]
    assert all(torch.equal(saved[name], value) for name, value in before.items())


class Overflow(A2CAgent):
    """The loss overflows in one minibatch of epoch 2."""

    value = float("inf")

    def extra_losses(self, minibatch, losses):
        self.minibatches = getattr(self, "minibatches", 0) + 1
        return losses | ({"loss": losses["loss"] * self.value} if self.minibatches == 6 else {})


@pytest.mark.parametrize("value", NON_FINITE)
def test_an_overflowing_loss_skips_one_minibatch(capsys, value):
    torch.manual_seed(0)
    params = parse_params(toy_params(max_epochs=3))
    agent = type("Agent", (Overflow,), {"value": value})("run", params, vec_env=FaultyEnv(), observer=FiniteWeights())
    agent.train()
    err = capsys.readouterr().err
    assert "epoch 2: NaN, infinite or above 1e+15: loss or gradient in 1 minibatches, which were skipped" in err
    assert err.count("epoch") == 1 and all(agent.algo_observer.seen)
    assert agent.optimizer.state_dict()["state"][0]["step"] == 3 * 4 - 1  # three epochs of four updates, one skipped


def test_large_finite_rewards_are_used():
    agent = train(*[Fault("reward", 1e12, row, 0, 10**9) for row in range(ENVS)], normalize_value=True)
    assert float(agent.game_rewards.mean / agent.game_lengths.mean) == pytest.approx(1e12, rel=1e-4)


# --- failures of the disk --------------------------------------------------------------------------------------------


class ReplacesFolder(FiniteWeights):
    """Replace the checkpoint folder by a file after epoch 2 and delete the file after epoch 4."""

    def after_print_stats(self, frame, epoch_num, total_time):
        super().after_print_stats()
        nn = self.algo.run.folder.nn
        if epoch_num == 2:
            shutil.rmtree(nn)
            nn.write_text("in the way")
        if epoch_num == 4:
            nn.unlink()


def test_a_checkpoint_folder_that_is_missing_for_a_while_costs_one_warning(tmp_path, capsys):
    torch.manual_seed(0)
    params = parse_params(toy_params(max_epochs=6, save_frequency=1))
    folder = RunFolder.create(tmp_path, "Toy", "toy")
    agent = A2CAgent("run", params, vec_env=FaultyEnv(), observer=ReplacesFolder(), folder=lambda: folder)
    agent.train()
    err = capsys.readouterr().err
    assert err.count("could not save") == 1 and "Training continues" in err
    epochs = sorted(int(re.search(r"_ep_(\d+)_", file.name)[1]) for file in folder.nn.iterdir())
    assert agent.epoch_num == 6 and epochs == [4, 5, 6]
    assert len(folder.metrics_file.read_text().splitlines()) == 6


def test_training_continues_without_its_run_folder(tmp_path, capsys):
    class DeletesRun(FiniteWeights):
        def after_print_stats(self, frame, epoch_num, total_time):
            if epoch_num == 2:
                shutil.rmtree(tmp_path / "toy")
                (tmp_path / "toy").write_text("in the way")

    params = parse_params(toy_params(max_epochs=6, save_frequency=1, save_best_after=0))
    folder = RunFolder.create(tmp_path, "Toy", "toy")
    agent = A2CAgent("run", params, vec_env=FaultyEnv(), observer=DeletesRun(), folder=lambda: folder)
    agent.train()
    err = capsys.readouterr().err
    assert agent.epoch_num == 6
    assert err.count("could not save") == 2 and "there is no checkpoint" in err  # after epoch 3 and at the end
    assert err.count("metrics.jsonl: cannot write") == 1


# --- errors that end the training --------------------------------------------------------------------------------


class RaisingEnv(FaultyEnv):
    """Raise an error in step 20: the fourth step of the third rollout of eight."""

    steps_taken = 0

    def __init__(self, error):
        super().__init__()
        self.error = error

    def step(self, actions):
        self.steps_taken += 1
        if self.steps_taken == 20:
            raise self.error("the simulator is gone")
        return super().step(actions)


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])  # closing a viewer window raises SystemExit
def test_an_error_in_the_environment_loses_only_the_current_epoch(tmp_path, capsys, error):
    agent = build(env=RaisingEnv(error), folder=tmp_path)
    learned = []
    agent.run.begin_epoch = lambda: learned.append(
        {name: value.clone() for name, value in agent.model.state_dict().items()}
    )
    with pytest.raises(error, match="the simulator is gone") as caught:
        agent.train()
    assert caught.value.__notes__ == ["in epoch 3 of 'Toy', environment 'toy'"]
    (file,) = (tmp_path / "toy" / "nn").glob("last_Toy_ep_2_*.pth")
    assert "the weights of epoch 2 are saved" in capsys.readouterr().err
    state = load_checkpoint(file)
    assert state["epoch"] == 2
    assert all(torch.equal(state["model"][name], value) for name, value in learned[2].items())
    resumed = A2CAgent("run", agent.params, vec_env=FaultyEnv(), observer=FiniteWeights(), checkpoint=str(file))
    resumed.train()  # five epochs, as configured
    assert resumed.epoch_num == 5


def test_an_unsaved_best_policy_does_not_update_the_best_reward(tmp_path, monkeypatch):
    agent = build(folder=tmp_path, save_best_after=0, max_epochs=2)
    monkeypatch.setattr(agent.run.checkpoints, "save", lambda *args: False)
    agent.train()
    assert agent.last_mean_rewards == float("-inf") and agent.run.best_seen > float("-inf")
