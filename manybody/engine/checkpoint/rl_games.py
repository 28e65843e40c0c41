"""Convert RL Games' checkpoints to the library's layout."""

import math
from collections.abc import Container, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from manybody.data.tree import State
from manybody.engine.checkpoint import check_state_dict, require
from manybody.registry import Layout, built_in

NORMALIZERS = {"running_mean_std": "running_mean_std", "reward_mean_std": "value_mean_std"}
"""Key of statistics outside the model (RL Games up to 1.1) to their name in the model (later versions)."""
CENTRAL_STATISTICS = ("assymetric_vf_mean_std", "central_val_stats")
"""Keys of the central value's statistics outside its network."""
INPUT_STATISTICS = "_input_mean_std"
"""Suffix of the keys of statistics of further inputs, such as AMP's."""
MOMENTS = ("exp_avg", "exp_avg_sq")


def layout_of(weights: State) -> Layout:
    """Return the layout of RL Games' file; by default the on-policy layout, whose errors name the missing parts."""
    layouts = [entry.layout for entry in built_in().values() if entry.layout is not None]
    return next((layout for layout in reversed(layouts) if layout.recognises(weights)), layouts[0])


def converted(weights: State, path: str) -> State:
    """Return a checkpoint of RL Games in the library's layout, the whole model under ``model``; others unchanged.

    Raises:
        CheckpointError: a part is missing.
    """
    return weights if "algo" in weights else layout_of(weights).from_rl_games(weights, path)


def model_state(weights: State, path: str, expected: Mapping[str, Tensor]) -> State:
    """Return the state of the policy's model from a checkpoint of this library or of RL Games.

    Args:
        weights: the checkpoint.
        path: the file, for messages.
        expected: the state dict of the model that will load it.

    Raises:
        CheckpointError: there is no model; or parameters do not fit, which the message lists.
    """
    state = without_unused(require(converted(weights, path), "model", path), expected, weights)
    check_state_dict(expected, state, path)
    return state


def without_unused(state: object, expected: Container[str], weights: State) -> Any:
    """Remove the statistics that are not ``expected`` from the ``state`` of a checkpoint of RL Games."""
    if "algo" in weights or not isinstance(state, Mapping):
        return state
    return {name: value for name, value in state.items() if name in expected or "_mean_std." not in str(name)}


def policy_state(weights: State) -> Any:
    """Return ``weights['model']`` with the statistics from outside it, which take precedence as in RL Games."""
    model = weights["model"]
    if not isinstance(model, Mapping):
        return model
    homes = {**{key: key for key in weights if str(key).endswith(INPUT_STATISTICS)}, **NORMALIZERS}
    return {**model, **_outside(weights, homes)}


def central_value_state(weights: State) -> Any:
    """Return ``weights['assymetric_vf_nets']`` with the statistics from outside it; all names begin with ``model.``."""
    nets = weights["assymetric_vf_nets"]
    if not isinstance(nets, Mapping):
        return nets
    prefixes = tuple(f"{home}." for home in NORMALIZERS.values())
    moved = {f"model.{name}" if str(name).startswith(prefixes) else name: value for name, value in nets.items()}
    homes = {key: f"model.{home}" for key, home in NORMALIZERS.items()}
    found = _outside({"reward_mean_std": weights.get("reward_mean_std")}, homes)
    for key in CENTRAL_STATISTICS:
        outside = weights.get(key)
        if isinstance(outside, Mapping):
            found |= _outside({"running_mean_std": outside} if "running_mean" in outside else outside, homes)
    return {**{name: value for name, value in found.items() if name not in moved}, **moved}


def _outside(weights: State, homes: Mapping[str, str]) -> dict[str, Any]:
    """Return the statistics under the keys of ``homes``, under their names in the model."""
    return {
        f"{home}.{name}": value
        for key, home in homes.items()
        if isinstance(weights.get(key), Mapping)
        for name, value in weights[key].items()
    }


def adam_state(parameters: Mapping[str, Tensor], given: Iterable[str], state: Any) -> dict[int, Any] | None:
    """Convert the moments of RL Games' Adam, whose parameters have the order of its model's state dict.

    Args:
        parameters: this library's parameters by name, in the order of their optimiser.
        given: names in RL Games' state dict, in its order; buffers may be among them.
        state: the ``state_dict`` of RL Games' optimiser, unchecked.

    Returns:
        The entry ``state`` for the state dict of this library's optimiser; None if the moments do not fit.
    """
    order = [name for name in given if name in parameters]
    groups = state.get("param_groups") if isinstance(state, Mapping) else None
    if not (isinstance(groups, list) and len(groups) == 1 and isinstance(groups[0], Mapping)):
        return None
    indices, moments = groups[0].get("params"), state.get("state")
    if not (isinstance(indices, list) and isinstance(moments, Mapping)):
        return None
    if not len(order) == len(parameters) == len(indices) or any(type(x) is not int for x in indices):
        return None
    index_of = dict(zip(order, indices, strict=True))
    ordered = {}
    for position, (name, parameter) in enumerate(parameters.items()):
        entry = moments.get(index_of[name])
        if entry is None:  # the parameter never had a gradient
            continue
        if not (isinstance(entry, Mapping) and _is_valid(entry, parameter)):
            return None
        step = torch.tensor(float(entry["step"]), dtype=torch.float32)
        ordered[position] = {"step": step, **{key: entry[key] for key in MOMENTS}}
    return ordered


def _is_valid(entry: Mapping[str, Any], parameter: Tensor) -> bool:
    """Return whether ``entry`` is a finite state of Adam for ``parameter``."""
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
