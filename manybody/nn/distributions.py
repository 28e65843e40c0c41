"""Action distributions: immutable values of their parameters."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from manybody.functional.policy import gaussian_entropy, gaussian_neglogp, policy_kl
from manybody.functional.soft import squashed_neglogp


class Distribution(Protocol):
    """The interface of action distributions: M independent ones."""

    def parameters(self) -> dict[str, Tensor]:
        """(M, .) by their names in model outputs and rollouts."""

    def sample(self) -> Tensor:
        """One action per row, from torch's global generator."""

    def mode(self) -> Tensor:
        """The most likely action of each row."""

    def neglogp(self, actions: Tensor) -> Tensor:
        """(M,) negative log-probability (or density) of one action per row."""

    def entropy(self) -> Tensor:
        """(M,), summed over the parts of an action."""

    def kl(self, old: Any) -> Tensor:
        """(M,) KL(self || old) for an ``old`` of the same kind, summed over the parts of an action."""


class Gaussian(NamedTuple):
    """Independent normal distributions, one per action; both parameters (M, A), ``sigma`` > 0."""

    mu: Tensor
    sigma: Tensor

    def parameters(self) -> dict[str, Tensor]:
        """``mus`` and ``sigmas`` (M, A)."""
        return {"mus": self.mu, "sigmas": self.sigma}

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


FORBIDDEN = -1e8
"""Logit of an action that a mask forbids: its probability is exactly zero, and zero times it is still zero."""


class Categorical(NamedTuple):
    """One choice per row, or several independent ones, with a head each.

    Actions are int64: (M,) of one choice, (M, heads) of several.
    """

    logits: Tensor
    """(M, K) unnormalised log-probabilities; of several heads, one block each."""
    sizes: tuple[int, ...] | None = None
    """Choices of each head; None: one choice."""

    def parameters(self) -> dict[str, Tensor]:
        """``logits`` (M, K)."""
        return {"logits": self.logits}

    def _heads(self) -> tuple[Tensor, ...]:
        return (self.logits,) if self.sizes is None else self.logits.split(self.sizes, dim=-1)

    def log_probs(self) -> list[Tensor]:
        """(M, A_k) log-probabilities of each head."""
        return [head.log_softmax(dim=-1) for head in self._heads()]

    def _stacked(self, choices: list[Tensor]) -> Tensor:
        return choices[0] if self.sizes is None else torch.stack(choices, dim=-1)

    def _summed(self, parts: list[Tensor]) -> Tensor:
        return parts[0] if self.sizes is None else torch.stack(parts).sum(dim=0)

    def sample(self) -> Tensor:
        """One draw per row and head.

        The largest of p_k / e_k with e_k from Exp(1) is at k with probability p_k (the exponential race). Sampling does
        not wait for the device, and an action of probability zero is never drawn.
        """
        probs = [head.softmax(dim=-1) for head in self._heads()]
        return self._stacked([(p / torch.empty_like(p).exponential_().clamp_min(1e-30)).argmax(dim=-1) for p in probs])

    def mode(self) -> Tensor:
        """The most likely action."""
        return self._stacked([head.argmax(dim=-1) for head in self._heads()])

    def neglogp(self, actions: Tensor) -> Tensor:
        """(M,), summed over heads."""
        choices = (actions,) if self.sizes is None else actions.unbind(-1)
        chosen = zip(self.log_probs(), choices, strict=True)
        return self._summed([-log_probs.gather(-1, x.unsqueeze(-1)).squeeze(-1) for log_probs, x in chosen])

    def entropy(self) -> Tensor:
        """(M,) -sum_k p_k log p_k, summed over heads."""
        return self._summed([-(log_probs.exp() * log_probs).sum(dim=-1) for log_probs in self.log_probs()])

    def kl(self, old: "Categorical") -> Tensor:
        """(M,) sum_k p_k (log p_k - log q_k) with q the old distribution, summed over heads."""
        pairs = zip(self.log_probs(), old.log_probs(), strict=True)
        return self._summed([(new.exp() * (new - before)).sum(dim=-1) for new, before in pairs])


def joined(logits: Tensor | Sequence[Tensor]) -> Tensor:
    """(M, sum of sizes) from logits (M, A_k) of each head, as RL Games' models return them."""
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
        """(M, A) in (-1, 1), from torch's global generator."""
        return (self.mu + self.log_sigma.exp() * torch.randn_like(self.mu)).tanh()

    def mode(self) -> Tensor:
        """(M, A): tanh of the mean, the median of each action."""
        return self.mu.tanh()
