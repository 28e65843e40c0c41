"""Layout of RL Games' checkpoints, where it differs from the library's."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

NORMALIZERS = {"running_mean_std": "running_mean_std", "reward_mean_std": "value_mean_std"}
"""Key of statistics outside the model (RL Games up to 1.1) to their name in the model (later versions)."""
CENTRAL_STATISTICS = ("assymetric_vf_mean_std", "central_val_stats")
"""Keys of the central value's statistics outside its network."""
MOMENTS = ("exp_avg", "exp_avg_sq")


def policy_state(weights: Mapping[str, Any], names: Iterable[str] | None = None) -> Any:
    """Return ``weights['model']`` with the statistics from outside it, which take precedence as in RL Games.

    Args:
        weights: a checkpoint with a ``model``.
        names: names in the model's state dict; other statistics are left out. None: unknown.
    """
    model = weights["model"]
    if not isinstance(model, Mapping):
        return model
    found = _outside(weights, names)
    return {**model, **found} if found else model


def central_value_state(weights: Mapping[str, Any], names: Iterable[str] | None = None) -> Any:
    """Do the same for ``weights['assymetric_vf_nets']``; all ``names`` begin with ``model.``."""
    nets = weights["assymetric_vf_nets"]
    if not isinstance(nets, Mapping):
        return nets
    homes = tuple(f"{home}." for home in NORMALIZERS.values())
    moved = {f"model.{name}" if str(name).startswith(homes) else name: value for name, value in nets.items()}
    found: dict[str, Any] = _outside({"reward_mean_std": weights.get("reward_mean_std")}, names, "model.")
    for key in CENTRAL_STATISTICS:
        outside = weights.get(key)
        if isinstance(outside, Mapping):
            inner = {"running_mean_std": outside} if "running_mean" in outside else outside
            found |= _outside(inner, names, "model.")
    return {**{name: value for name, value in found.items() if name not in moved}, **moved}


def _outside(weights: Mapping[str, Any], names: Iterable[str] | None, prefix: str = "") -> dict[str, Any]:
    found = {}
    known = None if names is None else set(names)
    for key, home in NORMALIZERS.items():
        outside = weights.get(key)
        if isinstance(outside, Mapping):
            statistics = {f"{prefix}{home}.{name}": value for name, value in outside.items()}
            found.update({key: value for key, value in statistics.items() if known is None or key in known})
    return found


def load_adam_moments(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, Tensor],
    given: Iterable[str],
    state: Any,
) -> bool:
    """Load the moments of an Adam whose parameters are ordered as in its model's state dict.

    Args:
        optimizer: an Adam with one group; its settings and learning rate stay.
        parameters: its parameters by name.
        given: names in the other model's state dict, in its order; buffers may be among them.
        state: the other optimiser's ``state_dict``, unchecked.

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
    loaded = {}
    for index, name in zip(indices, order, strict=True):
        parameter, entry = parameters[name], moments.get(index)
        if entry is None:  # the parameter never had a gradient
            continue
        if not (isinstance(entry, Mapping) and _is_valid(entry, parameter)):
            return False
        step = torch.tensor(float(entry["step"]), dtype=torch.float32, device=parameter.device)
        loaded[parameter] = {
            "step": step,
            **{key: torch.empty_like(parameter).copy_(entry[key]) for key in MOMENTS},
        }
    optimizer.state.clear()
    optimizer.state.update(loaded)
    return True


def _is_valid(entry: Mapping[str, Any], parameter: Tensor) -> bool:
    """Whether ``entry`` is a finite state of Adam for ``parameter``."""
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
