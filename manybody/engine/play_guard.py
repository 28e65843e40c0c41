"""Detect non-finite values while a policy plays and keep them out of the statistics."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from manybody.config.errors import ManybodyError
from manybody.data.tree import leaves, tree_map
from manybody.engine.console import warn
from manybody.functional.stats import LARGEST, known_empty, rows_sane


class NonFiniteError(ManybodyError, RuntimeError):
    """There is no result: the policy's actions are not finite, or all games have non-finite values."""


class PlayGuard:
    """Watches the games of N rows for NaN, infinity and values above :data:`LARGEST`.

    A game with such a value ends there and does not count. The first value is reported with row, step and key. Steps
    are counted since playing started: 0 is the reset.

    Args:
        env_name: for the report.
        rows: N.
        device: of the masks.
    """

    def __init__(self, env_name: str, rows: int, device: torch.device) -> None:
        self.env_name, self.rows = env_name, rows
        self.step = 0
        self.found = ""
        """The first non-finite value; empty while there is none."""
        self._next = torch.zeros(rows, dtype=torch.bool, device=device)
        self._closed = self._next.clone()

    def reset(self, obs: Any) -> Any:
        """``obs`` of a reset of all rows, with non-finite rows zeroed."""
        cleaned, self._next = self.clean("obs", obs)
        self._closed = torch.zeros_like(self._next)
        return cleaned

    def check_actions(self, bad: Tensor) -> None:
        """Stop if the policy's action for a finite observation is not finite.

        Args:
            bad: (N,) bool, the rows in which it is not.

        Raises:
            NonFiniteError: names row and step.
        """
        if bool(bad.any()):
            place = f"action of row {int(bad.int().argmax())} at step {self.step + 1}"
            raise NonFiniteError(
                f"{self.env_name}: {place}: got a value that is not finite; expected finite actions for finite "
                "observations. The weights are too large, or the network is wrong. Use an earlier "
                "checkpoint."
            )

    def after_step(
        self, obs: Any, done: Tensor, others: Mapping[str, Any], final_obs: Any = None
    ) -> tuple[Any, Tensor, Tensor]:
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
            invalid = invalid | self.clean(key, value)[1].to(done.device)
        if final_obs is not None:
            invalid = invalid | self.clean("final_obs", final_obs, done)[1].to(done.device)
        obs, bad_obs = self.clean("obs", obs)
        bad_obs = bad_obs.to(done.device)
        invalid = invalid | (bad_obs & ~done)
        ended = (done | invalid) & ~self._closed
        invalid = invalid | self._closed
        self._next = bad_obs & done
        self._closed = invalid & ~done
        return obs, ended, invalid

    def clean(self, key: str, x: Any, among: Tensor | None = None) -> tuple[Any, Tensor]:
        """``x`` (N, ...), or a dictionary, with non-finite rows zeroed, and (N,) bool, which rows those were.

        Args:
            key: for the report.
            x: the values; integers are always finite.
            among: (N,) bool, the rows that have a meaning; all by default.
        """
        broken = self.broken_rows(x)
        if among is not None:
            broken = broken & among.to(broken.device)
        if known_empty(broken):
            return x, broken
        self._report(key, x, broken)
        return tree_map(lambda leaf: self._filled(leaf, broken), x), broken

    def broken_rows(self, x: Any) -> Tensor:
        """(N,) bool: the rows of ``x`` (N, ...), or of a dictionary, that are not finite, or too large."""
        broken = torch.zeros(self.rows, dtype=torch.bool, device=self._closed.device)
        for leaf in leaves(x):
            if self._is_per_row(leaf):
                broken = broken | ~rows_sane(leaf.reshape(self.rows, -1)).to(broken.device)
        return broken

    def _is_per_row(self, leaf: Any) -> bool:
        per_row = isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.numel() > 0
        return per_row and (self.rows == 1 or leaf.shape[:1] == (self.rows,))

    def _filled(self, leaf: Any, broken: Tensor) -> Any:
        if not self._is_per_row(leaf):
            return leaf
        flat = leaf.reshape(self.rows, -1).masked_fill(broken.to(leaf.device).unsqueeze(1), 0.0)
        return flat.reshape(leaf.shape)

    def _report(self, key: str, x: Any, broken: Tensor) -> None:
        if self.found or not bool(broken.any()):
            return
        row = int(broken.int().argmax())
        for name, leaf in _named(x, key):
            if self._is_per_row(leaf):
                values = leaf.reshape(self.rows, -1)[row]
                bad = values[~(values.abs() <= LARGEST)]
                if bad.numel():
                    place = f"{self.env_name}: {name} of row {row} at step {self.step}"
                    self.found = f"{place}: got {float(bad[0]):g}; expected finite values below {LARGEST:.0e}"
                    warn(f"{self.found}. Games with such values are left out of the statistics.")
                    return

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


def _named(x: Any, key: str) -> list[tuple[str, Any]]:
    if not isinstance(x, Mapping):
        return [(key, x)]
    return [pair for name, part in x.items() for pair in _named(part, key if name == "obs" else f"{key}.{name}")]
