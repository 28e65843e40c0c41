"""Detect NaN, infinity and values above :data:`LARGEST`, and keep them out of weights and statistics."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from manybody.config.errors import ManybodyError
from manybody.data.tree import leaves, tree_map
from manybody.engine.console import warn
from manybody.functional.stats import LARGEST, known_empty, rows_sane

T = TypeVar("T")

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


class NonFiniteError(ManybodyError, RuntimeError):
    """There is no result: the policy's actions are not finite, or all games have non-finite values."""


def broken_rows(x: object, rows: int, device: torch.device) -> Tensor:
    """(N,) bool: the rows of ``x``, (N, ...) or a dictionary of such, with non-finite values; integers have none."""
    broken = torch.zeros(rows, dtype=torch.bool, device=device)
    for leaf in leaves(x):
        if _is_per_row(leaf, rows) and leaf.is_floating_point():
            broken = broken | ~rows_sane(leaf.reshape(rows, -1)).to(device)
    return broken


def _is_per_row(leaf: Any, rows: int) -> bool:
    return isinstance(leaf, Tensor) and leaf.numel() > 0 and (rows == 1 or leaf.shape[:1] == (rows,))


def _zeroed(x: T, broken: Tensor) -> T:
    """``x`` with the rows ``broken`` (N,) set to zero."""

    def zeroed(leaf: Any) -> Any:
        if not _is_per_row(leaf, len(broken)):
            return leaf
        flat = leaf.reshape(len(broken), -1)
        return flat.masked_fill(broken.to(leaf.device).unsqueeze(1), 0).reshape(leaf.shape)

    result: T = tree_map(zeroed, x)
    return result


class Guard:
    """Watches N rows over the T steps of each rollout.

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

    def clean(self, key: str, n: int, x: T, rows: Tensor | None = None) -> tuple[T, Tensor]:
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
        broken = broken_rows(x, self.rows, self.device)
        if rows is not None:
            broken = broken & rows
        if known_empty(broken):
            return tree_map(torch.clone, x), broken  # the environment may reuse its buffer
        self.count(key, n, broken)
        return _zeroed(x, broken), broken

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


class PlayGuard:
    """Watches the games of N rows for NaN, infinity and values above :data:`LARGEST`.

    A game with such a value ends there and does not count. The first value is reported with row, step and key; step 0
    is the reset.
    """

    def __init__(self, env_name: str, rows: int, device: torch.device) -> None:
        self.env_name, self.rows = env_name, rows
        self.step = 0
        self.found = ""
        """The first non-finite value; empty while there is none."""
        self._next = torch.zeros(rows, dtype=torch.bool, device=device)
        self._closed = self._next.clone()

    def reset(self, obs: T) -> T:
        """``obs`` of a reset of all rows, with non-finite rows zeroed."""
        cleaned, self._next = self.clean("obs", obs)
        self._closed = torch.zeros_like(self._next)
        return cleaned

    def check_actions(self, bad: Tensor) -> None:
        """Raise NonFiniteError if the policy's action for a finite observation is not finite: in rows ``bad`` (N,)."""
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
            obs: (N, ...), or a dictionary; where a row is done, the first observation of its next game.
            done: (N,) bool.
            others: other values of the step, by key.
            final_obs: the last observations of the games that are done.

        Returns:
            ``obs`` with non-finite rows zeroed; (N,) bool, the games that end now; (N,) bool, those of all rows that
            hold non-finite values and do not count.
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
        """:meth:`Guard.clean` for a value of this step."""
        broken = self.broken_rows(x)
        if among is not None:
            broken = broken & among
        if known_empty(broken):
            return x, broken
        self._report(key, x, broken)
        return _zeroed(x, broken), broken

    def broken_rows(self, x: object) -> Tensor:
        """(N,) bool, the rows of ``x`` with such values."""
        return broken_rows(x, self.rows, self._closed.device)

    def _report(self, key: str, x: object, broken: Tensor) -> None:
        if self.found or not broken.any():
            return
        row = int(broken.int().argmax())
        name, leaf = next((name, leaf) for name, leaf in _named(x, key) if self.broken_rows(leaf)[row])
        values = leaf.reshape(self.rows, -1)[row]
        bad = float(values[~(values.abs() <= LARGEST)][0])
        self.found = (
            f"{self.env_name}: {name} of row {row} at step {self.step}: got {bad:g}; "
            f"expected finite values below {LARGEST:.0e}"
        )
        warn(f"{self.found}. Games with such values are left out of the statistics.")

    def nothing_left(self, left_out: int) -> NonFiniteError:
        """The error for when all ``left_out`` games were left out."""
        return NonFiniteError(
            f"{self.found}. All {left_out} games hold such values, so there is no return to report. Check the "
            "environment."
        )


def invalid_logits(logits: Tensor) -> Tensor:
    """(N,) bool: rows of ``logits`` (N, K) that are NaN or infinite; -inf only forbids an action."""
    return ~(logits < float("inf")).all(dim=-1)


def left_out_text(left_out: int) -> str:
    """Describe the number of games that do not count."""
    return f"{left_out} game{'s' * (left_out != 1)} with non-finite values left out"


def _named(x: object, key: str) -> list[tuple[str, Any]]:
    if not isinstance(x, Mapping):
        return [(key, x)]
    return [pair for name, part in x.items() for pair in _named(part, key if name == "obs" else f"{key}.{name}")]
