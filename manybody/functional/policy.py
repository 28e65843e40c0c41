"""Policy losses, divergences and bounds, per sample by default."""

from collections.abc import Callable

import torch
from torch import Tensor


def rescale_actions(low: Tensor, high: Tensor, action: Tensor) -> Tensor:
    """Map ``action`` (N, A) from [-1, 1] to [``low``, ``high``] (A,)."""
    return action * ((high - low) / 2.0) + (high + low) / 2.0


def actor_loss(
    old_neglogp: Tensor,
    neglogp: Tensor,
    advantage: Tensor,
    ppo: bool,
    e_clip: float,
    clamp: Callable[[Tensor, float, float], Tensor] = torch.clamp,
) -> Tensor:
    """Return PPO's negated clipped surrogate (Schulman et al. 2017, arXiv 1707.06347, eq. 7); (M,) from (M,) each.

    With ``ppo`` false, return the policy-gradient loss ``neglogp * advantage``.
    """
    if not ppo:
        return neglogp * advantage
    ratio = torch.exp(old_neglogp - neglogp)
    return torch.maximum(-advantage * ratio, -advantage * clamp(ratio, 1.0 - e_clip, 1.0 + e_clip))


def smooth_clamp(x: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Return a smooth ``clamp``: a sigmoid from ``low`` to ``high`` with slope 1 in the middle (RL Games)."""
    width = high - low
    return torch.sigmoid((x - (low + high) / 2.0) / width * 4.0) * width + low


def smoothed_actor_loss(old_neglogp: Tensor, neglogp: Tensor, advantage: Tensor, ppo: bool, e_clip: float) -> Tensor:
    """Return ``actor_loss`` with :func:`smooth_clamp` in place of the clamp (``use_smooth_clamp``); (M,)."""
    return actor_loss(old_neglogp, neglogp, advantage, ppo, e_clip, smooth_clamp)


def bound_loss(mu: Tensor, soft_bound: float = 1.1) -> Tensor:
    """Return the squared excess of |mu| above ``soft_bound``, summed over actions; (M,) from mu (M, A)."""
    return (mu.abs() - soft_bound).clamp_min(0.0).square().sum(dim=-1)


def reg_loss(mu: Tensor) -> Tensor:
    """Return the squared mean action, summed over actions; (M,) from mu (M, A)."""
    return mu.square().sum(dim=-1)


def gaussian_neglogp(x: Tensor, mu: Tensor, sigma: Tensor, logstd: Tensor) -> Tensor:
    """Return ``sum_a [(x - mu)^2 / (2 sigma^2) + log sigma + log(2 pi) / 2]``; (M,) from (M, A) each."""
    return (0.5 * ((x - mu) / sigma).square() + logstd).sum(dim=-1) + 0.9189385332046727 * x.shape[-1]


def gaussian_entropy(logstd: Tensor) -> Tensor:
    """Return ``sum_a [1/2 + log(2 pi)/2 + log sigma]``; (M,) from logstd (M, A)."""
    return logstd.sum(dim=-1) + 1.4189385332046727 * logstd.shape[-1]


def policy_kl(mu: Tensor, sigma: Tensor, old_mu: Tensor, old_sigma: Tensor) -> Tensor:
    """Return KL(new || old) of diagonal Gaussians, summed over actions, (M,).

    ``log(s1/s0) + (s0^2 + (m1 - m0)^2) / (2 s1^2) - 1/2``; 0 is the new policy, 1 the old. RL Games adds 1e-5 to the
    first quotient and to s1^2, which makes the KL negative for small sigma: with AMP's sigma of 0.055 by 0.0016 per
    action, in total more than the threshold of an adaptive learning rate.
    """
    kl = torch.log(old_sigma / sigma)
    kl = kl + (sigma.square() + (old_mu - mu).square()) / (2.0 * old_sigma.square()) - 0.5
    return kl.sum(dim=-1)


def clip_fraction(old_neglogp: Tensor, neglogp: Tensor, e_clip: float) -> Tensor:
    """Return the share of samples whose ratio is outside ``1 +- e_clip``; scalar from (M,)."""
    return ((torch.exp(old_neglogp - neglogp) - 1.0).abs() > e_clip).float().mean()
