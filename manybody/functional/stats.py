"""Moments of batches, and checks of values."""

from torch import Tensor


def merge_moments(
    mean: Tensor, var: Tensor, count: Tensor, batch_mean: Tensor, batch_var: Tensor, batch_count: Tensor | float
) -> tuple[Tensor, Tensor, Tensor]:
    """Merge two sets of moments (Chan et al. 1979, parallel variance).

    Returns:
        mean, population variance and count of the union, in the same shapes.
    """
    delta = batch_mean - mean
    total = count + batch_count
    new_mean = mean + delta * batch_count / total
    m2 = var * count + batch_var * batch_count + delta.square() * count * batch_count / total
    return new_mean, m2 / total, total


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of ``values`` (B, ...) over the rows where ``mask`` (B,) is true; 0 if there are none."""
    weight = mask.to(values.dtype)
    shaped = weight.reshape(-1, *([1] * (values.ndim - 1)))
    return (values * shaped).sum(dim=0) / weight.sum().clamp_min(1.0)


def normalize_advantage(advantages: Tensor) -> Tensor:
    """Return ``(A - mean) / (std + 1e-8)`` over the batch with the unbiased standard deviation; (B,)."""
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


LARGEST = 1e15
"""Magnitude beyond which a value counts as non-finite: the squares of a batch can be summed in float32."""


def rows_finite(x: Tensor) -> Tensor:
    """Return (N,) bool: rows of ``x`` (N, ...) without NaN, infinity and values above :data:`LARGEST`."""
    return x.reshape(x.shape[0], -1).abs().amax(dim=-1) <= LARGEST


def known_empty(mask: Tensor) -> bool:
    """Return whether no element of ``mask`` is true; False on a GPU, where reading it would wait for the device."""
    return mask.device.type == "cpu" and not mask.any()
