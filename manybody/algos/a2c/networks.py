"""The actor-critic network of PPO, under RL Games' parameter names."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from manybody.algos.network import (
    BaseNetwork,
    ContinuousOutput,
    DiscreteOutput,
    ModelInput,
    NetworkBuilder,
    ValueOutput,
)
from manybody.config import ActorCriticConfig, ConfigError, Problem, ResnetActorCriticConfig
from manybody.data.tree import Tree
from manybody.nn.cnn import build_cnn, build_impala
from manybody.nn.encoder import build_dict_encoder
from manybody.nn.layers import activation, initialize, initializer
from manybody.nn.rnn import States, build_rnn

InputShape = tuple[int, ...] | Mapping[str, tuple[int, ...]]
"""Shape of one observation; by key for a dictionary of observations."""


class Trunk(NamedTuple):
    """The attributes that hold the parts between an observation and a head."""

    encoder: str
    """Observation to a flat vector: convolutions, or the encoders of a dictionary."""
    mlp: str
    rnn: str
    layer_norm: str


SHARED = Trunk("actor_cnn", "actor_mlp", "rnn", "layer_norm")
ACTOR = Trunk("actor_cnn", "actor_mlp", "a_rnn", "a_layer_norm")
CRITIC = Trunk("critic_cnn", "critic_mlp", "c_rnn", "c_layer_norm")


@contextmanager
def blame(key: str) -> Iterator[None]:
    """A ValueError inside becomes a ConfigError at ``network.<key>``."""
    try:
        yield
    except ValueError as error:
        raise ConfigError([Problem(f"network.{key}", str(error))]) from error


class A2CNetwork(BaseNetwork):
    """Encoder, hidden layers and recurrent layer, shared by actor and critic unless ``separate``; then their heads.

    Args:
        params: the ``network`` section.
        kwargs: ``actions_num``, A or for several heads the sizes A_k; ``input_shape`` of one observation;
            ``value_size`` (V, default 1); ``num_seqs``, the sequences of :meth:`get_default_rnn_state` (default 1).
            The rest is left to subclasses.

    Raises:
        ConfigError: the section does not fit the observation or the actions.
    """

    ORDER: Sequence[str] = ("actor_cnn", "critic_cnn", "actor_mlp", "critic_mlp")
    """Parts that stand before all others, which the optimiser's state in checkpoints goes by."""

    space_config: Any
    """The block under ``space`` that is present; None for a central value."""

    def __init__(self, params: ActorCriticConfig | ResnetActorCriticConfig, **kwargs: Any) -> None:
        super().__init__()
        self.load(params)
        self.num_seqs: int = kwargs.get("num_seqs", 1)
        for name in self.ORDER:
            setattr(self, name, nn.Sequential())
        out_size = self._build_trunks(kwargs["input_shape"])
        self.value = self._build_value_layer(out_size, kwargs.get("value_size", 1))
        self.value_act = activation(self.params.value_activation)
        self._build_heads(out_size, kwargs.get("actions_num", 0))
        self._draw_weights()

    def _draw_weights(self) -> None:
        """Draw the initial weights of everything behind the encoders, which draw their own."""
        encoders = {trunk.encoder for trunk in self.trunks}
        for name, part in self.named_children():
            if name not in encoders:
                initialize(part, self.params.mlp.initializer)
        if self.is_continuous:
            spread = self.sigma if self.fixed_sigma else self.sigma.weight
            for weight, settings in (
                (self.mu.weight, self.space_config.mu_init),
                (spread, self.space_config.sigma_init),
            ):
                initializer(settings)(weight)

    def load(self, params: ActorCriticConfig | ResnetActorCriticConfig) -> None:
        """Keep the settings under the names that subclasses read."""
        self.params: Any = params
        self.separate = params.separate
        self.units = params.mlp.units
        self.activation = params.mlp.activation
        kind = params.space.kind if params.space else ""
        self.is_continuous = kind == "continuous"
        self.is_discrete = kind == "discrete"
        self.is_multi_discrete = kind == "multi_discrete"
        self.space_config = params.space[kind] if params.space else None
        self.fixed_sigma: bool = self.is_continuous and self.space_config.fixed_sigma

    @property
    def trunks(self) -> tuple[Trunk, ...]:
        """The actor's trunk first, the critic's last."""
        return (ACTOR, CRITIC) if self.separate else (SHARED,)

    def _build_encoder(self, input_shape: InputShape) -> tuple[nn.Module, int]:
        """What flattens an observation, and the width F that it gives."""
        params = self.params
        if isinstance(input_shape, Mapping):
            if params.cnn is not None:
                keys = ", ".join(input_shape)
                what = f"got a block, but the observation is a dictionary of {keys}; write network.encoders.<key>.cnn"
                raise ConfigError([Problem("network.cnn", what)])
            with blame("encoders"):
                return build_dict_encoder(input_shape, params.encoders, params.normalization)
        if params.encoders is not None:
            what = f"got {', '.join(params.encoders)}; expected none: the observation is not a dictionary, but has "
            raise ConfigError([Problem("network.encoders", f"{what}shape {tuple(input_shape)}")])
        if params.cnn is None:
            return nn.Flatten(), self._calc_input_size(input_shape)
        with blame("cnn"):
            return build_cnn(params.cnn, input_shape, params.normalization)

    def _build_trunks(self, input_shape: InputShape) -> int:
        """Build every part between observation and heads; the width of what comes out."""
        features = 0
        for trunk in self.trunks:
            encoder, features = self._build_encoder(input_shape)
            setattr(self, trunk.encoder, encoder)
        rnn, mlp_input = self.params.rnn, features
        if rnn is not None:
            recalled = rnn.units + (features if rnn.concat_output else 0)
            if rnn.before_mlp:
                rnn_input, mlp_input = features, recalled
            else:
                rnn_input = self._mlp_width(features) + (features if rnn.concat_input else 0)
            for trunk in self.trunks:
                setattr(self, trunk.rnn, self._build_recurrent(rnn_input))
            for trunk in self.trunks if rnn.layer_norm else ():
                setattr(self, trunk.layer_norm, nn.LayerNorm(rnn.units))
        for trunk in self.trunks:
            setattr(self, trunk.mlp, self._build_hidden(mlp_input))
        return recalled if rnn is not None and not rnn.before_mlp else self._mlp_width(mlp_input)

    def _build_recurrent(self, input_size: int) -> nn.Module:
        rnn = self.params.rnn
        with blame("rnn"):
            return build_rnn(rnn.name, input_size, rnn.units, rnn.layers)

    def _mlp_width(self, input_size: int) -> int:
        return self.units[-1] if self.units else input_size

    def _build_hidden(self, input_size: int) -> nn.Module:
        return self._build_mlp(
            input_size=input_size,
            units=self.units,
            activation=self.activation,
            norm_func_name=self.params.normalization,
            norm_only_first_layer=self.params.mlp.norm_only_first_layer,
            d2rl=self.params.mlp.d2rl,
        )

    def _build_heads(self, out_size: int, actions_num: int | Sequence[int]) -> None:
        if self.params.space is None:
            return
        if isinstance(actions_num, Sequence) != self.is_multi_discrete:
            several = isinstance(actions_num, Sequence)
            what = f"multi_discrete, for choices among {actions_num}" if several else "discrete or continuous"
            message = f"got {self.params.space.kind}; the environment's actions need {what}"
            raise ConfigError([Problem("network.space", message)])
        if isinstance(actions_num, Sequence):
            self.logits: Any = nn.ModuleList(nn.Linear(out_size, size) for size in actions_num)
        elif self.is_discrete:
            self.logits = nn.Linear(out_size, actions_num)
        else:
            self.mu = nn.Linear(out_size, actions_num)
            self.mu_act = activation(self.space_config.mu_activation)
            self.sigma_act = activation(self.space_config.sigma_activation)
            self.sigma: Any = (
                nn.Parameter(torch.zeros(actions_num)) if self.fixed_sigma else nn.Linear(out_size, actions_num)
            )
            self.sigma.requires_grad_(self.space_config.learn_sigma)

    @override
    def is_separate_critic(self) -> bool:
        return self.separate

    @override
    def is_rnn(self) -> bool:
        return self.params.rnn is not None

    def get_default_rnn_state(self) -> States | None:
        """Zeros (layers, num_seqs, units) on the parameters' device: (h, c) or (h,), actor's before critic's."""
        if not self.is_rnn():
            return None
        device = next(self.parameters()).device
        return tuple(
            state for trunk in self.trunks for state in getattr(self, trunk.rnn).initial_states(self.num_seqs, device)
        )

    def eval_actor(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and raw sigma, (M, A) each, from obs (M, *input_shape); for continuous feed-forward networks."""
        return self._heads(self._through(self.trunks[0], {"obs": obs}, ())[0])

    def _heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        mu = self.mu_act(self.mu(features))
        raw = self.sigma(features) if isinstance(self.sigma, nn.Module) else self.sigma.expand_as(mu)
        return mu, self.sigma_act(raw)

    def _encode(self, trunk: Trunk, obs: Tree) -> Tensor:
        """Features (M, F) of an observation."""
        features: Tensor = getattr(self, trunk.encoder)(obs)
        return features

    def _through(self, trunk: Trunk, input_dict: ModelInput, states: States) -> tuple[Tensor, States]:
        """What one trunk gives, (M, F), and its new states."""
        rnn = self.params.rnn
        inputs = self._encode(trunk, input_dict["obs"])
        mlp = getattr(self, trunk.mlp)
        if rnn is None:
            return mlp(inputs), ()
        out = inputs if rnn.before_mlp else mlp(inputs)
        if rnn.concat_input and not rnn.before_mlp:
            out = torch.cat([out, inputs], dim=1)
        out, states = self._recall(trunk, out, input_dict, states)
        if rnn.concat_output:
            out = torch.cat([out, inputs], dim=1)
        return (mlp(out) if rnn.before_mlp else out), states

    def _recall(self, trunk: Trunk, x: Tensor, input_dict: ModelInput, states: States) -> tuple[Tensor, States]:
        """Through the recurrent layer of a trunk: (M, units) from (M, I), rows in sequences of ``seq_length``."""
        rnn, dones = getattr(self, trunk.rnn), input_dict.get("dones")
        x = x.unflatten(0, (-1, input_dict.get("seq_length", 1)))
        if dones is not None:
            dones = dones.reshape(x.shape[:2])
        out, states = rnn(x, states or rnn.initial_states(x.shape[0], x.device), dones)
        out = out.flatten(0, 1)
        return (getattr(self, trunk.layer_norm)(out) if self.params.rnn.layer_norm else out), states

    def forward(self, input_dict: ModelInput) -> ContinuousOutput | DiscreteOutput | ValueOutput:
        """Policy and value.

        Args:
            input_dict: ``obs`` (M, *input_shape) or a dictionary of those. Recurrent networks also take
                ``rnn_states`` (None: zeros), ``seq_length`` L (default 1) and ``dones`` (M,) or None, nonzero
                where an episode begins; row s L + t is step t of sequence s.

        Returns:
            With the state after the last step, None where ``dones`` were given.
        """
        states = tuple(input_dict.get("rnn_states") or ())
        share = len(states) // len(self.trunks)
        passed = [
            self._through(trunk, input_dict, states[index * share : (index + 1) * share])
            for index, trunk in enumerate(self.trunks)
        ]
        features = passed[0][0]
        value = self.value_act(self.value(passed[-1][0]))
        after = tuple(state for _, new in passed for state in new) or None
        if self.is_continuous:
            return ContinuousOutput(*self._heads(features), value, after)
        if self.is_multi_discrete:
            return DiscreteOutput(tuple(head(features) for head in self.logits), value, after)
        if self.is_discrete:
            return DiscreteOutput(self.logits(features), value, after)
        return ValueOutput(value, after)


class A2CBuilder(NetworkBuilder):
    """``network.name: actor_critic``."""

    Network = A2CNetwork


class A2CResnetNetwork(A2CNetwork):
    """:class:`A2CNetwork` behind IMPALA's residual convolutions; actor and critic share everything but their heads."""

    ORDER = ()

    @property
    @override
    def trunks(self) -> tuple[Trunk, ...]:
        return (Trunk("cnn", "mlp", "rnn", "layer_norm"),)

    def _build_encoder(self, input_shape: InputShape) -> tuple[nn.Module, int]:
        if isinstance(input_shape, Mapping):
            keys = ", ".join(input_shape)
            what = f"got a block, but the observation is a dictionary of {keys}; use actor_critic with encoders"
            raise ConfigError([Problem("network.cnn", what)])
        with blame("cnn"):
            return build_impala(self.params.cnn, input_shape, self.activation)


class A2CResnetBuilder(NetworkBuilder):
    """``network.name: resnet_actor_critic``."""

    Network = A2CResnetNetwork
