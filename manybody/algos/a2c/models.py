"""Policies: how a network's outputs become actions and log-probabilities."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from typing_extensions import override

from manybody.algos.model import BaseModel, BaseModelNetwork
from manybody.algos.network import ModelInput, ModelOutput
from manybody.nn.distributions import FORBIDDEN, Categorical, Distribution, Gaussian, joined


class PolicyModelNetwork(BaseModelNetwork):
    """A live model that acts; subclasses say which distribution the network's outputs describe."""

    def policy(self, out: object, input_dict: ModelInput) -> Distribution:
        """Return the M distributions that ``out``, the network's outputs, describe."""
        raise NotImplementedError

    def forward(self, input_dict: ModelInput) -> ModelOutput:
        """Act, or judge actions taken earlier.

        Args:
            input_dict: ``obs`` (M, *obs_shape) or a dictionary of such; ``is_train``; when training ``prev_actions``
                (M, ...); for discrete actions optionally ``action_masks`` (M, sum of head sizes) bool; for recurrent
                networks ``rnn_states``, ``seq_length`` and ``dones``.

        Returns:
            Training: ``prev_neglogp`` (M,), ``values`` (M, V) in normalised units, ``entropy`` (M,), ``rnn_states``
            and the parameters of the distribution: ``mus`` and ``sigmas`` (M, A), or ``logits`` (M, sum of sizes).
            Acting: ``actions`` (M, ...), ``neglogpacs`` (M,), ``values`` (M, V) in units of reward, ``rnn_states``
            and the parameters.
        """
        return self.decide({**input_dict, "obs": self.norm_obs(input_dict["obs"])})

    def decide(self, input_dict: ModelInput) -> ModelOutput:
        """As :meth:`forward`, from normalised observations."""
        out = self.a2c_network(input_dict)
        *_, value, states = out  # by place: networks of users return plain tuples
        policy = self.policy(out, input_dict)
        common = {"rnn_states": states, **policy.parameters()}
        values = value.float()
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


SMALLEST_SIGMA = 1e-3
"""Floor of a standard deviation that the network predicts directly."""


class LogStdModelNetwork(PolicyModelNetwork):
    """A live Gaussian model; ``sigma = exp(raw) + min_sigma``, or as ``sigma_parametrization`` says."""

    def __init__(self, a2c_network: nn.Module, *args: Any, **kwargs: Any) -> None:
        super().__init__(a2c_network, *args, **kwargs)
        space: Any = getattr(a2c_network, "space_config", None) or {}
        # Read once: torch.compile does not trace a configuration's methods.
        self.sigma_parametrization: str = space.get("sigma_parametrization", "exp")
        self.logstd_bounds: tuple[float, float] | None = space.get("logstd_bounds")
        self.min_sigma: float = space.get("min_sigma", 0.0)

    @override
    def policy(self, out: Any, input_dict: ModelInput) -> Gaussian:
        mu, raw = out[:2]
        sigma = self.standard_deviation(raw.float()).expand_as(mu)  # networks of users may give (A,) for all rows
        return Gaussian(mu.float(), sigma)

    def standard_deviation(self, raw: Tensor) -> Tensor:
        """Sigma (M, A) > 0 from the network's raw value (M, A)."""
        if self.sigma_parametrization == "exp":
            sigma = (raw if self.logstd_bounds is None else raw.clamp(*self.logstd_bounds)).exp()
        elif self.sigma_parametrization == "softplus":
            sigma = softplus(raw)
        else:
            sigma = raw.clamp_min(SMALLEST_SIGMA)
        return sigma + self.min_sigma if self.min_sigma > 0 else sigma


class DirectModelNetwork(LogStdModelNetwork):
    """The network predicts the standard deviation itself, which is kept above :data:`SMALLEST_SIGMA`."""

    @override
    def standard_deviation(self, raw: Tensor) -> Tensor:
        return raw.clamp_min(SMALLEST_SIGMA)


class ModelA2CContinuousLogStd(BaseModel):
    """``model.name: continuous_a2c_logstd``."""

    Network = LogStdModelNetwork


class ModelA2CContinuous(BaseModel):
    """``model.name: continuous_a2c``; give ``sigma_activation: softplus`` or a positive ``sigma_init``."""

    Network = DirectModelNetwork


class CategoricalModelNetwork(PolicyModelNetwork):
    """A live model of one choice, or of one per head; masked choices have probability zero."""

    @override
    def policy(self, out: Any, input_dict: ModelInput) -> Categorical:
        heads = None if isinstance(out[0], Tensor) else tuple(out[0])
        logits = joined(out[0]).float()
        allowed = input_dict.get("action_masks")
        if allowed is not None:
            logits = torch.where(allowed, logits, FORBIDDEN)
        return Categorical(logits, None if heads is None else tuple(head.shape[-1] for head in heads))


class ModelA2C(BaseModel):
    """``model.name: discrete_a2c``: a ``Discrete`` action space."""

    Network = CategoricalModelNetwork


class ModelA2CMultiDiscrete(BaseModel):
    """``model.name: multi_discrete_a2c``: ``MultiDiscrete``, or a ``Tuple`` of ``Discrete`` of any sizes."""

    Network = CategoricalModelNetwork
