"""Activations, normalisations and weight initialisers by their RL Games names."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from manybody.config.network import InitializerConfig

T = TypeVar("T")

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

# Over all channels and pixels of one sample. RL Games 1.6.5 computes the moments of each channel over the whole batch
# instead, so that the output for one observation depends on the rest of the batch.
_sample_norm = partial(nn.GroupNorm, 1)
NORMALIZATIONS: dict[str, tuple[Callable[[int], nn.Module], ...]] = {
    "layer_norm": (nn.LayerNorm, _sample_norm, _sample_norm),
    "batch_norm": (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d),
}
"""The modules of each name for features (M, C), signals (M, C, L) and images (M, C, H, W)."""

_TRUNCATED_NORMAL_STD = 0.8796256610342398
"""Standard deviation of a standard normal distribution truncated at +-2."""


def _look_up(kind: str, name: str, table: Mapping[str, T]) -> T:
    if name not in table:
        raise ValueError(f"no {kind} {name!r} (known: {', '.join(table)})")
    return table[name]


def activation(name: str | None) -> nn.Module:
    """Create an activation module; None and ``'None'`` are the identity. Raises ValueError for an unknown name."""
    return _look_up("activation", str(name), ACTIVATIONS)()


def normalization(name: str | None, channels: int, axes: int = 0) -> list[nn.Module]:
    """Create a normalisation module for inputs (M, C) with ``axes`` further axes; an empty list without a name."""
    return [] if name in (None, "None") else [_look_up("normalization", str(name), NORMALIZATIONS)[axes](channels)]


def variance_scaling(weight: Tensor, mode: str = "fan_in", scale: float = 2.0) -> Tensor:
    """Draw from a truncated normal with variance ``scale / n``; ``mode`` selects n: fan_in, fan_out or fan_avg."""
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    std = math.sqrt(scale / max(1.0, fan)) / _TRUNCATED_NORMAL_STD
    return nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def keep(weight: Tensor) -> None:
    """Keep PyTorch's initial values."""


INITIALIZERS: dict[str, Callable[..., Any]] = {
    "default": keep,
    "const_initializer": nn.init.constant_,
    "orthogonal_initializer": nn.init.orthogonal_,
    "orthogonal": nn.init.orthogonal_,
    "glorot_normal_initializer": nn.init.xavier_normal_,
    "glorot_uniform_initializer": nn.init.xavier_uniform_,
    "variance_scaling_initializer": variance_scaling,
    "random_uniform_initializer": nn.init.uniform_,
    "kaiming_normal": nn.init.kaiming_normal_,
}
"""All but ``default`` act in place on one weight tensor."""


def initializer(settings: InitializerConfig) -> Callable[[Tensor], Any]:
    """Return the initialiser as a function of one tensor."""
    return partial(INITIALIZERS[settings.name], **settings.arguments)


def initialize(module: nn.Module, settings: InitializerConfig) -> None:
    """Initialise the weight of every linear and convolutional layer in ``module``; biases become zero."""
    draw = initializer(settings)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            draw(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
