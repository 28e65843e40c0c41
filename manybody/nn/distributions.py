"""Action distributions as values: parameters in, samples and log-probabilities out, no state."""

from typing import NamedTuple

import torch
from torch import Tensor

from manybody.functional.policy import gaussian_entropy, gaussian_neglogp, policy_kl


class Gaussian(NamedTuple):
    """Independent normal distributions, one per action; both parameters (M, A), ``sigma`` > 0."""

    mu: Tensor
    sigma: Tensor

    def sample(self) -> Tensor:
        """(M, A), one draw per row from torch's global generator."""
        return self.mu + self.sigma * torch.randn_like(self.mu)

    def neglogp(self, actions: Tensor) -> Tensor:
        """(M,) negative log-density of ``actions`` (M, A)."""
        return gaussian_neglogp(actions, self.mu, self.sigma, self.sigma.log())

    def entropy(self) -> Tensor:
        """(M,) differential entropy, summed over actions."""
        return gaussian_entropy(self.sigma.log())

    def kl(self, old: "Gaussian") -> Tensor:
        """(M,) KL(self || old), RL Games' form."""
        return policy_kl(self.mu, self.sigma, old.mu, old.sigma)

    def mode(self) -> Tensor:
        """(M, A), the most likely action."""
        return self.mu
