"""``A2CResnetBuilder.Network``: RL Games' actor-critic behind IMPALA's residual convolutions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from typing_extensions import override

from manybody.algos.a2c.networks import Trunk
from manybody.compat.networks.actor_critic import A2CNetwork
from manybody.nn.cnn import ImpalaBlock


class A2CResnetNetwork(A2CNetwork):
    """An actor-critic for images that share all but the heads.

    With ``require_rewards`` or ``require_last_actions`` the observation is a dictionary of ``observation``, ``reward``
    (M,) and ``last_action``, and the recurrent layer sees them too.
    """

    ORDER = ()

    def __init__(self, params: Any, **kwargs: Any) -> None:
        self.actions_num: Any = kwargs["actions_num"]
        if isinstance(kwargs["input_shape"], Mapping):
            kwargs["input_shape"] = kwargs["input_shape"]["observation"]
        super().__init__(params, **kwargs)
        self.flatten_act = self.activations_factory.create(self.activation)

    @override
    def load(self, params: Any) -> None:
        super().load(params)
        self.separate = False
        self.conv_depths = params["cnn"]["conv_depths"]
        self.require_rewards = params.get("require_rewards")
        self.require_last_actions = params.get("require_last_actions")

    @property
    @override
    def trunks(self) -> tuple[Trunk, ...]:
        return (Trunk("cnn", "mlp", "rnn", "layer_norm"),)

    @override
    def _build_convolutions(self, input_shape: Any) -> nn.Module:
        return self._build_impala(input_shape, self.conv_depths)

    def _build_impala(self, input_shape: Any, depths: Any) -> nn.Module:
        """From (M, C, H, W), ``input_shape`` (C, H, W); one block for each of ``depths``."""
        channels = [input_shape[0], *depths]
        return nn.Sequential(*[ImpalaBlock(channels[i], channels[i + 1]) for i in range(len(depths))])

    @override
    def _build_recurrent(self, input_size: int) -> nn.Module:
        actions = self.actions_num if self.require_last_actions else 0
        return super()._build_recurrent(input_size + (1 if self.require_rewards else 0) + actions)

    @override
    def _draw_weights(self) -> None:
        dense = self.init_factory.create(**self.initializer)
        for name, part in self.named_children():
            for layer in part.modules() if name != "cnn" else ():
                if isinstance(layer, nn.Linear):
                    dense(layer.weight)
        self._draw_heads()

    @override
    def _encode(self, trunk: Trunk, obs: Any) -> Tensor:
        image = obs["observation"] if isinstance(obs, Mapping) else obs
        return self.flatten_act(super()._encode(trunk, image))

    @override
    def _recall(
        self, trunk: Trunk, x: Tensor, input_dict: Mapping[str, Any], states: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        parts = [x]
        if self.require_rewards:
            parts.append(input_dict["obs"]["reward"].unsqueeze(1))
        if self.require_last_actions:
            action = input_dict["obs"]["last_action"]
            parts.append(one_hot(action.long(), self.actions_num).to(x) if self.is_discrete else action)
        return super()._recall(trunk, torch.cat(parts, dim=1), input_dict, states)
