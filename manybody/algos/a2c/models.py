"""Gaussian policies: how a network's outputs become actions."""

from typing import Any

from torch import Tensor
from torch.nn.functional import softplus

from manybody.algos.model import BaseModel, BaseModelNetwork
from manybody.nn.distributions import Gaussian


class GaussianModelNetwork(BaseModelNetwork):
    """A live Gaussian model; subclasses say how the raw spread becomes a deviation."""

    def deviation(self, raw: Tensor) -> Tensor:
        """Sigma (M, A) > 0 from the network's raw spread (M, A)."""
        raise NotImplementedError

    def forward(self, input_dict: dict[str, Any]) -> dict[str, Any]:
        """Act, or judge actions taken earlier.

        Args:
            input_dict: ``obs`` (M, *obs_shape); ``is_train``; when training ``prev_actions`` (M, A).

        Returns:
            Training: ``prev_neglogp`` (M,), ``values`` (M, V) in normalised units, ``entropy`` (M,), ``mus`` and
            ``sigmas`` (M, A), ``rnn_states``. Acting: ``actions`` (M, A), ``neglogpacs`` (M,), ``values`` (M, V) in
            units of reward, ``mus``, ``sigmas``, ``rnn_states``.
        """
        out = self.a2c_network({**input_dict, "obs": self.norm_obs(input_dict["obs"])})
        policy = Gaussian(out.mu.float(), self.deviation(out.sigma.float()))
        common = {"rnn_states": out.states, "mus": policy.mu, "sigmas": policy.sigma}
        values = out.value.float()
        if input_dict.get("is_train", True):
            neglogp = policy.neglogp(input_dict["prev_actions"])
            return {**common, "prev_neglogp": neglogp, "values": values, "entropy": policy.entropy()}
        actions = policy.sample()
        return {
            **common,
            "actions": actions,
            "neglogpacs": policy.neglogp(actions),
            "values": self.denorm_value(values),
        }


class LogStdModelNetwork(GaussianModelNetwork):
    """``sigma = exp(raw) + min_sigma``, or as ``sigma_parametrization`` says."""

    def deviation(self, raw: Tensor) -> Tensor:
        """See :class:`GaussianModelNetwork`."""
        space = getattr(self.a2c_network, "space_config", None)
        if space is None:
            return raw.exp()
        if space.sigma_parametrization == "exp":
            sigma = (raw if space.logstd_bounds is None else raw.clamp(*space.logstd_bounds)).exp()
        elif space.sigma_parametrization == "softplus":
            sigma = softplus(raw)
        else:
            sigma = raw.clamp_min(SMALLEST_SIGMA)
        return sigma + space.min_sigma if space.min_sigma > 0 else sigma


SMALLEST_SIGMA = 1e-3
"""Floor of a deviation that the network predicts directly: a normal distribution needs one above zero."""


class DirectModelNetwork(GaussianModelNetwork):
    """The network's spread is the deviation itself, kept above :data:`SMALLEST_SIGMA`."""

    def deviation(self, raw: Tensor) -> Tensor:
        """See :class:`GaussianModelNetwork`."""
        return raw.clamp_min(SMALLEST_SIGMA)


class ModelA2CContinuousLogStd(BaseModel):
    """``model.name: continuous_a2c_logstd``."""

    Network = LogStdModelNetwork


class ModelA2CContinuous(BaseModel):
    """``model.name: continuous_a2c``; give ``sigma_activation: softplus`` or a positive ``sigma_init``."""

    Network = DirectModelNetwork
