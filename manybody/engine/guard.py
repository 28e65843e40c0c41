"""NaN and infinity: found where they enter, kept away from the weights, and named in one sentence.

Everything is counted on the device and read with the epoch's one read. The configuration key ``guard`` says what
happens to an epoch in which a broken number showed up.
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
PATIENCE = 3
"""Epochs in a row without a single healthy update after which even the milder policies roll back."""
HOPELESS = 10
"""Epochs in a row without a good one after which rolling back once more is given up."""


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
    """What comes from the environment; broken actions come from broken weights."""
    KEYS = (*DATA, "action", "action_masks")

    def __init__(self, policy: str, rows: int, device: torch.device) -> None:
        self.policy = policy
        self.rows = rows
        self.row_numbers = torch.arange(rows, device=device, dtype=torch.float64)
        self.device = device
        self.unhealthy_epochs = 0
        self.bad_epochs = 0
        self.drowned_epochs = 0
        self.good: Any = None
        """Weights and optimiser after the last good epoch."""
        self.start_epoch()

    def remember(self, good: Any) -> None:
        """Keep a copy of weights and optimiser to return to."""
        self.good = good

    def start_epoch(self) -> None:
        """Forget the counts of the last epoch."""
        zero = torch.zeros((), device=self.device, dtype=torch.float64)
        self._counts = dict.fromkeys(self.KEYS, zero)
        self._first = dict.fromkeys(self.KEYS, zero + NEVER)
        self.skipped_updates = zero
        self.steps = 0

    def clean(self, key: str, n: int, x: Any, rows: Tensor | None = None) -> tuple[Any, Tensor]:
        """Replace broken rows by zeros and count them.

        Args:
            key: one of :attr:`KEYS`, for the report.
            n: step of the rollout.
            x: (N, ...), or a dictionary of such; whole numbers are never broken.
            rows: (N,) bool, the rows that mean anything; all by default.

        Returns:
            ``x`` with broken rows zeroed, and (N,) bool, which rows were broken.
        """
        self.steps = max(self.steps, n + 1)
        broken = torch.zeros(self.rows, dtype=torch.bool, device=self.device)
        for leaf in leaves(x):
            if leaf.is_floating_point():
                broken = broken | ~rows_sane(leaf)
        if rows is not None:
            broken = broken & rows
        if known_empty(broken):
            return tree_map(torch.clone, x), broken  # what the environment may write to later
        self.count(key, n, broken)
        return tree_map(lambda leaf: leaf.masked_fill(broken.reshape(-1, *[1] * (leaf.ndim - 1)), 0), x), broken

    def count(self, key: str, n: int, broken: Tensor) -> None:
        """Note that the rows ``broken`` (N,) bool were so at step ``n``."""
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
        """() tensors for the epoch's one read."""
        counts = {f"guard/{key}": value for key, value in self._counts.items()}
        firsts = {f"guard_first/{key}": value for key, value in self._first.items()}
        return {**counts, **firsts, "guard/skipped_updates": self.skipped_updates}

    def describe(self, read: Mapping[str, float]) -> str | None:
        """One sentence naming key, environment and step of what was found; None when all was well."""
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

    def judge(
        self,
        read: Mapping[str, float],
        updates: int,
        remember: Callable[[], Any],
        recall: Callable[[Any], None],
    ) -> str | None:
        """Apply the policy after an epoch.

        Args:
            read: the counters, on the host.
            updates: minibatches of the epoch.
            remember: gives a copy of weights and optimiser.
            recall: puts such a copy back.

        Returns:
            What was found and done, or None.

        Raises:
            TrainingAbortedError: the policy is ``abort``, or rolling back did not help, or half of what the
                environment gave was broken for :data:`HOPELESS` epochs in a row.
        """
        if read["guard/action_masks"]:
            n, row = divmod(int(read["guard_first/action_masks"]), self.rows)
            raise TrainingAbortedError(f"action_masks of environment {row} at step {n} allow no action at all")
        sentence = self.describe(read)
        skipped = read["guard/skipped_updates"]
        most = max(read[f"guard/{key}"] for key in self.DATA)
        self.drowned_epochs = self.drowned_epochs + 1 if most and 2 * most >= self.rows * self.steps else 0
        if self.drowned_epochs >= HOPELESS:
            recall(self.good)
            raise TrainingAbortedError(
                f"{sentence}; for {self.drowned_epochs} epochs in a row at least half of what the environment gave was "
                "broken. Look at the environment"
            )
        if sentence is None or (self.policy == "quarantine" and not skipped):
            self.good = remember()
            self.unhealthy_epochs = self.bad_epochs = 0
            return sentence
        self.bad_epochs += 1
        sick_weights = read["guard/action"] or not any(read[f"guard/{key}"] for key in self.DATA)
        stuck = skipped >= updates and (sick_weights or self.policy != "skip")
        self.unhealthy_epochs = self.unhealthy_epochs + 1 if stuck else 0
        if self.policy == "abort":
            recall(self.good)
            raise TrainingAbortedError(sentence)
        if self.policy == "rollback" or self.unhealthy_epochs >= PATIENCE:
            recall(self.good)
            sentence += "; returned to the last good weights"
            self.unhealthy_epochs = 0
            if self.bad_epochs >= HOPELESS:
                raise TrainingAbortedError(
                    f"{sentence}; {self.bad_epochs} epochs in a row were like this. Lower learning_rate, or look "
                    "at the environment named above"
                )
        return sentence
