"""Adversarial imitation: loss of the discriminator and style reward (AMP, arXiv 2104.02180)."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

MIN_FAKE_PROBABILITY = 1e-4
"""Lower limit of 1 - D, so that a style reward is at most -log 1e-4 = 9.2 times its scale."""


def discriminator_loss(agent_logits: Tensor, demo_logits: Tensor) -> Tensor:
    """Return the cross entropy () of classifying demonstrations (K, 1) as 1 and the agent (M, 1) as 0.

    1/2 (mean softplus(agent) + mean softplus(-demo)), as -log sigmoid(x) = softplus(-x).
    """
    return 0.5 * (softplus(agent_logits).mean() + softplus(-demo_logits).mean())


def logits_and_penalty(discriminator: Callable[[Tensor], Tensor], inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits (M, 1) of ``inputs`` (M, D) and their gradient penalty (): the mean of |d logit / d input|^2.

    The penalty keeps the discriminator from being steep where the demonstrations are (Mescheder et al. 2018, arXiv
    1801.04406, R1); gradients flow through it into the weights.
    """

    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        logits = discriminator(x)
        return logits.sum(), logits

    gradient, logits = torch.func.grad(total, has_aux=True)(inputs)
    return logits, gradient.square().sum(dim=-1).mean()


def sum_of_squares(weights: Iterable[Tensor]) -> Tensor:
    """Return the sum () of all squared weights."""
    return torch.stack([weight.square().sum() for weight in weights]).sum()


def style_reward(logits: Tensor, scale: float) -> Tensor:
    """Return ``-scale log(max(1 - D, 1e-4))`` of ``logits`` (...), with D = sigmoid(logit) (IsaacGymEnvs).

    log(1 - D) is computed as log sigmoid(-logit), which is exact for small values.
    """
    return -scale * logsigmoid(-logits).clamp_min(math.log(MIN_FAKE_PROBABILITY))


def accuracy(agent_logits: Tensor, demo_logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares () of the agent's and of the demonstrations' logits with the correct sign."""
    return (agent_logits < 0).float().mean(), (demo_logits > 0).float().mean()
