"""``rl_games.algos_torch.models``: the library's models, for clients to subclass."""

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos import model
from manybody.algos.a2c import central_value
from manybody.algos.a2c import models as a2c
from manybody.algos.model import ObsShape
from manybody.algos.network import ModelInput, ModelOutput
from manybody.algos.sac.models import ModelSACContinuous as ModelSACContinuous
from manybody.functional.policy import gaussian_neglogp
from manybody.nn.distributions import Categorical


class BaseModel(model.BaseModel):
    """Builds live models. Subclasses set ``network_builder`` and ``Network``.

    Args:
        model_class: passed to the network builder (``a2c``).
    """

    def __init__(self, model_class: str) -> None:
        self.model_class = model_class


class BaseModelNetwork(model.BaseModelNetwork):
    """A live model: the normalisers, to which subclasses add their network, usually as ``a2c_network``.

    Args:
        obs_shape: shape of one observation, or shapes by key.
        normalize_value: keep running statistics of returns and predict in their units.
        normalize_input: keep running statistics of observations.
        value_size: V.
    """

    def __init__(
        self,
        obs_shape: ObsShape = (),
        normalize_value: bool = False,
        normalize_input: bool = False,
        value_size: int = 1,
    ) -> None:
        super().__init__(None, obs_shape, normalize_value, normalize_input, value_size)

    @override
    def get_aux_loss(self) -> dict[str, Tensor] | None:
        return None if getattr(self, self.NETWORK) is None else super().get_aux_loss()

    def is_separate_critic(self) -> bool:
        """Return whether actor and critic share no layer."""
        return getattr(self, self.NETWORK).is_separate_critic()


class _A2CNetwork(BaseModelNetwork):
    def __init__(self, a2c_network: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.a2c_network = a2c_network


class _PolicyNetwork(_A2CNetwork, a2c.PolicyModelNetwork):
    @override
    def forward(self, input_dict: ModelInput) -> ModelOutput:
        input_dict["obs"] = self.norm_obs(input_dict["obs"])  # RL Games' clients read it afterwards
        return self.decide(input_dict)


class _LogStdNetwork(_PolicyNetwork, a2c.LogStdModelNetwork):
    def neglogp(self, x: Tensor, mean: Tensor, std: Tensor, logstd: Tensor) -> Tensor:
        """(M,) negative log-density of actions ``x`` (M, A)."""
        return gaussian_neglogp(x, mean, std, logstd)


class _ContinuousNetwork(_PolicyNetwork, a2c.DirectModelNetwork):
    """The network gives the standard deviation."""


class _DiscreteNetwork(_PolicyNetwork, a2c.CategoricalModelNetwork):
    """``logits`` are the logarithms of probabilities."""

    @override
    def policy(self, out: Any, input_dict: ModelInput) -> Categorical:
        policy = super().policy(out, input_dict)
        return policy._replace(logits=torch.cat(policy.log_probs(), dim=-1))


class _MultiDiscreteNetwork(_DiscreteNetwork):
    """``logits`` is a list of (M, A_k), one for each head."""

    @override
    def decide(self, input_dict: ModelInput) -> ModelOutput:
        result = super().decide(input_dict)
        sizes = [head.out_features for head in self.a2c_network.logits]
        return {**result, "logits": list(result["logits"].split(sizes, dim=-1))}


class _CentralValueNetwork(_A2CNetwork, central_value.CentralValueModelNetwork):
    """A critic."""


class ModelA2C(model.BaseModel):
    """``model.name: discrete_a2c``."""

    Network = _DiscreteNetwork


class ModelA2CMultiDiscrete(model.BaseModel):
    """``model.name: multi_discrete_a2c``."""

    Network = _MultiDiscreteNetwork


class ModelA2CContinuous(model.BaseModel):
    """``model.name: continuous_a2c``."""

    Network = _ContinuousNetwork


class ModelA2CContinuousLogStd(model.BaseModel):
    """``model.name: continuous_a2c_logstd``."""

    Network = _LogStdNetwork


class ModelCentralValue(model.BaseModel):
    """``model.name: central_value``."""

    Network = _CentralValueNetwork
