"""Policy losses, divergences and bounds, per sample unless said otherwise."""

from collections.abc import Callable

import torch
from torch import Tensor


def rescale_actions(low: Tensor, high: Tensor, action: Tensor) -> Tensor:
    """[-1, 1] to [low, high], per dimension; (N, A) from low and high (A,), action (N, A)."""
    return action * ((high - low) / 2.0) + (high + low) / 2.0


def actor_loss(
    old_neglogp: Tensor,
    neglogp: Tensor,
    advantage: Tensor,
    ppo: bool,
    e_clip: float,
    clamp: Callable[[Tensor, float, float], Tensor] = torch.clamp,
) -> Tensor:
    """PPO's clipped surrogate (Schulman et al. 2017, arXiv 1707.06347, eq. 7), negated; (M,) from (M,) each.

    With ``ppo`` false: the plain policy gradient ``neglogp * advantage``.
    """
    if not ppo:
        return neglogp * advantage
    ratio = torch.exp(old_neglogp - neglogp)
    return torch.maximum(-advantage * ratio, -advantage * clamp(ratio, 1.0 - e_clip, 1.0 + e_clip))


def smooth_clamp(x: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """A sigmoid from ``low`` to ``high`` whose slope is 1 in the middle: ``clamp`` without corners (RL Games)."""
    width = high - low
    return torch.sigmoid((x - (low + high) / 2.0) / width * 4.0) * width + low


def smoothed_actor_loss(old_neglogp: Tensor, neglogp: Tensor, advantage: Tensor, ppo: bool, e_clip: float) -> Tensor:
    """``actor_loss`` with :func:`smooth_clamp` in place of the clamp (``use_smooth_clamp``); (M,)."""
    return actor_loss(old_neglogp, neglogp, advantage, ppo, e_clip, smooth_clamp)


def bound_loss(mu: Tensor, soft_bound: float = 1.1) -> Tensor:
    """Squared excess of the mean action beyond ``soft_bound``, summed over actions; (M,) from mu (M, A)."""
    return (mu.abs() - soft_bound).clamp_min(0.0).square().sum(dim=-1)


def reg_loss(mu: Tensor) -> Tensor:
    """Squared mean action, summed over actions; (M,) from mu (M, A)."""
    return mu.square().sum(dim=-1)


def gaussian_neglogp(x: Tensor, mu: Tensor, sigma: Tensor, logstd: Tensor) -> Tensor:
    """``sum_a [(x - mu)^2 / (2 sigma^2) + log sigma + log(2 pi) / 2]``; (M,) from (M, A) each."""
    return (0.5 * ((x - mu) / sigma).square() + logstd).sum(dim=-1) + 0.9189385332046727 * x.shape[-1]


def gaussian_entropy(logstd: Tensor) -> Tensor:
    """``sum_a [1/2 + log(2 pi)/2 + log sigma]``; (M,) from logstd (M, A)."""
    return logstd.sum(dim=-1) + 1.4189385332046727 * logstd.shape[-1]


def policy_kl(mu: Tensor, sigma: Tensor, old_mu: Tensor, old_sigma: Tensor) -> Tensor:
    """KL(new || old) of diagonal Gaussians, summed over actions, (M,).

    ``log(s1/s0) + (s0^2 + (m1 - m0)^2) / (2 s1^2) - 1/2`` with 0 the new and 1 the old policy. RL Games adds 1e-5 to
    the first quotient and to s1^2, which makes it negative where sigma is small: at AMP's sigma of 0.055 by
    0.0016 per action, in total more than the threshold of an adaptive learning rate.
    """
    kl = torch.log(old_sigma / sigma)
    kl = kl + (sigma.square() + (old_mu - mu).square()) / (2.0 * old_sigma.square()) - 0.5
    return kl.sum(dim=-1)


def clip_fraction(old_neglogp: Tensor, neglogp: Tensor, e_clip: float) -> Tensor:
    """Share of samples whose ratio left ``1 +- e_clip``; scalar from (M,)."""
    return ((torch.exp(old_neglogp - neglogp) - 1.0).abs() > e_clip).float().mean()
