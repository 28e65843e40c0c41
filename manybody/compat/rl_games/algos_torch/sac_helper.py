"""RL Games' policy of soft actor-critic: a Gaussian squashed into (-1, 1)."""

import math
from typing import Any

from torch import Tensor
from torch.distributions import Normal, TransformedDistribution, constraints, transforms
from torch.nn.functional import softplus


class TanhTransform(transforms.Transform):
    """``y = tanh(x)``; with its cache the inverse of a result is what it was computed of."""

    domain = constraints.real
    codomain = constraints.interval(-1.0, 1.0)
    bijective = True
    sign = +1

    def __init__(self, cache_size: int = 1) -> None:
        super().__init__(cache_size=cache_size)

    @staticmethod
    def atanh(x: Tensor) -> Tensor:
        """The inverse; infinite at the borders."""
        return x.atanh()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TanhTransform)

    def _call(self, x: Tensor) -> Tensor:
        return x.tanh()

    def _inverse(self, y: Tensor) -> Tensor:
        return self.atanh(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """``log(1 - tanh(x)^2)``, in the form that stays finite where tanh is 1."""
        return 2.0 * (math.log(2.0) - x - softplus(-2.0 * x))


class SquashedNormal(TransformedDistribution):
    """``tanh`` of N(loc, scale^2), element by element."""

    def __init__(self, loc: Tensor, scale: Any) -> None:
        self.loc = loc
        self.scale = scale
        super().__init__(Normal(loc, scale), [TanhTransform()])

    @property
    def mean(self) -> Tensor:
        """Tanh of ``loc``: the median."""
        return self.loc.tanh()

    def entropy(self) -> Tensor:
        """That of the Gaussian before the tanh."""
        return self.base_dist.entropy()
