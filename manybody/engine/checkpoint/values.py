"""Checks of the values in a checkpoint: finite tensors, counters, returns, learning rates."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

from manybody.data.tree import State
from manybody.engine.checkpoint.untrusted import CheckpointError

STATISTICS = "_mean_std"
"""Suffix of the keys of running statistics that some files keep outside the model."""
POLICY = ("model", "actor", "critic", "critic_target", STATISTICS)
"""Weights and statistics of a policy and its value function."""
WEIGHTS = (*POLICY, "assymetric_vf_nets", "central_val_stats", "log_alpha")
OPTIMIZERS = (
    *("optimizer", "assymetric_vf_optimizer"),
    *("actor_optimizer", "critic_optimizer", "log_alpha_optimizer"),
)
NOT_NEGATIVE = ("running_var", "count", "moving_square", "exp_avg_sq", "max_exp_avg_sq", "step")
"""Statistics and moments that cannot be negative: sums of squares and counts."""


def check_values(state: State, path: str | os.PathLike, parts: Iterable[str] | None = None) -> None:
    """Refuse non-finite values, negative variances and negative counts.

    Args:
        state: tensors and numbers by name, nested as in a checkpoint.
        path: the file, for the message.
        parts: keys of ``state`` to check; those that begin with ``_`` are suffixes of keys. All by default.

    Raises:
        CheckpointError: the message names the key of the first such value and their number.
    """
    if parts is None:
        chosen = state
    else:
        known = tuple(parts)
        endings = tuple(part for part in known if part.startswith("_"))
        chosen = {key: x for key, x in state.items() if key in known or str(key).endswith(endings)}
    found = [(name, problem) for name, value in _values(chosen, "") if (problem := _problem(name, value))]
    if not found:
        return
    name, problem = found[0]
    others = f", and {len(found) - 1} more such entries" if len(found) > 1 else ""
    raise CheckpointError(
        path,
        name.encode("unicode_escape").decode()[:200],
        f"{problem}{others}",
        "finite values, variances and counts from 0 up",
        "It was saved after training had diverged, or it is damaged. Use an earlier checkpoint.",
    )


def _values(node: object, name: str) -> Iterator[tuple[str, Any]]:
    """Yield tensors and numbers with their dotted keys."""
    if isinstance(node, Mapping):
        for key, item in node.items():
            yield from _values(item, f"{name}.{key}" if name else str(key))
    elif isinstance(node, list | tuple):
        for index, item in enumerate(node):
            yield from _values(item, f"{name}[{index}]")
    elif isinstance(node, Tensor | float):
        yield name, node


def _problem(name: str, value: Tensor | float) -> str | None:
    signed = name.rpartition(".")[2] not in NOT_NEGATIVE
    if isinstance(value, float):
        return None if math.isfinite(value) and (signed or value >= 0) else repr(value)
    bad = value.numel() - int(value.isfinite().sum())
    if bad:
        return f"{bad} of {value.numel()} values not finite"
    if not signed and value.numel() and not value.is_complex() and float(value.min()) < 0:
        return f"the negative value {float(value.min()):g}"
    return None


def number(weights: State, key: str, path: str, default: float) -> float:
    """Read a number, which may be stored as a tensor of one element.

    Raises:
        CheckpointError: it is not a number.
    """
    value = weights.get(key, default)
    if isinstance(value, Tensor) and value.numel() == 1:
        value = float(value)
    if type(value) not in (int, float, bool):
        given = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)[:60]
        raise CheckpointError(path, key, given, "a number", "The file is damaged or of another program.")
    return value


def best_return(weights: State, path: str, default: float) -> float:
    """Read the best mean return; -inf if no episode had ended.

    Raises:
        CheckpointError: it is NaN, infinite or not a number.
    """
    key = "last_mean_rewards"
    value = number(weights, key, path, default)
    if not value < math.inf:
        raise CheckpointError(path, key, repr(value), "a finite number", "The file is damaged.")
    return value


def counter(weights: State, key: str, path: str) -> int:
    """Read a counter; 0 if there is none, as in files of RL Games up to 1.1.

    Raises:
        CheckpointError: it is not a whole number from 0 up.
    """
    value = number(weights, key, path, 0)
    if not (0 <= value < 2**63 and value == int(value)):
        raise CheckpointError(path, key, repr(value), "a whole number from 0 up", "The file is damaged.")
    return int(value)


def learning_rate(state: object, path: str, field: str = "optimizer") -> float | None:
    """Read the learning rate from the state of an optimiser; None if there is none.

    Raises:
        CheckpointError: it is not a finite number from 0 up.
    """
    groups = state.get("param_groups") if isinstance(state, Mapping) else None
    if not (isinstance(groups, list) and groups and isinstance(groups[0], Mapping) and "lr" in groups[0]):
        return None
    rate = number(groups[0], "lr", path, 0.0)
    if not (math.isfinite(rate) and rate >= 0):
        raise CheckpointError(path, f"{field}.lr", repr(rate), "a finite number from 0 up", "The file is damaged.")
    return rate
