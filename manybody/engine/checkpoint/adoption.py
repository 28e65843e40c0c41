"""What RL Games' checkpoints keep elsewhere, or in other types, than ours do."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from manybody.engine.checkpoint.untrusted import CheckpointError

NORMALIZERS = {"running_mean_std": "running_mean_std", "reward_mean_std": "value_mean_std"}
"""Statistics that RL Games up to 1.1 kept beside the model, and where they are in the model since."""
CENTRAL_STATISTICS = ("assymetric_vf_mean_std", "central_val_stats")
"""The same for its central value."""
MOMENTS = ("exp_avg", "exp_avg_sq")


def policy_state(weights: Mapping[str, Any], names: Iterable[str] | None = None) -> Any:
    """``weights['model']``, with the statistics that lie beside it in their places; those win, as in RL Games.

    Args:
        weights: a checkpoint with a ``model``.
        names: what a model's state consists of; statistics that it does not have are left out. None: unknown.
    """
    model = weights["model"]
    if not isinstance(model, Mapping):
        return model
    found = _found(weights, names)
    return {**model, **found} if found else model


def central_value_state(weights: Mapping[str, Any], names: Iterable[str] | None = None) -> Any:
    """``weights['assymetric_vf_nets']`` likewise; all ``names`` begin with ``model.``."""
    nets = weights["assymetric_vf_nets"]
    if not isinstance(nets, Mapping):
        return nets
    homes = tuple(f"{home}." for home in NORMALIZERS.values())
    moved = {f"model.{name}" if str(name).startswith(homes) else name: value for name, value in nets.items()}
    found: dict[str, Any] = _found({"reward_mean_std": weights.get("reward_mean_std")}, names, "model.")
    for key in CENTRAL_STATISTICS:
        beside = weights.get(key)
        if isinstance(beside, Mapping):
            inner = {"running_mean_std": beside} if "running_mean" in beside else beside
            found |= _found(inner, names, "model.")
    return {**{name: value for name, value in found.items() if name not in moved}, **moved}


def _found(weights: Mapping[str, Any], names: Iterable[str] | None, prefix: str = "") -> dict[str, Any]:
    found = {}
    known = None if names is None else set(names)
    for key, home in NORMALIZERS.items():
        beside = weights.get(key)
        if isinstance(beside, Mapping):
            statistics = {f"{prefix}{home}.{name}": value for name, value in beside.items()}
            found.update({key: value for key, value in statistics.items() if known is None or key in known})
    return found


def number(weights: Mapping[str, Any], key: str, path: str, default: float) -> float:
    """A number of a checkpoint that may be a tensor of one element there.

    Raises:
        CheckpointError: it is something else.
    """
    value = weights.get(key, default)
    if isinstance(value, Tensor) and value.numel() == 1:
        value = float(value)
    if type(value) not in (int, float, bool):
        given = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)[:60]
        raise CheckpointError(path, key, given, "a number", "The file is damaged or of another program.")
    return value


def best_return(weights: Mapping[str, Any], path: str, default: float) -> float:
    """The best mean return of a checkpoint; -inf where no episode had ended.

    Raises:
        CheckpointError: it is NaN, infinite or no number: no later policy could be better.
    """
    key = "last_mean_rewards"
    value = number(weights, key, path, default)
    if not value < math.inf:
        raise CheckpointError(path, key, repr(value), "a finite number", "The file is damaged.")
    return value


def counter(weights: Mapping[str, Any], key: str, path: str) -> int:
    """A count of a checkpoint; 0 where it has none, as in files of RL Games up to 1.1.

    Raises:
        CheckpointError: it is no whole number from 0 up.
    """
    value = number(weights, key, path, 0)
    if not (0 <= value < 2**63 and value == int(value)):
        raise CheckpointError(path, key, repr(value), "a whole number from 0 up", "The file is damaged.")
    return int(value)


def learning_rate(state: Any, path: str, field: str = "optimizer") -> float | None:
    """The learning rate in the state of an optimiser; None where there is none.

    Raises:
        CheckpointError: it is no finite number above 0.
    """
    groups = state.get("param_groups") if isinstance(state, Mapping) else None
    if not (isinstance(groups, list) and groups and isinstance(groups[0], Mapping) and "lr" in groups[0]):
        return None
    rate = number(groups[0], "lr", path, 0.0)
    if not (math.isfinite(rate) and rate >= 0):
        raise CheckpointError(path, f"{field}.lr", repr(rate), "a finite number from 0 up", "The file is damaged.")
    return rate


def adopt_moments(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, Tensor],
    given: Iterable[str],
    state: Any,
) -> bool:
    """Take over the moments of an Adam whose parameters stood in the order of their names in a state dict.

    Args:
        optimizer: an Adam with one group; its settings and learning rate stay.
        parameters: its parameters by name.
        given: names of the other model's state, in its order, other entries among them.
        state: what the other optimiser's ``state_dict`` was; shapes and numbers need not be sound.

    Returns:
        Whether they fit. If not, nothing has changed.
    """
    order = [name for name in given if name in parameters]
    groups = state.get("param_groups") if isinstance(state, Mapping) else None
    if not (isinstance(groups, list) and len(groups) == 1 and isinstance(groups[0], Mapping)):
        return False
    indices, moments = groups[0].get("params"), state.get("state")
    if not (isinstance(indices, list) and isinstance(moments, Mapping)):
        return False
    if not len(order) == len(parameters) == len(indices) or any(type(x) is not int for x in indices):
        return False
    adopted = {}
    for index, name in zip(indices, order, strict=True):
        parameter, entry = parameters[name], moments.get(index)
        if entry is None:  # it never had a gradient
            continue
        if not (isinstance(entry, Mapping) and _sound(entry, parameter)):
            return False
        step = torch.tensor(float(entry["step"]), dtype=torch.float32, device=parameter.device)
        adopted[parameter] = {
            "step": step,
            **{key: torch.empty_like(parameter).copy_(entry[key]) for key in MOMENTS},
        }
    optimizer.state.clear()
    optimizer.state.update(adopted)
    return True


def _sound(entry: Mapping[str, Any], parameter: Tensor) -> bool:
    """Whether an optimiser's ``entry`` is one of Adam for ``parameter``, of finite numbers."""
    step: Any = entry.get("step")
    if isinstance(step, Tensor):
        step = float(step) if step.numel() == 1 else None
    if type(step) not in (int, float) or not 0 <= step < math.inf:
        return False
    for key in MOMENTS:
        moment = entry.get(key)
        if not (isinstance(moment, Tensor) and moment.shape == parameter.shape):
            return False
        if not (moment.is_floating_point() and bool(moment.isfinite().all())):
            return False
    return bool((entry["exp_avg_sq"] >= 0).all())
