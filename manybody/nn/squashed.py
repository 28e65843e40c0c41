"""The action distribution of soft actor-critic: a Gaussian squashed into (-1, 1)."""

from typing import NamedTuple

import torch
from torch import Tensor

from manybody.functional.policy import gaussian_neglogp
from manybody.functional.soft import squashed_neglogp


class SquashedGaussian(NamedTuple):
    """``tanh`` of independent normal distributions, one per action; both parameters (M, A)."""

    mu: Tensor
    """Mean before the tanh."""
    log_sigma: Tensor
    """Logarithm of the standard deviation before the tanh."""

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Transform standard normal ``noise`` (M, A) to actions, with gradients to both parameters.

        Returns:
            Actions (M, A) in (-1, 1) and their negative log-density (M,).
        """
        sigma = self.log_sigma.exp()
        raw = self.mu + sigma * noise
        return raw.tanh(), squashed_neglogp(gaussian_neglogp(raw, self.mu, sigma, self.log_sigma), raw)

    def sample(self) -> Tensor:
        """(M, A) in (-1, 1), from torch's global generator."""
        return (self.mu + self.log_sigma.exp() * torch.randn_like(self.mu)).tanh()

    def mode(self) -> Tensor:
        """(M, A): tanh of the mean, the median of each action."""
        return self.mu.tanh()
