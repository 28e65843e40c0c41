"""Running normalisation of observations, values and advantages."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsInt

import torch
from torch import Tensor, nn

from manybody.functional.stats import merge_moments


class RunningMeanStd(nn.Module):
    """Normalisation by the running mean and standard deviation of all training inputs.

    ``y = clamp((x - mean) / sqrt(var + epsilon), -5, 5)``. In training mode each call first merges the batch into the
    statistics; in eval mode they do not change. The buffers are float64 and named as in RL Games' checkpoints.

    Args:
        insize: shape of one sample.
        epsilon: added to the variance.
        per_channel: one statistic per first axis of ``insize`` (images, channels first) instead of per element.
        norm_only: scale, without shift or clamp.
    """

    running_mean: Tensor
    running_var: Tensor
    count: Tensor

    def __init__(
        self,
        insize: Sequence[int] | SupportsInt,
        epsilon: float = 1e-5,
        per_channel: bool = False,
        norm_only: bool = False,
    ) -> None:
        super().__init__()
        self.insize = (int(insize),) if isinstance(insize, SupportsInt) else tuple(insize)
        self.epsilon = epsilon
        self.norm_only = norm_only
        self.axis = [0, *range(2, len(self.insize) + 1)] if per_channel else [0]
        self.stat_shape = (1, self.insize[0], *[1] * (len(self.insize) - 1)) if per_channel else (1, *self.insize)
        size = self.insize[:1] if per_channel else self.insize
        self.register_buffer("running_mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("running_var", torch.ones(size, dtype=torch.float64))
        self.register_buffer("count", torch.ones((), dtype=torch.float64))

    @torch.no_grad()
    def update(self, x: Tensor, mask: Tensor | None = None) -> None:
        """Merge the batch ``x`` (B, *insize) into the statistics, or only the rows where ``mask`` (B,) is true."""
        if mask is None:
            var, mean = torch.var_mean(x.float(), dim=self.axis, correction=0)
            count: Tensor | float = float(x.numel() // mean.numel())
        else:
            weight = mask.to(x.dtype).reshape(-1, *[1] * len(self.insize))
            per_row = x[0].numel() // self.running_mean.numel()
            count = mask.sum().double() * per_row
            total = count.clamp_min(1.0).to(x.dtype)
            mean = (x * weight).sum(dim=self.axis) / total
            var = ((x - mean.reshape(self.stat_shape)).square() * weight).sum(dim=self.axis) / total
        merged = merge_moments(self.running_mean, self.running_var, self.count, mean.double(), var.double(), count)
        for buffer, value in zip((self.running_mean, self.running_var, self.count), merged, strict=True):
            # Through a view: compiled code of PyTorch 2.13 loses what is written to a () float64 tensor of the CPU.
            buffer.view(-1).copy_(value.reshape(-1))

    def forward(self, input: Tensor, denorm: bool = False, mask: Tensor | None = None) -> Tensor:
        """Normalise ``input`` (B, *insize); with ``denorm``, clamp it to +-5 and apply the inverse."""
        if self.training and not denorm:
            self.update(input, mask)
        mean = self.running_mean.float().reshape(self.stat_shape)
        std = torch.sqrt(self.running_var.float() + self.epsilon).reshape(self.stat_shape)
        if denorm:
            return input * std if self.norm_only else input.clamp(-5.0, 5.0) * std + mean
        return input / std if self.norm_only else ((input - mean) / std).clamp(-5.0, 5.0)


class RunningMeanStdObs(nn.Module):
    """One :class:`RunningMeanStd` per key of a dictionary of observations, with the same ``options``."""

    def __init__(self, insize: Mapping[str, Sequence[int]], *options: Any, **named: Any) -> None:
        super().__init__()
        self.running_mean_std = nn.ModuleDict(
            {key: RunningMeanStd(shape, *options, **named) for key, shape in insize.items()}
        )

    def forward(self, input: Mapping[str, Tensor], denorm: bool = False) -> dict[str, Tensor]:
        """Normalise each (B, *insize[key]); with ``denorm``, apply the inverse."""
        return {key: module(input[key], denorm) for key, module in self.running_mean_std.items()}


def observation_normalizer(shape: tuple[int, ...] | Mapping[str, tuple[int, ...]]) -> nn.Module:
    """Create the running normalisation of observations of one shape, or of a dictionary of them."""
    return RunningMeanStdObs(shape) if isinstance(shape, Mapping) else RunningMeanStd(shape)


class MovingMeanStd(nn.Module):
    """Exponentially weighted mean and standard deviation (``normalize_rms_advantage``).

    ``m <- momentum m + (1 - momentum) batch_mean``, the same for the mean square; both start from the first batch.
    """

    moving_mean: Tensor
    moving_square: Tensor
    started: Tensor

    def __init__(self, momentum: float, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum = momentum
        self.epsilon = epsilon
        self.register_buffer("moving_mean", torch.zeros(()))
        self.register_buffer("moving_square", torch.ones(()))
        self.register_buffer("started", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (B,); in training mode, merge it into the statistics first."""
        if self.training:
            with torch.no_grad():
                keep = self.momentum * self.started
                self.moving_mean.copy_(keep * self.moving_mean + (1.0 - keep) * x.mean())
                self.moving_square.copy_(keep * self.moving_square + (1.0 - keep) * x.square().mean())
                self.started.fill_(1.0)
        var = (self.moving_square - self.moving_mean.square()).clamp_min(0.0)
        return (x - self.moving_mean) / torch.sqrt(var + self.epsilon)
