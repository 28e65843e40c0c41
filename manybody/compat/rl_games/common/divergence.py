"""Divergences of RL Games, per sample."""

from collections.abc import Sequence

import torch
from torch import Tensor

from manybody.functional.policy import policy_kl


def d_kl_discrete(p: Tensor, q: Tensor) -> Tensor:
    """(M,) KL(p || q) of categorical distributions by their log-probabilities (M, K)."""
    return (p.exp() * (p - q)).sum(dim=-1)


def d_kl_discrete_list(p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
    """(M,) the sum of :func:`d_kl_discrete` over several heads."""
    return torch.stack([d_kl_discrete(pi, qi) for pi, qi in zip(p, q, strict=True)]).sum(dim=0)


def d_kl_normal(p: tuple[Tensor, Tensor], q: tuple[Tensor, Tensor]) -> Tensor:
    """(M,) KL(p || q) of diagonal Gaussians by mean and standard deviation (M, A) each, summed over actions."""
    return policy_kl(*p, *q)
