"""``rl_games.algos_torch.network_builder``: the library's networks, built from a raw mapping, for clients to subclass.

Parameters have the names of RL Games 1.6.5. Clients import ``torch``, ``nn`` and modules from here with ``*``.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn
from typing_extensions import override

from manybody.algos import a2c, network, sac
from manybody.algos.a2c.networks import InputShape, Trunk
from manybody.algos.sac.config import SACNetworkConfig
from manybody.algos.sac.networks import DiagGaussianActor, DoubleQCritic
from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.compat.rl_games.common import object_factory
from manybody.config import ActorCriticConfig, ResnetActorCriticConfig, parse_section
from manybody.config.network import CnnConfig
from manybody.config.section import Section
from manybody.nn.cnn import Cnn, build_cnn
from manybody.nn.layers import ACTIVATIONS, INITIALIZERS, keep
from manybody.registry import ObjectFactory

__all__ = [
    "A2CBuilder",
    "A2CResnetBuilder",
    "DiagGaussianActor",
    "DoubleQCritic",
    "NetworkBuilder",
    "SACBuilder",
    "nn",
    "object_factory",
    "torch",
    "torch_ext",
]

_create_initializer = partial
"""``_create_initializer(function, **settings)`` is a function of the tensor to fill."""


class BaseNetwork(network.BaseNetwork):
    """A network with factories of activations and initialisers, and methods that build its parts."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activations_factory = ObjectFactory("activation")
        self.activations_factory.set_builders(dict(ACTIVATIONS))
        self.init_factory = ObjectFactory("initializer")
        initializers: dict[str, Callable[..., Any]] = {
            name: partial(_create_initializer, draw) for name, draw in INITIALIZERS.items()
        }
        # RL Games' files give "default" a scale, which it ignores.
        self.init_factory.set_builders({**initializers, "default": lambda **kwargs: keep})

    @override
    def _calc_input_size(self, input_shape: Sequence[int], cnn_layers: Any = None) -> int:
        if cnn_layers is None:
            return super()._calc_input_size(input_shape)
        with torch.no_grad():
            return nn.Sequential(*cnn_layers)(torch.zeros(1, *input_shape)).flatten(1).shape[1]

    def _build_conv(
        self,
        ctype: str,
        input_shape: Sequence[int],
        convs: Sequence[Mapping[str, Any]],
        activation: str,
        norm_func_name: str | None = None,
    ) -> nn.Module:
        """Build convolutions of the type ``ctype`` over ``input_shape`` (C, H, W) or (C, L)."""
        section = {"type": ctype, "convs": convs, "activation": activation, "permute_input": False}
        return _as_in_checkpoints(
            build_cnn(parse_section(CnnConfig, section, "network.cnn"), input_shape, norm_func_name)[0]
        )


def _as_in_checkpoints(cnn: nn.Module) -> nn.Module:
    """Replace the normalisation of images by RL Games' own."""
    for name, layer in cnn.named_children():
        if isinstance(layer, nn.GroupNorm) and isinstance(cnn.get_submodule("0"), nn.Conv2d):
            setattr(cnn, name, torch_ext.LayerNorm2d(layer.num_channels))
    return cnn


class ClientSection(ActorCriticConfig):
    """The ``network`` section of a client, whose network may build heads of its own and then has no ``space``."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        return self if self.space is None else super()._heads_fit()  # type: ignore[operator]


class A2CNetwork(a2c.A2CNetwork, BaseNetwork):
    """:class:`manybody.algos.a2c.A2CNetwork` with RL Games' attributes.

    Args:
        params: the ``network`` section as written, with the keys of subclasses.
        kwargs: as for the library's class.
    """

    SCHEMA: ClassVar[type[Section]] = ClientSection

    def __init__(self, params: Any, **kwargs: Any) -> None:
        self.value_size: int = kwargs.get("value_size", 1)
        super().__init__(params, **kwargs)
        if self.has_space:
            self.space_config = params["space"][self.params.space.kind]

    @override
    def load(self, params: Any) -> None:
        typed: Any = parse_section(self.SCHEMA, params, "network", private_keys=True)
        super().load(typed)
        mlp, rnn = params["mlp"], typed.rnn
        self.units = mlp["units"]
        self.initializer = mlp.get("initializer", {"name": "default"})
        self.is_d2rl: bool = typed.mlp.d2rl
        self.norm_only_first_layer: bool = typed.mlp.norm_only_first_layer
        self.normalization = params.get("normalization")
        self.value_activation: str = typed.value_activation
        self.central_value: bool = typed.central_value
        self.has_space, self.has_rnn, self.has_cnn = (part is not None for part in (typed.space, rnn, typed.cnn))
        if self.has_cnn:
            self.cnn: Any = params["cnn"]
            self.permute_input: bool = typed.cnn.permute_input
        if self.has_rnn:
            self.rnn_name, self.rnn_units, self.rnn_layers = rnn.name, rnn.units, rnn.layers
            self.rnn_ln, self.is_rnn_before_mlp = rnn.layer_norm, rnn.before_mlp
            self.rnn_concat_input, self.rnn_concat_output = rnn.concat_input, rnn.concat_output

    @override
    def _build_encoder(self, input_shape: InputShape) -> tuple[nn.Module, int]:
        encoder, size = super()._build_encoder(input_shape)
        if isinstance(encoder, Cnn):
            encoder.permute_input = False  # forward methods of clients permute images before they call it
        return (nn.Sequential() if isinstance(encoder, nn.Flatten) else _as_in_checkpoints(encoder)), size

    @override
    def _build_hidden(self, input_size: int) -> nn.Module:
        return self._build_mlp(
            input_size=input_size,
            units=self.units,
            activation=self.activation,
            norm_func_name=self.normalization if self.is_d2rl else None,  # RL Games 1.6.5 ignores it elsewhere
            norm_only_first_layer=self.norm_only_first_layer,
            d2rl=self.is_d2rl,
        )

    @override
    def _encode(self, trunk: Trunk, obs: Any) -> Tensor:
        if self.has_cnn and self.permute_input and obs.dim() == 4:
            obs = obs.permute(0, 3, 1, 2)
        return super()._encode(trunk, obs).flatten(1)


class A2CResnetNetwork(A2CNetwork, a2c.A2CResnetNetwork):
    """:class:`A2CNetwork` behind IMPALA's residual convolutions; actor and critic share everything but their heads."""

    SCHEMA = ResnetActorCriticConfig


class SACNetwork(sac.SACNetwork, BaseNetwork):
    """:class:`manybody.algos.sac.SACNetwork` from a raw ``network`` section."""

    def __init__(self, params: Any, **kwargs: Any) -> None:
        super().__init__(parse_section(SACNetworkConfig, params, "network", private_keys=True), **kwargs)


class NetworkBuilder(network.NetworkBuilder):
    """Builds networks; see :class:`manybody.algos.network.NetworkBuilder`."""

    BaseNetwork = BaseNetwork

    def __init__(self, **kwargs: Any) -> None:
        """Settings are for :meth:`load`; ``kwargs`` are left to subclasses."""


class A2CBuilder(NetworkBuilder):
    """``network.name: actor_critic``."""

    Network = A2CNetwork


class A2CResnetBuilder(NetworkBuilder):
    """``network.name: resnet_actor_critic``."""

    Network = A2CResnetNetwork


class SACBuilder(NetworkBuilder):
    """``network.name: soft_actor_critic``."""

    Network = SACNetwork
