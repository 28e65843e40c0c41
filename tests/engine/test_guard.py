"""The guard: what counts as broken, where it was, and what each policy does about it."""

import pytest
import torch

from manybody.engine.guard import MAX_BAD_EPOCHS, MAX_STUCK_EPOCHS, POLICIES, Guard, TrainingAbortedError
from manybody.engine.metrics import read_to_host

CPU = torch.device("cpu")
BROKEN = [float("nan"), float("inf"), float("-inf"), 1e38, -1e38]
UPDATES = 4


@pytest.fixture
def guard():
    return Guard("quarantine", rows=6, device=CPU)


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 2)])
def test_broken_rows_become_zero_and_the_others_stay(guard, value, shape):
    x = torch.ones(shape)
    x[4, ...].view(-1)[-1] = value  # one number of row 4 is enough
    cleaned, broken = guard.clean("obs", 2, x)
    assert broken.tolist() == [False] * 4 + [True, False]
    assert cleaned[4].abs().sum() == 0
    assert torch.equal(cleaned[:4], torch.ones(shape)[:4]) and torch.equal(cleaned[5], torch.ones(shape)[5])
    assert x[0].min() == 1.0  # out of place


@pytest.mark.parametrize("value", [0.0, -1e14, 1e15])
def test_large_is_not_broken(guard, value):
    x = torch.full((6, 2), value)
    cleaned, broken = guard.clean("reward", 0, x)
    assert not broken.any() and torch.equal(cleaned, x)
    assert guard.describe(read_to_host(guard.counters())) is None


def test_the_sentence_names_key_environment_step_and_policy(guard):
    for n, row in ((7, 5), (3, 2), (3, 4)):  # step 3 comes first, and in it environment 2
        x = torch.zeros(6, 3)
        x[row] = float("nan")
        guard.clean("obs", n, x)
    guard.clean("reward", 1, torch.tensor([0.0, float("inf"), 0, 0, 0, 0]))
    sentence = guard.describe(read_to_host(guard.counters()))
    assert "obs of environment 2 at step 3 (3 such rows)" in sentence
    assert "reward of environment 1 at step 1 (1 such rows)" in sentence
    assert "action" not in sentence and "final_obs" not in sentence
    assert "guard: quarantine" in sentence


def test_rows_that_mean_nothing_are_not_looked_at(guard):
    x = torch.full((6, 3), float("nan"))
    rows = torch.tensor([False, True, False, False, False, False])
    _, broken = guard.clean("final_obs", 0, x, rows)
    assert broken.tolist() == rows.tolist()


def test_every_epoch_starts_clean(guard):
    guard.clean("obs", 0, torch.full((6, 1), float("nan")))
    guard.healthy_update(torch.tensor(float("nan")), torch.tensor(1.0))
    guard.start_epoch()
    assert set(read_to_host({k: v for k, v in guard.counters().items() if "first" not in k}).values()) == {0.0}


@pytest.mark.parametrize("value", BROKEN)
def test_a_broken_loss_or_gradient_forbids_the_update(guard, value):
    good, bad = torch.tensor(1.0), torch.tensor(value)
    assert guard.healthy_update(good, good)
    assert not guard.healthy_update(bad, good)
    assert not guard.healthy_update(good, bad.abs())  # a norm is never negative
    assert guard.skipped_updates == 2


@pytest.mark.parametrize("policy", POLICIES)
def test_only_skip_leaves_out_updates_for_broken_samples(policy):
    guard = Guard(policy, 6, CPU)
    guard.clean("reward", 0, torch.tensor([float("nan"), 0, 0, 0, 0, 0]))
    assert bool(guard.healthy_update(torch.tensor(1.0), torch.tensor(1.0))) is (policy != "skip")


# --- the end of an epoch --------------------------------------------------------------------------------------------


class Weights:
    """The state that ``end_epoch`` snapshots and restores; epoch n leaves weights n."""

    def __init__(self, policy):
        self.guard = Guard(policy, 6, CPU)
        self.guard.clean("obs", 3, torch.zeros(6, 1))  # four steps of six rows
        self.now = 0
        self.guard.last_good = 0

    def epoch(self, obs=0, skipped=0):
        self.now += 1
        read = dict.fromkeys((f"guard/{key}" for key in Guard.KEYS), 0.0)
        read |= dict.fromkeys((f"guard_first/{key}" for key in Guard.KEYS), 0.0)
        read |= {"guard/obs": float(obs), "guard/skipped_updates": float(skipped)}
        return self.guard.end_epoch(read, UPDATES, lambda: self.now, self._restore)

    def _restore(self, good):
        self.now = good


@pytest.mark.parametrize("policy", POLICIES)
def test_a_clean_epoch_is_silent_and_kept(policy):
    weights = Weights(policy)
    assert [weights.epoch() for _ in range(3)] == [None] * 3
    assert weights.now == 3


def test_quarantine_keeps_what_was_learned_beside_broken_samples():
    weights = Weights("quarantine")
    assert all("obs of environment 0" in weights.epoch(obs=1) for _ in range(100))
    assert weights.now == 100
    for _ in range(MAX_STUCK_EPOCHS):
        sentence = weights.epoch(skipped=UPDATES)
    assert weights.now == 100 and "restored the last good weights" in sentence  # not to those of 100 epochs ago


def test_rollback_returns_at_once_even_before_the_first_good_epoch():
    weights = Weights("rollback")
    assert "restored" in weights.epoch(obs=1) and weights.now == 0
    weights.epoch()
    assert "restored" in weights.epoch(skipped=1) and weights.now == 1


@pytest.mark.parametrize("policy", ["quarantine", "skip"])
def test_weights_that_no_minibatch_can_use_are_rolled_back_after_some_epochs(policy):
    weights = Weights(policy)
    for _ in range(MAX_STUCK_EPOCHS - 1):
        assert "restored" not in weights.epoch(skipped=UPDATES)
    assert "restored" in weights.epoch(skipped=UPDATES) and weights.now == 0


def test_skip_waits_as_long_as_an_environment_is_broken():
    weights = Weights("skip")
    assert not any("restored" in weights.epoch(obs=1, skipped=UPDATES) for _ in range(50))


@pytest.mark.parametrize("policy", ["quarantine", "skip"])
def test_an_environment_most_of_which_stays_broken_ends_training(policy):
    """6 rows and 4 steps: 12 broken ones are half of all, 11 are fewer."""
    weights = Weights(policy)
    for obs in (*[12] * (MAX_BAD_EPOCHS - 1), 11, *[12] * (MAX_BAD_EPOCHS - 1)):
        weights.epoch(obs=obs)
    good = weights.guard.last_good
    with pytest.raises(TrainingAbortedError, match=f"for {MAX_BAD_EPOCHS} epochs in a row at least half"):
        weights.epoch(obs=12)
    assert weights.now == good


def test_a_few_skipped_minibatches_are_no_reason_to_return():
    weights = Weights("quarantine")
    assert not any("restored" in weights.epoch(skipped=UPDATES - 1) for _ in range(50))


def test_abort_returns_to_the_last_good_weights_and_raises():
    weights = Weights("abort")
    weights.epoch()
    with pytest.raises(TrainingAbortedError, match="obs of environment 0 at step 0"):
        weights.epoch(obs=1)
    assert weights.now == 1


def test_rollbacks_that_do_not_help_end_training():
    weights = Weights("rollback")
    for _ in range(MAX_BAD_EPOCHS - 1):
        weights.epoch(obs=1)
    with pytest.raises(TrainingAbortedError, match=f"{MAX_BAD_EPOCHS} bad epochs in a row"):
        weights.epoch(obs=1)
    weights = Weights("rollback")
    for _ in range(5):  # a good epoch in between resets the count
        for _ in range(MAX_BAD_EPOCHS - 1):
            weights.epoch(obs=1)
        weights.epoch()
