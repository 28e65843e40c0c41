"""Soft actor-critic: its targets and losses (Haarnoja et al. 2018, arXiv 1812.05905), and tanh-squashed densities."""

import math

from torch import Tensor
from torch.nn.functional import softplus

from manybody.functional.stats import masked_mean


def squashed_neglogp(neglogp: Tensor, raw: Tensor) -> Tensor:
    """Return the negative log-density (M,) of ``tanh(raw)`` from that of ``raw`` (M, A), ``neglogp`` (M,).

    ``neglogp(raw) + sum_a log(1 - tanh(raw_a)^2)`` (arXiv 1812.05905, eq. 26). The logarithm is computed as
    ``2 (log 2 - raw - softplus(-2 raw))``, which is finite where tanh is 1.
    """
    return neglogp + (2.0 * (math.log(2.0) - raw - softplus(-2.0 * raw))).sum(dim=-1)


def bounded_logstd(raw: Tensor, low: float, high: float) -> Tensor:
    """Return ``low + (high - low) (tanh(raw) + 1) / 2``, which has a gradient everywhere (RL Games)."""
    return low + 0.5 * (high - low) * (raw.tanh() + 1.0)


def soft_value(q1: Tensor, q2: Tensor, neglogp: Tensor, alpha: Tensor) -> Tensor:
    """Return ``min(Q1, Q2) + alpha neglogp``: value of a state with its entropy (eq. 3); (M,) from (M,), alpha ()."""
    return q1.minimum(q2) + alpha * neglogp


def soft_target(reward: Tensor, discount: Tensor, value: Tensor) -> Tensor:
    """Return ``R + discount V``: target of the critics (eq. 6); (M,) each.

    ``reward`` is the discounted sum of n rewards, ``discount`` is gamma^n, or 0 where the episode terminated.
    """
    return reward + discount * value


def q_loss(q: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Return the mean () of ``(Q - target)^2`` over the rows where ``valid`` (M,) is true."""
    return masked_mean((q - target).square(), valid)


def actor_loss(q1: Tensor, q2: Tensor, neglogp: Tensor, alpha: Tensor, valid: Tensor) -> Tensor:
    """Return the mean () of minus :func:`soft_value` of the policy's actions (eq. 7) over the valid rows."""
    return -masked_mean(soft_value(q1, q2, neglogp, alpha), valid)


def alpha_loss(log_alpha: Tensor, entropy: Tensor, target_entropy: float) -> Tensor:
    """Return ``alpha (entropy - target)`` (eq. 18), () each: lower alpha while the entropy is above its target."""
    return log_alpha.exp() * (entropy.detach() - target_entropy)
