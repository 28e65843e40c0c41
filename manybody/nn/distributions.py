"""Action distributions: immutable values of their parameters."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from manybody.functional.policy import gaussian_entropy, gaussian_neglogp, policy_kl


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
    """One choice among K per row, by unnormalised log-probabilities (M, K)."""

    logits: Tensor

    def parameters(self) -> dict[str, Tensor]:
        """``logits`` (M, K)."""
        return {"logits": self.logits}

    def _log_probs(self) -> Tensor:
        return self.logits.log_softmax(dim=-1)

    def sample(self) -> Tensor:
        """(M,) int64.

        The largest of p_k / e_k with e_k from Exp(1) is at k with probability p_k (the exponential race). Sampling does
        not wait for the device, and an action of probability zero is never drawn.
        """
        probs = self.logits.softmax(dim=-1)
        return (probs / torch.empty_like(probs).exponential_().clamp_min(1e-30)).argmax(dim=-1)

    def mode(self) -> Tensor:
        """(M,) int64."""
        return self.logits.argmax(dim=-1)

    def neglogp(self, actions: Tensor) -> Tensor:
        """(M,) from ``actions`` (M,) int64."""
        return -self._log_probs().gather(-1, actions.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """(M,) -sum_k p_k log p_k."""
        log_probs = self._log_probs()
        return -(log_probs.exp() * log_probs).sum(dim=-1)

    def kl(self, old: "Categorical") -> Tensor:
        """(M,) sum_k p_k (log p_k - log q_k) with q the old distribution."""
        log_probs = self._log_probs()
        return (log_probs.exp() * (log_probs - old._log_probs())).sum(dim=-1)


class MultiCategorical(NamedTuple):
    """Several independent choices per row; ``logits`` (M, sum of ``sizes``), one block per head."""

    logits: Tensor
    sizes: tuple[int, ...]

    def parameters(self) -> dict[str, Tensor]:
        """``logits`` (M, sum of sizes)."""
        return {"logits": self.logits}

    def _heads(self) -> list[Categorical]:
        return [Categorical(block) for block in self.logits.split(self.sizes, dim=-1)]

    def sample(self) -> Tensor:
        """(M, heads) int64."""
        return torch.stack([head.sample() for head in self._heads()], dim=-1)

    def mode(self) -> Tensor:
        """(M, heads) int64."""
        return torch.stack([head.mode() for head in self._heads()], dim=-1)

    def neglogp(self, actions: Tensor) -> Tensor:
        """(M,) from ``actions`` (M, heads) int64."""
        parts = [head.neglogp(action) for head, action in zip(self._heads(), actions.unbind(-1), strict=True)]
        return torch.stack(parts).sum(dim=0)

    def entropy(self) -> Tensor:
        """(M,), summed over heads."""
        return torch.stack([head.entropy() for head in self._heads()]).sum(dim=0)

    def kl(self, old: "MultiCategorical") -> Tensor:
        """(M,), summed over heads."""
        pairs = zip(self._heads(), old._heads(), strict=True)
        return torch.stack([head.kl(before) for head, before in pairs]).sum(dim=0)


def joined(logits: Tensor | Sequence[Tensor]) -> Tensor:
    """(M, sum of sizes) from logits (M, A_k) of each head, as RL Games' models return them."""
    return logits if isinstance(logits, Tensor) else torch.cat(tuple(logits), dim=-1)


def categorical(logits: Tensor | Sequence[Tensor], sizes: tuple[int, ...] | None) -> Categorical | MultiCategorical:
    """One choice for ``sizes`` None, else one per head."""
    return Categorical(joined(logits)) if sizes is None else MultiCategorical(joined(logits), sizes)
