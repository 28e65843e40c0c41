"""Action distributions as immutable values."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from manybody.functional.policy import gaussian_entropy, gaussian_neglogp, policy_kl
from manybody.functional.soft import squashed_neglogp


class Distribution(Protocol):
    """The interface of a batch of M independent action distributions."""

    def parameters(self) -> dict[str, Tensor]:
        """Return the parameters (M, .) by their names in model outputs and rollouts."""

    def sample(self) -> Tensor:
        """Draw one action per row from torch's global generator."""

    def mode(self) -> Tensor:
        """Return the most likely action of each row."""

    def neglogp(self, actions: Tensor) -> Tensor:
        """Return (M,) negative log-probability (or density) of one action per row."""

    def entropy(self) -> Tensor:
        """Return the entropy (M,), summed over the parts of an action."""

    def kl(self, old: Self) -> Tensor:
        """Return KL(self || old) (M,) for an ``old`` of the same class, summed over the parts of an action."""


class Gaussian(NamedTuple):
    """Independent normal distributions, one per action; both parameters (M, A), ``sigma`` > 0."""

    mu: Tensor
    sigma: Tensor

    def parameters(self) -> dict[str, Tensor]:
        """Return ``mus`` and ``sigmas`` (M, A)."""
        return {"mus": self.mu, "sigmas": self.sigma}

    def sample(self) -> Tensor:
        """Draw (M, A) from torch's global generator."""
        return self.mu + self.sigma * torch.randn_like(self.mu)

    def neglogp(self, actions: Tensor) -> Tensor:
        """Return the negative log-density (M,) of ``actions`` (M, A)."""
        return gaussian_neglogp(actions, self.mu, self.sigma, self.sigma.log())

    def entropy(self) -> Tensor:
        """Return (M,) differential entropy, summed over actions."""
        return gaussian_entropy(self.sigma.log())

    def kl(self, old: "Gaussian") -> Tensor:
        """Return (M,) KL(self || old), RL Games' form."""
        return policy_kl(self.mu, self.sigma, old.mu, old.sigma)

    def mode(self) -> Tensor:
        """Return (M, A), the most likely action."""
        return self.mu


FORBIDDEN = -1e8
"""Logit of a masked action: finite, so that zero times it is zero, and low enough for a probability of exactly zero."""


class Categorical(NamedTuple):
    """One choice per row, or several independent choices, one per head; actions are int64, (M,) or (M, heads)."""

    logits: Tensor
    """(M, K) unnormalised log-probabilities, head by head."""
    sizes: tuple[int, ...] | None = None
    """Number of choices of each head; None: a single choice, actions (M,)."""

    def parameters(self) -> dict[str, Tensor]:
        """Return ``logits`` (M, K)."""
        return {"logits": self.logits}

    def _heads(self) -> tuple[Tensor, ...]:
        return (self.logits,) if self.sizes is None else self.logits.split(self.sizes, dim=-1)

    def log_probs(self) -> list[Tensor]:
        """Return the log-probabilities (M, A_k) of each head."""
        return [head.log_softmax(dim=-1) for head in self._heads()]

    def _stacked(self, choices: list[Tensor]) -> Tensor:
        return choices[0] if self.sizes is None else torch.stack(choices, dim=-1)

    def _summed(self, parts: list[Tensor]) -> Tensor:
        return parts[0] if self.sizes is None else torch.stack(parts).sum(dim=0)

    def sample(self) -> Tensor:
        """Draw one choice per row and head.

        The largest of p_k / e_k with e_k from Exp(1) is at k with probability p_k (the exponential race). Sampling does
        not wait for the device, and an action of probability zero is never drawn.
        """
        probs = [head.softmax(dim=-1) for head in self._heads()]
        return self._stacked([(p / torch.empty_like(p).exponential_().clamp_min(1e-30)).argmax(dim=-1) for p in probs])

    def mode(self) -> Tensor:
        """Return the most likely action."""
        return self._stacked([head.argmax(dim=-1) for head in self._heads()])

    def neglogp(self, actions: Tensor) -> Tensor:
        """Return the negative log-probability (M,), summed over heads."""
        choices = (actions,) if self.sizes is None else actions.unbind(-1)
        chosen = zip(self.log_probs(), choices, strict=True)
        return self._summed([-log_probs.gather(-1, x.unsqueeze(-1)).squeeze(-1) for log_probs, x in chosen])

    def entropy(self) -> Tensor:
        """Return (M,) -sum_k p_k log p_k, summed over heads."""
        return self._summed([-(log_probs.exp() * log_probs).sum(dim=-1) for log_probs in self.log_probs()])

    def kl(self, old: "Categorical") -> Tensor:
        """Return (M,) sum_k p_k (log p_k - log q_k) with q the old distribution, summed over heads."""
        pairs = zip(self.log_probs(), old.log_probs(), strict=True)
        return self._summed([(new.exp() * (new - before)).sum(dim=-1) for new, before in pairs])


def joined(logits: Tensor | Sequence[Tensor]) -> Tensor:
    """Concatenate logits (M, A_k) of each head, as RL Games' models return them, to (M, sum of A_k)."""
    return logits if isinstance(logits, Tensor) else torch.cat(tuple(logits), dim=-1)


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
        """Draw (M, A) in (-1, 1) from torch's global generator."""
        return (self.mu + self.log_sigma.exp() * torch.randn_like(self.mu)).tanh()

    def mode(self) -> Tensor:
        """Return (M, A): tanh of the mean, the median of each action."""
        return self.mu.tanh()
