"""RL Games' toolbox: checkpoints, masked means, shapes, meters and small layers.

Divergences are exact, without the 1e-5 that RL Games adds.
"""

import errno
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from typing_extensions import override

from manybody.engine import checkpoint
from manybody.engine.console import log, say, warn
from manybody.functional import policy
from manybody.nn import layers, rnn
from manybody.nn.cnn import CoordConv2d as CoordConv2d

_SAME = "bool uint8 int8 int16 int32 int64 float16 float32 complex64 complex128"
numpy_to_torch_dtype_dict = {
    **{np.dtype(name): getattr(torch, name) for name in _SAME.split()},
    np.dtype("float64"): torch.float32,
}
"""Types of a buffer by NumPy type; float64 becomes float32."""

TEMPORARY = {"EAGAIN", "EBUSY", "EINTR", "EIO", "ESTALE", "ETIMEDOUT", "ENETDOWN", "ENETUNREACH"}
"""Names of temporary errors of network file systems."""
WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts."""


# Checkpoints


def safe_filesystem_op(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return ``func(*args, **kwargs)``; temporary errors of the file system are retried for 15 s.

    Raises:
        RuntimeError: the last attempt failed.
        Exception: any other error, at once.
    """
    for wait in (*WAITS, None):
        try:
            return func(*args, **kwargs)
        except OSError as error:
            if errno.errorcode.get(error.errno or 0) not in TEMPORARY:
                raise
            if wait is None:
                raise RuntimeError(f"{func} failed {len(WAITS) + 1} times, at last with: {error}") from error
            warn(f"{error}; trying again in {wait:g} s")
            time.sleep(wait)
    raise AssertionError("unreachable")


def safe_save(state: Mapping[str, Any], filename: str | os.PathLike) -> None:
    """Write ``state`` to ``filename`` atomically; NumPy arrays become tensors, and a policy RL Games' file format.

    Raises:
        CheckpointError: ``state`` holds a value that could not be loaded without running code.
        OSError: the file cannot be written; the old one is intact.
    """
    write = checkpoint.write_archive if _holds_policy(state) else checkpoint.save_checkpoint
    safe_filesystem_op(write, filename, tree_map(_as_tensor, dict(state)))


def safe_load(filename: str | os.PathLike) -> dict[str, Any]:
    """Read a checkpoint, of RL Games or of this library, onto the CPU without running code in it.

    Raises:
        CheckpointError: it is missing, damaged, or no checkpoint.
    """
    state: dict[str, Any] = safe_filesystem_op(checkpoint.load_checkpoint, filename)
    if not _holds_policy(state):
        del state[checkpoint.FORMAT_KEY]  # marks this library's files; clients iterate over the keys
    return state


def save_checkpoint(filename: str, state: Mapping[str, Any]) -> None:
    """Call :func:`safe_save` with ``<filename>.pth``, and log it."""
    log(f"=> saving checkpoint '{filename}.pth'")
    safe_save(state, f"{filename}.pth")


def load_checkpoint(filename: str) -> dict[str, Any]:
    """Call :func:`safe_load`, and log it; parameters have the names of the uncompiled model."""
    say(f"=> loading checkpoint '{filename}'")
    return safe_load(filename)


def _holds_policy(state: Mapping[str, Any]) -> bool:
    return any(isinstance(state.get(part), Mapping) for part in ("model", "actor"))


def _as_tensor(value: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value


# Measures of a batch


def policy_kl(p0_mu: Tensor, p0_sigma: Tensor, p1_mu: Tensor, p1_sigma: Tensor, reduce: bool = True) -> Tensor:
    """KL(p0 || p1) of diagonal Gaussians (M, A), summed over actions: its mean (), or (M,) without ``reduce``."""
    kl = policy.policy_kl(p0_mu, p0_sigma, p1_mu, p1_sigma)
    return kl.mean() if reduce else kl


def mean_list(val: Sequence[Tensor]) -> Tensor:
    """() mean of tensors of one shape."""
    return torch.stack(list(val)).mean()


def apply_masks(losses: Sequence[Tensor], mask: Tensor | None = None) -> tuple[list[Tensor], int | None]:
    """Return the mean () of each loss (M, 1), and M where a mask is used.

    With ``mask`` (M,) masked rows count as zeros, and the divisor is still M.
    """
    if mask is None:
        return [loss.mean() for loss in losses], None
    weights = mask.unsqueeze(1)
    return [(loss * weights).sum() / weights.numel() for loss in losses], weights.numel()


def get_mean_var_with_masks(values: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """() mean and unbiased variance of ``values`` where ``masks`` of its shape is 1."""
    var, mean = torch.var_mean(values[masks.bool()])
    return mean, var


def get_mean_std_with_masks(values: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """() mean and unbiased standard deviation of ``values`` where ``masks`` of its shape is 1."""
    mean, var = get_mean_var_with_masks(values, masks)
    return mean, torch.sqrt(var)


def normalization_with_masks(values: Tensor, masks: Tensor | None) -> Tensor:
    """``(values - mean) / (std + 1e-8)``, mean and standard deviation over the rows where ``masks`` is 1."""
    mean, std = get_mean_std_with_masks(values, torch.ones_like(values) if masks is None else masks)
    return (values - mean) / (std + 1e-8)


class AverageMeter(nn.Module):
    """Mean over about the last ``max_size`` rows: k new ones weigh ``min(k, max_size)``, the old ones the rest.

    ``in_shape`` is the shape of one row until rows of another shape arrive.
    """

    mean: Tensor

    def __init__(self, in_shape: int | Sequence[int], max_size: int) -> None:
        super().__init__()
        self.max_size = max_size
        self.current_size = 0
        self.finished = 0
        self.register_buffer("mean", torch.zeros(in_shape, dtype=torch.float32))

    def update(self, values: Tensor, mask: Tensor | None = None) -> None:
        """Add the rows of ``values`` (k, ...), or those where ``mask`` (k,) is true."""
        if mask is not None:
            values = values[mask].unsqueeze(1)  # RL Games picks rows by (k, 1) numbers
        if len(values) == 0:
            return
        self.finished += len(values)
        size = min(len(values), int(self.max_size))
        kept = min(int(self.max_size) - size, self.current_size)
        self.current_size = kept + size
        new = values.float().mean(dim=0).to(self.mean.device)
        self.mean = (self.mean * kept + new * size) / self.current_size

    def clear(self) -> None:
        """Reset the mean."""
        self.current_size = 0
        self.mean = torch.zeros_like(self.mean)

    @override
    def state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:  # type: ignore[override]
        return {"mean": self.mean, "current_size": self.current_size, "finished": self.finished}

    @override
    def load_state_dict(self, state_dict: Mapping[str, Any], *_: Any, **__: Any) -> None:
        self.mean = torch.as_tensor(state_dict["mean"]).to(self.mean.device)
        self.current_size = int(state_dict["current_size"])
        self.finished = int(state_dict["finished"])

    def __len__(self) -> int:
        return self.current_size

    def get_mean(self) -> Any:
        """The mean as an array; one leading axis of size 1 is dropped."""
        return self.mean.squeeze(0).cpu().numpy()


# Shapes and layers


def shape_whc_to_cwh(shape: Sequence[int]) -> Sequence[int]:
    """Move the channels of an image shape to the front; other shapes are returned unchanged."""
    return (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape


variance_scaling_initializer = layers.variance_scaling


class LayerNorm2d(nn.Module):
    """RL Games' normalisation of images with one mean and unbiased standard deviation per channel of the batch.

    ``gamma (x - mean) / (std + eps) + beta``; gamma and beta are constants of 1.
    """

    gamma: Tensor
    beta: Tensor

    def __init__(self, features: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.register_buffer("gamma", torch.ones(features, 1, 1))
        self.register_buffer("beta", torch.ones(features, 1, 1))
        self.eps = eps
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), shape as given. Raises ValueError for another number of channels."""
        if x.shape[1] != self.features:
            raise ValueError(f"channels: got {x.shape[1]}; expected {self.features}")
        std, mean = torch.std_mean(x, dim=(0, 2, 3), keepdim=True)
        return self.gamma * (x - mean) / (std + self.eps) + self.beta


class IdentityRNN(rnn.IdentityRNN):
    """:class:`manybody.nn.rnn.IdentityRNN` of one layer."""

    def __init__(self, in_shape: int, out_shape: int) -> None:
        super().__init__(in_shape, out_shape, layers=1)
