"""A Gaussian policy squashed into (-1, 1), as ``rl_games.algos_torch.models`` has it for ``continuous_a2c_tanh``."""

import math

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import softplus


class TanhBijector:
    """``tanh`` and what a change of variables by it needs; tensors of any one shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Into (-1, 1)."""
        return x.tanh()

    def inverse(self, y: Tensor) -> Tensor:
        """Back again; ``y`` is kept a little within (-1, 1)."""
        y = y.clamp(-0.99999997, 0.99999997)
        return 0.5 * (y.log1p() - (-y).log1p())

    def forward_log_det_jacobian(self, x: Tensor) -> Tensor:
        """``log(1 - tanh(x)^2)``, sound for large ``x`` too."""
        return 2.0 * (math.log(2.0) - x - softplus(-2.0 * x))


class NormalTanhDistribution:
    """Independent squashed normal distributions from a mean and a raw scale, (M, A) each.

    The deviation before the tanh is ``(softplus(scale) + min_std) var_scale``.

    Args:
        event_size: A.
        min_std: smallest deviation.
        var_scale: factor of the deviation.
    """

    def __init__(self, event_size: int, min_std: float = 0.001, var_scale: float = 1.0) -> None:
        self.param_size = event_size
        self._min_std, self._var_scale = min_std, var_scale
        self._postprocessor = TanhBijector()

    def create_dist(self, loc: Tensor, scale: Tensor) -> Normal:
        """The distribution before the tanh."""
        return Normal(loc, (softplus(scale) + self._min_std) * self._var_scale)

    def sample_no_postprocessing(self, loc: Tensor, scale: Tensor) -> Tensor:
        """(M, A) drawn before the tanh, with gradients to both parameters."""
        return self.create_dist(loc, scale).rsample()

    def sample(self, loc: Tensor, scale: Tensor) -> Tensor:
        """(M, A) in (-1, 1), with gradients to both parameters."""
        return self.post_process(self.sample_no_postprocessing(loc, scale))

    def post_process(self, pre_tanh_sample: Tensor) -> Tensor:
        """The actions (M, A) that draws before the tanh stand for."""
        return self._postprocessor.forward(pre_tanh_sample)

    def inverse_post_process(self, post_tanh_sample: Tensor) -> Tensor:
        """The inverse of :meth:`post_process`."""
        return self._postprocessor.inverse(post_tanh_sample)

    def mode(self, loc: Tensor, scale: Tensor) -> Tensor:
        """(M, A): tanh of the mean, the median of each action."""
        return self.post_process(loc)

    def log_prob(self, loc: Tensor, scale: Tensor, actions: Tensor) -> Tensor:
        """(M,) log-density of the actions that ``actions`` (M, A), before the tanh, stand for."""
        density = self.create_dist(loc, scale).log_prob(actions)
        return (density - self._postprocessor.forward_log_det_jacobian(actions)).sum(dim=-1)

    def entropy(self, loc: Tensor, scale: Tensor) -> Tensor:
        """(M,) an estimate by one draw per row."""
        dist = self.create_dist(loc, scale)
        bent = self._postprocessor.forward_log_det_jacobian(dist.rsample())
        return (dist.entropy() + bent).sum(dim=-1)


def reported_sigma(raw: Tensor) -> Tensor:
    """(M, A) what RL Games' model returns as ``sigmas``; the distribution itself adds 0.001 after the softplus."""
    return softplus(raw + 0.001)


def squashed_answer(mu: Tensor, raw: Tensor, actions: Tensor | None) -> dict[str, Tensor]:
    """The model's outputs about ``actions`` (M, A) in (-1, 1); about new ones where None are given."""
    policy = NormalTanhDistribution(mu.shape[-1])
    parameters = {"mus": mu, "sigmas": reported_sigma(raw)}
    if actions is not None:
        entropy = policy.entropy(mu, raw)
        neglogp = -policy.log_prob(mu, raw, policy.inverse_post_process(actions))
        return {**parameters, "prev_neglogp": neglogp, "entropy": entropy}
    with torch.no_grad():
        drawn = policy.sample_no_postprocessing(mu, raw)
    neglogp = -policy.log_prob(mu, raw, drawn)
    return {**parameters, "neglogpacs": neglogp, "actions": policy.post_process(drawn)}
