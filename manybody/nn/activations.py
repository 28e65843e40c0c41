"""Activation functions by their RL Games names."""

from collections.abc import Callable

from torch import nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "swish": nn.SiLU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "None": nn.Identity,
}


def activation(name: str | None) -> nn.Module:
    """A new activation module. None and ``'None'`` are the identity. Raises ValueError listing the known names."""
    if str(name) not in ACTIVATIONS:
        raise ValueError(f"no activation {name!r} (known: {', '.join(ACTIVATIONS)})")
    return ACTIVATIONS[str(name)]()
