"""``A2CBuilder.Network``: the library's actor-critic, built from a raw mapping, for clients to inherit from."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from manybody.algos import a2c
from manybody.algos.a2c.networks import Trunk
from manybody.compat.networks.base import BaseNetwork
from manybody.compat.rl_games.algos_torch.torch_ext import shape_whc_to_cwh
from manybody.config import parse_section
from manybody.config.network import RnnConfig


class A2CNetwork(a2c.A2CNetwork, BaseNetwork):
    """:class:`manybody.algos.a2c.A2CNetwork` with RL Games' attributes, layers and plain tuples.

    Args:
        params: the ``network`` section as written, with the keys of subclasses.
        kwargs: as for the library's class.
    """

    def __init__(self, params: Any, **kwargs: Any) -> None:
        self.value_size: int = kwargs.get("value_size", 1)
        super().__init__(params, **kwargs)

    @override
    def load(self, params: Any) -> None:
        mlp, rnn = params["mlp"], params.get("rnn")
        self.has_rnn, self.has_cnn = "rnn" in params, "cnn" in params
        self.separate = params.get("separate", False)
        self.units = mlp["units"]
        self.activation = mlp["activation"]
        self.initializer = mlp["initializer"]
        self.is_d2rl = mlp.get("d2rl", False)
        self.norm_only_first_layer = mlp.get("norm_only_first_layer", False)
        self.value_activation = params.get("value_activation", "None")
        self.normalization = params.get("normalization")
        self.central_value = params.get("central_value", False)
        self.joint_obs_actions_config = params.get("joint_obs_actions")
        self._load_space(params)
        if self.has_rnn:
            self._load_rnn(params["rnn"])
        if self.has_cnn:
            self.cnn: Any = params["cnn"]
            self.permute_input = self.cnn.get("permute_input", True)
        self.params = SimpleNamespace(  # what the library's class reads
            rnn=parse_section(RnnConfig, rnn, "network.rnn") if self.has_rnn else None,
            mlp=SimpleNamespace(norm_only_first_layer=self.norm_only_first_layer, d2rl=self.is_d2rl),
            normalization=self.normalization,
            value_activation=self.value_activation,
        )

    def _load_space(self, params: Any) -> None:
        self.has_space = "space" in params
        space = params["space"] if self.has_space else {}
        self.is_continuous = "continuous" in space
        self.is_discrete = "discrete" in space
        self.is_multi_discrete = "multi_discrete" in space
        for kind in ("multi_discrete", "discrete", "continuous"):
            if kind in space:
                self.space_config = space[kind]
        self.fixed_sigma = self.is_continuous and self.space_config["fixed_sigma"]

    def _load_rnn(self, rnn: Mapping[str, Any]) -> None:
        self.rnn_units = rnn["units"]
        self.rnn_layers = rnn["layers"]
        self.rnn_name = rnn["name"]
        self.rnn_ln = rnn.get("layer_norm", False)
        self.is_rnn_before_mlp = rnn.get("before_mlp", False)
        self.rnn_concat_input = rnn.get("concat_input", False)
        self.rnn_concat_output = rnn.get("concat_output", False)

    @override
    def _build_encoder(self, input_shape: Any) -> tuple[nn.Module, int]:
        if not self.has_cnn:
            return nn.Sequential(), self._calc_input_size(input_shape)
        shape = shape_whc_to_cwh(input_shape) if self.permute_input else input_shape
        encoder = self._build_convolutions(shape)
        return encoder, self._calc_input_size(shape, encoder)

    def _build_convolutions(self, input_shape: Any) -> nn.Module:
        return self._build_conv(
            ctype=self.cnn["type"],
            input_shape=input_shape,
            convs=self.cnn["convs"],
            activation=self.cnn["activation"],
            norm_func_name=self.normalization,
        )

    @override
    def _build_heads(self, out_size: int, actions_num: Any) -> None:
        if self.is_discrete:
            self.logits = nn.Linear(out_size, actions_num)
        if self.is_multi_discrete:
            self.logits = nn.ModuleList([nn.Linear(out_size, size) for size in actions_num])
        if self.is_continuous:
            self.mu = nn.Linear(out_size, actions_num)
            self.mu_act = self.activations_factory.create(self.space_config["mu_activation"])
            self.sigma_act = self.activations_factory.create(self.space_config["sigma_activation"])
            self.sigma = (
                nn.Parameter(torch.zeros(actions_num)) if self.fixed_sigma else nn.Linear(out_size, actions_num)
            )

    @override
    def _draw_weights(self) -> None:
        dense = self.init_factory.create(**self.initializer)
        self._initialize(dense, self.init_factory.create(**self.cnn["initializer"]) if self.has_cnn else dense)
        self._draw_heads()

    def _draw_heads(self) -> None:
        if self.is_continuous:
            spread = self.sigma if self.fixed_sigma else self.sigma.weight
            self.init_factory.create(**self.space_config["mu_init"])(self.mu.weight)
            self.init_factory.create(**self.space_config["sigma_init"])(spread)

    @override
    def _encode(self, trunk: Trunk, obs: Any) -> Tensor:
        if self.has_cnn and self.permute_input and obs.dim() == 4:
            obs = obs.permute(0, 3, 1, 2)
        return super()._encode(trunk, obs).flatten(1)

    @override
    def forward(self, input_dict: dict[str, Any]) -> tuple[Any, ...]:  # type: ignore[override]
        """As the library's class: a plain tuple, the logits of several heads as a list."""
        *policy, value, states = super().forward(input_dict)
        if self.central_value:
            return value, states
        return (*[list(part) if isinstance(part, tuple) else part for part in policy], value, states)
