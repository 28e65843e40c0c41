"""Decide by a measurement whether bf16 is faster than fp32; checkpoints store the result."""

import functools
import time

import torch
from torch import Tensor, nn
from torch.nn import functional

from manybody.data.tree import State
from manybody.engine.accelerate import autocast
from manybody.engine.console import say

BF16, CENTRAL_BF16 = "bf16", "central_value_bf16"
"""Keys in checkpoints: whether updates with ``mixed_precision`` run in bf16."""
MAX_ROWS = 2048
"""Maximum rows of a measurement on a CPU; a minibatch may have more."""
BUDGET = 0.05
"""Seconds after which no further pass starts; at least two passes are measured."""

Shapes = tuple[tuple[int, int], ...]
"""Input and output widths of linear layers."""


def choose_bf16(key: str, wanted: bool, saved: State, saved_key: str, model: nn.Module, rows: int) -> bool:
    """Decide whether updates run in bf16, and log it.

    A resumed run uses the saved decision, so that its numbers do not depend on a measurement.

    Args:
        key: the configuration key that requests bf16, for the log.
        wanted: its value; False means fp32.
        saved: the checkpoint that is resumed, or an empty mapping.
        saved_key: key of the decision in the checkpoint; earlier versions have none.
        model: the trained model.
        rows: M, rows of a minibatch.
    """
    if not wanted:
        return False
    if isinstance(saved.get(saved_key), bool):
        say(f"{key}: {_name(saved[saved_key])} is used, as in the saved run")
        return bool(saved[saved_key])
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    device = next(model.parameters()).device
    if not has_bf16(device):
        say(f"{key}: this CPU has no bf16 units; fp32 is used")
        return False
    shapes = tuple((layer.in_features, layer.out_features) for layer in layers)
    speed = bf16_speed(shapes, rows, device, torch.get_num_threads())
    faster = speed > 1.0
    say(f"{key}: bf16 is {speed:.2f} times as fast as fp32; {_name(faster)} is used")
    return faster


def _name(bf16: bool) -> str:
    return "bf16" if bf16 else "fp32"


def has_bf16(device: torch.device) -> bool:
    """Return whether the CPU has bf16 units (without them, bf16 is several times slower); True for other devices."""
    units = torch.cpu.get_capabilities()
    return device.type != "cpu" or any(has is True for name, has in units.items() if "bf16" in name)


@functools.cache
def bf16_speed(shapes: Shapes, rows: int, device: torch.device, threads: int) -> float:
    """Measure the speed of bf16 relative to fp32 in passes through linear layers; takes about 0.1 s.

    Forward and backward passes alternate, and the fastest of each precision counts, which reduces the effect of other
    load. No random numbers are drawn. The result depends on PyTorch's ``threads``.
    """
    if device.type == "cpu":
        rows = min(rows, MAX_ROWS)
    layers = [
        (
            torch.full((rows, inputs), 0.1, device=device),
            torch.full((outputs, inputs), 0.1, device=device, requires_grad=True),
        )
        for inputs, outputs in shapes
    ]
    if not layers:
        return 1.0
    _seconds(layers, False)  # the first passes choose and build kernels
    _seconds(layers, True)
    times: dict[bool, list[float]] = {False: [], True: []}
    ends = time.perf_counter() + BUDGET
    while len(times[True]) < 2 or time.perf_counter() < ends:
        for bf16, taken in times.items():
            taken.append(_seconds(layers, bf16))
    return min(times[False]) / min(times[True])


def _seconds(layers: list[tuple[Tensor, Tensor]], bf16: bool) -> float:
    """Time one forward and backward pass; a layer that does not fit the previous one has its own input."""
    device = layers[0][0].device
    began = time.perf_counter()
    with autocast(device, bf16):
        out, ends = layers[0][0], []
        for x, weight in layers:
            if out.shape[1] != x.shape[1]:
                ends.append(out.sum(dtype=torch.float32))
                out = x
            out = functional.elu(functional.linear(out, weight))
        loss = torch.stack([*ends, out.sum(dtype=torch.float32)]).sum()
    gradients = torch.autograd.grad(loss, [weight for _, weight in layers])
    gradients[0].sum().item()  # waits for the device
    return time.perf_counter() - began
