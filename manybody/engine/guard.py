"""Detect NaN, infinity and values above :data:`LARGEST`, and keep them out of weights and statistics."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from manybody.config.errors import ManybodyError
from manybody.data.tree import leaves, tree_map
from manybody.engine.console import warn
from manybody.functional.stats import LARGEST, known_empty, rows_finite

T = TypeVar("T")

POLICIES = {
    "quarantine": "the environment's step is left out, the rest of the batch is used",
    "skip": "the update of the whole epoch is skipped",
    "rollback": "weights and optimiser are restored from the last good epoch",
    "abort": "a checkpoint is written and training stops",
}
NEVER = float(2**40)
MAX_STUCK_EPOCHS = 3
"""Consecutive epochs without a single finite update after which ``quarantine`` and ``skip`` roll back too."""
MAX_BAD_EPOCHS = 10
"""Consecutive bad epochs after which training is aborted."""


class TrainingAbortedError(ManybodyError, RuntimeError):
    """Non-finite values make training impossible; a checkpoint of the last good state was written."""

    exit_code = 3


class NonFiniteError(ManybodyError, RuntimeError):
    """Playing has no result: the policy's actions are not finite, or all games have non-finite values."""


def non_finite_rows(x: object, rows: int, device: torch.device) -> Tensor:
    """Return (N,) bool: rows of ``x`` with non-finite values; ``x`` is a tensor (N, ...) or a dictionary of them."""
    bad_rows = torch.zeros(rows, dtype=torch.bool, device=device)
    for leaf in leaves(x):
        if _is_per_row(leaf, rows) and leaf.is_floating_point():
            bad_rows = bad_rows | ~rows_finite(leaf.reshape(rows, -1)).to(device)
    return bad_rows


def _is_per_row(leaf: object, rows: int) -> bool:
    return isinstance(leaf, Tensor) and leaf.numel() > 0 and (rows == 1 or leaf.shape[:1] == (rows,))


def _zeroed(x: T, bad_rows: Tensor) -> T:
    """Return ``x`` with ``bad_rows`` (N,) set to zero."""

    def zeroed(leaf: Any) -> Any:
        if not _is_per_row(leaf, len(bad_rows)):
            return leaf
        flat = leaf.reshape(len(bad_rows), -1)
        return flat.masked_fill(bad_rows.to(leaf.device).unsqueeze(1), 0).reshape(leaf.shape)

    result: T = tree_map(zeroed, x)
    return result


class Guard:
    """Detects non-finite values in N rows over the T steps of each rollout.

    Values are counted on the device and read with the epoch's one host read. ``policy`` is a key of :data:`POLICIES`.
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
        self.mostly_bad_epochs = 0
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

    def clean(self, key: str, n: int, x: T, rows: Tensor | None = None) -> tuple[T, Tensor]:
        """Replace non-finite rows by zeros and count them.

        Args:
            key: one of :attr:`KEYS`, for the report.
            n: step of the rollout.
            x: a tensor (N, ...), or a dictionary of them; integers are always finite.
            rows: (N,) bool, the rows to check; all by default.

        Returns:
            ``x`` with non-finite rows set to zero, and (N,) bool, these rows.
        """
        self.steps = max(self.steps, n + 1)
        bad_rows = non_finite_rows(x, self.rows, self.device)
        if rows is not None:
            bad_rows = bad_rows & rows
        if known_empty(bad_rows):
            return tree_map(torch.clone, x), bad_rows  # the environment may reuse its buffer
        self.count(key, n, bad_rows)
        return _zeroed(x, bad_rows), bad_rows

    def count(self, key: str, n: int, bad_rows: Tensor) -> None:
        """Count ``bad_rows`` (N,) bool at step ``n``."""
        place = torch.where(bad_rows, self.row_numbers + n * self.rows, NEVER).min()
        self._counts[key] = self._counts[key] + bad_rows.sum()
        self._first[key] = torch.minimum(self._first[key], place)

    def healthy_update(self, loss: Tensor, grad_norm: Tensor) -> Tensor:
        """Return () bool, whether this minibatch may change the weights, and count it if not."""
        healthy = (loss.detach().abs() <= LARGEST) & (grad_norm <= LARGEST)
        if self.policy == "skip":
            healthy = healthy & (torch.stack(list(self._counts.values())).sum() == 0)
        self.skipped_updates = self.skipped_updates + (~healthy)
        return healthy

    def counters(self) -> dict[str, Tensor]:
        """Return the counts, () tensors for the epoch's one host read."""
        counts = {f"guard/{key}": value for key, value in self._counts.items()}
        firsts = {f"guard_first/{key}": value for key, value in self._first.items()}
        return {**counts, **firsts, "guard/skipped_updates": self.skipped_updates}

    def describe(self, read: Mapping[str, float]) -> str | None:
        """Return a sentence with key, environment and step of the first non-finite values; None if there are none."""
        parts = [
            f"{self._first_place(read, key)} ({read[f'guard/{key}']:.0f} such rows)"
            for key in (*self.DATA, "action")
            if read[f"guard/{key}"]
        ]
        if read["guard/skipped_updates"]:
            parts.append(f"loss or gradient in {read['guard/skipped_updates']:.0f} minibatches, which were skipped")
        if not parts:
            return None
        action = f"guard: {self.policy} ({POLICIES[self.policy]})"
        return f"NaN, infinite or above {LARGEST:.0e}: {'; '.join(parts)}. {action}"

    def _first_place(self, read: Mapping[str, float], key: str) -> str:
        n, row = divmod(int(read[f"guard_first/{key}"]), self.rows)
        return f"{key} of environment {row} at step {n}"

    def end_epoch(
        self, read: Mapping[str, float], updates: int, snapshot: Callable[[], T], restore: Callable[[T], None]
    ) -> str | None:
        """Apply the policy after an epoch.

        Args:
            read: the counters, on the host.
            updates: minibatches of the epoch.
            snapshot: returns a copy of weights and optimiser.
            restore: loads such a copy.

        Returns:
            A sentence about the non-finite values and the reaction, or None.

        Raises:
            TrainingAbortedError: the policy is ``abort``, or rolling back did not help, or half of the environment's
                values were not finite for :data:`MAX_BAD_EPOCHS` consecutive epochs.
        """
        if read["guard/action_masks"]:
            raise TrainingAbortedError(f"{self._first_place(read, 'action_masks')} allow no action at all")
        sentence = self.describe(read)
        skipped = read["guard/skipped_updates"]
        most = max(read[f"guard/{key}"] for key in self.DATA)
        mostly_bad = most > 0 and 2 * most >= self.rows * self.steps
        self.mostly_bad_epochs = self.mostly_bad_epochs + 1 if mostly_bad else 0
        if self.mostly_bad_epochs >= MAX_BAD_EPOCHS:
            restore(self.last_good)
            raise TrainingAbortedError(
                f"{sentence}; for {self.mostly_bad_epochs} epochs in a row at least half of the environment's "
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
            sentence += "; restored the last good weights"
            self.stuck_epochs = 0
            if self.bad_epochs >= MAX_BAD_EPOCHS:
                raise TrainingAbortedError(
                    f"{sentence}; {self.bad_epochs} bad epochs in a row. Lower learning_rate, or check the "
                    "environment named above"
                )
        return sentence


class PlayGuard:
    """Detects NaN, infinity and values above :data:`LARGEST` in the games of N rows.

    A game with such a value ends there and does not count. The first value is reported with row, step and key; step 0
    is the reset.
    """

    def __init__(self, env_name: str, rows: int, device: torch.device) -> None:
        self.env_name, self.rows = env_name, rows
        self.step = 0
        self.found = ""
        """Description of the first non-finite value; empty without one."""
        self._next = torch.zeros(rows, dtype=torch.bool, device=device)
        self._closed = self._next.clone()

    def reset(self, obs: T) -> T:
        """Return ``obs`` of a reset of all rows, with non-finite rows set to zero."""
        cleaned, self._next = self.clean("obs", obs)
        self._closed = torch.zeros_like(self._next)
        return cleaned

    def check_actions(self, bad: Tensor) -> None:
        """Raise NonFiniteError if the action of any row is not finite; ``bad`` (N,) bool marks these rows."""
        if bad.any():
            place = f"action of row {int(bad.int().argmax())} at step {self.step + 1}"
            raise NonFiniteError(
                f"{self.env_name}: {place}: got a value that is not finite; expected finite actions for finite "
                "observations. The weights are too large, or the network is wrong. Use an earlier checkpoint."
            )

    def after_step(
        self, obs: T, done: Tensor, others: Mapping[str, object], final_obs: object = None
    ) -> tuple[T, Tensor, Tensor]:
        """Check one step of all rows.

        Args:
            obs: (N, ...), or a dictionary; in rows that are done, the first observation of the next game.
            done: (N,) bool.
            others: other values of the step, by key.
            final_obs: the last observations of the games that are done.

        Returns:
            ``obs`` with non-finite rows set to zero; (N,) bool, the rows whose game ends now; (N,) bool, the rows whose
            game has non-finite values and does not count.
        """
        self.step += 1
        invalid = self._next
        for key, value in others.items():
            invalid = invalid | self.clean(key, value)[1]
        if final_obs is not None:
            invalid = invalid | self.clean("final_obs", final_obs, done)[1]
        obs, bad_obs = self.clean("obs", obs)
        invalid = invalid | (bad_obs & ~done)
        ended = (done | invalid) & ~self._closed
        invalid = invalid | self._closed
        self._next = bad_obs & done
        self._closed = invalid & ~done
        return obs, ended, invalid

    def clean(self, key: str, x: T, among: Tensor | None = None) -> tuple[T, Tensor]:
        """Set the non-finite rows of a value of this step to zero and report the first, as :meth:`Guard.clean` does."""
        bad_rows = self.non_finite_rows(x)
        if among is not None:
            bad_rows = bad_rows & among
        if known_empty(bad_rows):
            return x, bad_rows
        self._report(key, x, bad_rows)
        return _zeroed(x, bad_rows), bad_rows

    def non_finite_rows(self, x: object) -> Tensor:
        """Return (N,) bool, the rows of ``x`` with non-finite values."""
        return non_finite_rows(x, self.rows, self._closed.device)

    def _report(self, key: str, x: object, bad_rows: Tensor) -> None:
        if self.found or not bad_rows.any():
            return
        row = int(bad_rows.int().argmax())
        name, leaf = next((name, leaf) for name, leaf in _named(x, key) if self.non_finite_rows(leaf)[row])
        values = leaf.reshape(self.rows, -1)[row]
        bad = float(values[~(values.abs() <= LARGEST)][0])
        self.found = (
            f"{self.env_name}: {name} of row {row} at step {self.step}: got {bad:g}; "
            f"expected finite values below {LARGEST:.0e}"
        )
        warn(f"{self.found}. Games with such values are left out of the statistics.")

    def all_left_out(self, left_out: int) -> NonFiniteError:
        """Return the error that reports that all ``left_out`` games were left out."""
        return NonFiniteError(
            f"{self.found}. All {left_out} games have such values, so there is no return to report. Check the "
            "environment."
        )


def invalid_logits(logits: Tensor) -> Tensor:
    """Return (N,) bool: rows of ``logits`` (N, K) that are NaN or infinite; -inf only forbids an action."""
    return ~(logits < float("inf")).all(dim=-1)


def left_out_text(left_out: int) -> str:
    """Describe the number of games that do not count."""
    return f"{left_out} game{'s' * (left_out != 1)} with non-finite values left out"


def _named(x: object, key: str) -> list[tuple[str, Any]]:
    if not isinstance(x, Mapping):
        return [(key, x)]
    return [pair for name, part in x.items() for pair in _named(part, key if name == "obs" else f"{key}.{name}")]
