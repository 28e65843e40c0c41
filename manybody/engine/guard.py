"""Detect non-finite values, keep them out of the weights and report where they came from.

Everything is counted on the device and read with the epoch's one host read. The configuration key ``guard`` chooses the
reaction.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from manybody.config.errors import ManybodyError
from manybody.data.tree import leaves, tree_map
from manybody.functional.stats import LARGEST, known_empty, rows_sane

POLICIES = {
    "quarantine": "the environment's step is neutralised, the rest of the batch is used",
    "skip": "the whole epoch's update is left out",
    "rollback": "weights and optimiser return to the last good epoch",
    "abort": "a checkpoint is written and training stops",
}
NEVER = float(2**40)
MAX_STUCK_EPOCHS = 3
"""Consecutive epochs without a single finite update after which ``quarantine`` and ``skip`` roll back too."""
MAX_BAD_EPOCHS = 10
"""Consecutive bad epochs after which training is aborted."""


class TrainingAbortedError(ManybodyError, RuntimeError):
    """Training meets only non-finite values; a checkpoint of the last good state was written."""

    exit_code = 3


class Guard:
    """Watches N rows over the T steps of each rollout.

    Args:
        policy: a key of :data:`POLICIES`.
        rows: N.
        device: where the learner computes.
    """

    DATA = ("obs", "states", "reward", "final_obs", "extras")
    """Values that come from the environment; non-finite actions come from the weights."""
    KEYS = (*DATA, "action", "action_masks")

    def __init__(self, policy: str, rows: int, device: torch.device) -> None:
        self.policy = policy
        self.rows = rows
        self.row_numbers = torch.arange(rows, device=device, dtype=torch.float64)
        self.device = device
        self.stuck_epochs = 0
        self.bad_epochs = 0
        self.mostly_broken_epochs = 0
        self.last_good: Any = None
        """Weights and optimiser after the last good epoch."""
        self.start_epoch()

    def start_epoch(self) -> None:
        """Reset the counts."""
        zero = torch.zeros((), device=self.device, dtype=torch.float64)
        self._counts = dict.fromkeys(self.KEYS, zero)
        self._first = dict.fromkeys(self.KEYS, zero + NEVER)
        self.skipped_updates = zero
        self.steps = 0

    def clean(self, key: str, n: int, x: Any, rows: Tensor | None = None) -> tuple[Any, Tensor]:
        """Replace non-finite rows by zeros and count them.

        Args:
            key: one of :attr:`KEYS`, for the report.
            n: step of the rollout.
            x: (N, ...), or a dictionary of such; integers are always finite.
            rows: (N,) bool, the rows that have a meaning; all by default.

        Returns:
            ``x`` with non-finite rows zeroed, and (N,) bool, which rows those were.
        """
        self.steps = max(self.steps, n + 1)
        broken = torch.zeros(self.rows, dtype=torch.bool, device=self.device)
        for leaf in leaves(x):
            if leaf.is_floating_point():
                broken = broken | ~rows_sane(leaf)
        if rows is not None:
            broken = broken & rows
        if known_empty(broken):
            return tree_map(torch.clone, x), broken  # the environment may reuse its buffer
        self.count(key, n, broken)
        return tree_map(lambda leaf: leaf.masked_fill(broken.reshape(-1, *[1] * (leaf.ndim - 1)), 0), x), broken

    def count(self, key: str, n: int, broken: Tensor) -> None:
        """Count the rows ``broken`` (N,) bool at step ``n``."""
        place = torch.where(broken, self.row_numbers + n * self.rows, NEVER).min()
        self._counts[key] = self._counts[key] + broken.sum()
        self._first[key] = torch.minimum(self._first[key], place)

    def healthy_update(self, loss: Tensor, grad_norm: Tensor) -> Tensor:
        """() bool: this minibatch may change the weights."""
        healthy = (loss.detach().abs() <= LARGEST) & (grad_norm <= LARGEST)
        if self.policy == "skip":
            healthy = healthy & (torch.stack(list(self._counts.values())).sum() == 0)
        self.skipped_updates = self.skipped_updates + (~healthy)
        return healthy

    def counters(self) -> dict[str, Tensor]:
        """() tensors for the epoch's one host read."""
        counts = {f"guard/{key}": value for key, value in self._counts.items()}
        firsts = {f"guard_first/{key}": value for key, value in self._first.items()}
        return {**counts, **firsts, "guard/skipped_updates": self.skipped_updates}

    def describe(self, read: Mapping[str, float]) -> str | None:
        """One sentence with key, environment and step of the first non-finite values; None if there were none."""
        parts = []
        for key in (*self.DATA, "action"):
            if read[f"guard/{key}"]:
                n, row = divmod(int(read[f"guard_first/{key}"]), self.rows)
                parts.append(f"{key} of environment {row} at step {n} ({read[f'guard/{key}']:.0f} such rows)")
        if read["guard/skipped_updates"]:
            parts.append(f"loss or gradient in {read['guard/skipped_updates']:.0f} minibatches, which were skipped")
        if not parts:
            return None
        action = f"guard: {self.policy} ({POLICIES[self.policy]})"
        return f"NaN, infinite or above {LARGEST:.0e}: {'; '.join(parts)}. {action}"

    def end_epoch(
        self,
        read: Mapping[str, float],
        updates: int,
        snapshot: Callable[[], Any],
        restore: Callable[[Any], None],
    ) -> str | None:
        """Apply the policy after an epoch.

        Args:
            read: the counters, on the host.
            updates: minibatches of the epoch.
            snapshot: returns a copy of weights and optimiser.
            restore: loads such a copy.

        Returns:
            What was found and done, or None.

        Raises:
            TrainingAbortedError: the policy is ``abort``, or rolling back did not help, or half of the environment's
                values were not finite for :data:`MAX_BAD_EPOCHS` consecutive epochs.
        """
        if read["guard/action_masks"]:
            n, row = divmod(int(read["guard_first/action_masks"]), self.rows)
            raise TrainingAbortedError(f"action_masks of environment {row} at step {n} allow no action at all")
        sentence = self.describe(read)
        skipped = read["guard/skipped_updates"]
        most = max(read[f"guard/{key}"] for key in self.DATA)
        mostly_broken = most > 0 and 2 * most >= self.rows * self.steps
        self.mostly_broken_epochs = self.mostly_broken_epochs + 1 if mostly_broken else 0
        if self.mostly_broken_epochs >= MAX_BAD_EPOCHS:
            restore(self.last_good)
            raise TrainingAbortedError(
                f"{sentence}; for {self.mostly_broken_epochs} epochs in a row at least half of the environment's "
                "values were not finite. Check the environment"
            )
        if sentence is None or (self.policy == "quarantine" and not skipped):
            self.last_good = snapshot()
            self.stuck_epochs = self.bad_epochs = 0
            return sentence
        self.bad_epochs += 1
        bad_weights = read["guard/action"] or not any(read[f"guard/{key}"] for key in self.DATA)
        stuck = skipped >= updates and (bad_weights or self.policy != "skip")
        self.stuck_epochs = self.stuck_epochs + 1 if stuck else 0
        if self.policy == "abort":
            restore(self.last_good)
            raise TrainingAbortedError(sentence)
        if self.policy == "rollback" or self.stuck_epochs >= MAX_STUCK_EPOCHS:
            restore(self.last_good)
            sentence += "; returned to the last good weights"
            self.stuck_epochs = 0
            if self.bad_epochs >= MAX_BAD_EPOCHS:
                raise TrainingAbortedError(
                    f"{sentence}; {self.bad_epochs} bad epochs in a row. Lower learning_rate, or check the "
                    "environment named above"
                )
        return sentence
