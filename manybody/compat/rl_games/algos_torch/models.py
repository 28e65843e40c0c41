"""``rl_games.algos_torch.models``: models whose inner ``Network`` reads a network's tuple and returns a dictionary."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution as TorchDistribution
from typing_extensions import override

from manybody.algos import model
from manybody.algos.a2c import models as a2c
from manybody.compat.networks.tanh import NormalTanhDistribution, TanhBijector, squashed_answer
from manybody.compat.rl_games.algos_torch.running_mean_std import RunningMeanStd, RunningMeanStdObs
from manybody.compat.rl_games.algos_torch.sac_helper import SquashedNormal
from manybody.compat.rl_games.common import divergence
from manybody.compat.rl_games.common.extensions.distributions import CategoricalMasked
from manybody.functional.policy import gaussian_neglogp
from manybody.nn.distributions import FORBIDDEN, Categorical, Distribution

__all__ = [
    "BaseModel",
    "BaseModelNetwork",
    "CategoricalMasked",
    "ModelA2C",
    "ModelA2CContinuous",
    "ModelA2CContinuousLogStd",
    "ModelA2CContinuousTanh",
    "ModelA2CMultiDiscrete",
    "ModelCentralValue",
    "ModelSACContinuous",
    "NormalTanhDistribution",
    "RunningMeanStd",
    "RunningMeanStdObs",
    "SquashedNormal",
    "TanhBijector",
    "divergence",
    "math",
    "nn",
    "np",
    "torch",
]


class BaseModel(model.BaseModel):
    """A recipe for live models. Subclasses keep their ``network_builder`` and name their ``Network``.

    Args:
        model_class: passed to the network builder (``a2c``).
    """

    def __init__(self, model_class: str) -> None:
        self.model_class = model_class

    def is_rnn(self) -> bool:
        """Whether the recipe itself is recurrent; ask the live model about its network."""
        return False

    def is_separate_critic(self) -> bool:
        """As :meth:`is_rnn`, for layers that actor and critic share."""
        return False

    def get_value_layer(self) -> None:
        """As :meth:`is_rnn`, for the last layer of the critic."""
        return

    def build(self, config: dict[str, Any]) -> Any:
        """A new live model.

        Args:
            config: ``input_shape``; ``normalize_value`` and ``normalize_input`` (default False), ``value_size``
                (default 1); and everything else that the network builder understands.
        """
        return self.Network(
            self.network_builder.build(self.model_class, **config),
            obs_shape=config["input_shape"],
            normalize_value=config.get("normalize_value", False),
            normalize_input=config.get("normalize_input", False),
            value_size=config.get("value_size", 1),
        )


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
        obs_shape: Any = None,
        normalize_value: bool = False,
        normalize_input: bool = False,
        value_size: int = 1,
    ) -> None:
        super().__init__(None, obs_shape, False, False, value_size)  # type: ignore[arg-type]
        self.normalize_value = normalize_value
        self.normalize_input = normalize_input
        if normalize_value:
            self.value_mean_std: Any = RunningMeanStd((value_size,))
        if normalize_input:
            by_key = isinstance(obs_shape, Mapping)
            self.running_mean_std: Any = RunningMeanStdObs(obs_shape) if by_key else RunningMeanStd(obs_shape)

    def get_aux_loss(self) -> dict[str, Tensor] | None:
        """Further losses of the network's last forward pass; None of a model without ``a2c_network``."""
        return None if getattr(self, self.NETWORK) is None else super().get_aux_loss()

    def is_separate_critic(self) -> bool:
        """Whether actor and critic share no layer."""
        return getattr(self, self.NETWORK).is_separate_critic()


class _PolicyNetwork(BaseModelNetwork, a2c.PolicyModelNetwork):
    """A live model that acts."""

    def __init__(self, a2c_network: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.a2c_network = a2c_network

    def forward(self, input_dict: dict[str, Any]) -> dict[str, Any]:
        """Act, or judge actions taken earlier; see :class:`manybody.algos.a2c.models.PolicyModelNetwork`.

        ``input_dict`` goes to the network as it is, and afterwards holds the normalised observation.
        """
        input_dict["obs"] = self.norm_obs(input_dict["obs"])
        return self.decide(input_dict)


class _LogStdNetwork(_PolicyNetwork, a2c.LogStdModelNetwork):
    def neglogp(self, x: Tensor, mean: Tensor, std: Tensor, logstd: Tensor) -> Tensor:
        """(M,) negative log-density of actions ``x`` (M, A)."""
        return gaussian_neglogp(x, mean, std, logstd)


class _ContinuousNetwork(_PolicyNetwork, a2c.DirectModelNetwork):
    def kl(self, p_dict: Mapping[str, Tensor], q_dict: Mapping[str, Tensor]) -> Tensor:
        """(M,) KL(p || q), from ``mu`` and ``sigma`` (M, A) of both."""
        p, q = ((one["mu"], one["sigma"]) for one in (p_dict, q_dict))
        return divergence.d_kl_normal(p, q)


class _TanhNetwork(_PolicyNetwork):
    def decide(self, input_dict: dict[str, Any]) -> dict[str, Any]:
        """See :class:`manybody.algos.a2c.models.PolicyModelNetwork`; actions are in (-1, 1)."""
        mu, raw, value, states = self.a2c_network(input_dict)
        learning = input_dict.get("is_train", True)
        answer = squashed_answer(mu, raw, input_dict["prev_actions"] if learning else None)
        return {**answer, "values": value if learning else self.denorm_value(value), "rnn_states": states}


class _DiscreteNetwork(_PolicyNetwork, a2c.CategoricalModelNetwork):
    """``logits`` are the logarithms of probabilities; masked ones are -1e8."""

    @override
    def policy(self, out: Any, input_dict: dict[str, Any]) -> Distribution:
        (head,) = _heads([out[0]], input_dict.get("action_masks"))
        return Categorical(head)

    def kl(self, p_dict: Mapping[str, Tensor], q_dict: Mapping[str, Tensor]) -> Tensor:
        """(M,) KL(p || q), from ``logits`` (M, A) of both."""
        return divergence.d_kl_discrete(p_dict["logits"], q_dict["logits"])


class _MultiDiscreteNetwork(_PolicyNetwork, a2c.CategoricalModelNetwork):
    """``logits`` is a list of (M, A_k), one for each head, as those of :class:`ModelA2C`."""

    @override
    def policy(self, out: Any, input_dict: dict[str, Any]) -> Distribution:
        heads = _heads(out[0], input_dict.get("action_masks"))
        return Categorical(torch.cat(heads, dim=-1), tuple(head.shape[-1] for head in heads))

    @override
    def decide(self, input_dict: dict[str, Any]) -> dict[str, Any]:
        result = super().decide(input_dict)
        sizes = [head.out_features for head in self.a2c_network.logits]
        return {**result, "logits": list(result["logits"].split(sizes, dim=-1))}

    def kl(self, p_dict: Mapping[str, Any], q_dict: Mapping[str, Any]) -> Tensor:
        """(M,) KL(p || q), summed over heads, from the lists ``logits`` of both."""
        return divergence.d_kl_discrete_list(p_dict["logits"], q_dict["logits"])


def _heads(logits: Sequence[Tensor], masks: Any) -> list[Tensor]:
    """Logarithms of probabilities (M, A_k), from logits (M, A_k) and masks (M, sum of A_k), or None."""
    if masks is None:
        return [head.log_softmax(dim=-1) for head in logits]
    masks = torch.as_tensor(masks, dtype=torch.bool, device=logits[0].device)
    allowed = masks.split([head.shape[-1] for head in logits], dim=-1)
    pairs = zip(logits, allowed, strict=True)
    return [torch.where(mask, head, FORBIDDEN).log_softmax(dim=-1) for head, mask in pairs]


class _CentralValueNetwork(BaseModelNetwork):
    def __init__(self, a2c_network: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.a2c_network = a2c_network

    def kl(self, p_dict: Any, q_dict: Any) -> None:
        """There is no policy."""
        return

    def forward(self, input_dict: dict[str, Any]) -> dict[str, Any]:
        """``values`` (M, V), in units of reward unless ``is_train``, and ``rnn_states``."""
        input_dict["obs"] = self.norm_obs(input_dict["obs"])
        value, states = self.a2c_network(input_dict)
        if not input_dict.get("is_train", True):
            value = self.denorm_value(value)
        return {"values": value, "rnn_states": states}


class _SACNetwork(BaseModelNetwork):
    NETWORK = "sac_network"

    def __init__(self, sac_network: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sac_network = sac_network

    def actor(self, obs: Tensor) -> TorchDistribution:
        """The policy at normalised observations (M, O)."""
        return self.sac_network.actor(obs)

    def critic(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """(M, 1) twice: what actions (M, A) are worth at normalised observations (M, O)."""
        return self.sac_network.critic(obs, action)

    def critic_target(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`critic`, by the slow copies."""
        return self.sac_network.critic_target(obs, action)

    def is_rnn(self) -> bool:
        """Never."""
        return False

    def forward(self, input_dict: dict[str, Any]) -> TorchDistribution:
        """The policy at ``input_dict['obs']`` (M, O), already normalised."""
        return self.sac_network(input_dict)


class _A2CModel(BaseModel):
    def __init__(self, network: Any) -> None:
        super().__init__("a2c")
        self.network_builder = network


class ModelA2C(_A2CModel):
    """``model.name: discrete_a2c``."""

    Network = _DiscreteNetwork


class ModelA2CMultiDiscrete(_A2CModel):
    """``model.name: multi_discrete_a2c``."""

    Network = _MultiDiscreteNetwork


class ModelA2CContinuous(_A2CModel):
    """``model.name: continuous_a2c``; the network's spread is the deviation, kept above 0.001."""

    Network = _ContinuousNetwork


class ModelA2CContinuousLogStd(_A2CModel):
    """``model.name: continuous_a2c_logstd``."""

    Network = _LogStdNetwork


class ModelA2CContinuousTanh(_A2CModel):
    """``model.name: continuous_a2c_tanh``; actions are squashed into (-1, 1)."""

    Network = _TanhNetwork


class ModelCentralValue(_A2CModel):
    """``model.name: central_value``."""

    Network = _CentralValueNetwork


class ModelSACContinuous(BaseModel):
    """``model.name: soft_actor_critic``."""

    Network = _SACNetwork

    def __init__(self, network: Any) -> None:
        super().__init__("sac")
        self.network_builder = network
