"""Weight initialisers by their RL Games names. All but ``default`` act in place on one weight tensor."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from manybody.config.network import InitializerConfig

Initializer = Callable[[Tensor], Any]


_TRUNCATED_NORMAL_STD = 0.8796256610342398
"""Standard deviation of a standard normal distribution truncated at +-2."""


def variance_scaling(weight: Tensor, mode: str = "fan_in", scale: float = 2.0) -> None:
    """Truncated normal with variance ``scale / n``, n the fan named by ``mode`` (fan_in, fan_out, fan_avg)."""
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    if mode not in fans:
        raise ValueError(f"variance_scaling_initializer: mode {mode!r} (known: {', '.join(fans)})")
    std = math.sqrt(scale / max(1.0, fans[mode])) / _TRUNCATED_NORMAL_STD
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def keep(weight: Tensor) -> None:
    """Leave PyTorch's own initial values."""


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


def initializer(name: str, **arguments: Any) -> Initializer:
    """The initialiser ``name`` as a function of one tensor. Raises ValueError listing the known names."""
    if name not in INITIALIZERS:
        raise ValueError(f"no initializer {name!r} (known: {', '.join(INITIALIZERS)})")
    return partial(INITIALIZERS[name], **arguments)


def initialize(module: nn.Module, settings: InitializerConfig) -> None:
    """Initialise the weight of every linear and convolutional layer in ``module``; biases become zero."""
    draw = initializer(settings.name, **settings.arguments)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            draw(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
