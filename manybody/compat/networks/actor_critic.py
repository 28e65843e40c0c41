"""``A2CBuilder.Network``: RL Games' actor-critic, built from a raw mapping, to inherit from."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from manybody.compat.networks.base import BaseNetwork
from manybody.compat.rl_games.algos_torch.torch_ext import shape_whc_to_cwh


class Trunk(NamedTuple):
    """The attributes that hold the parts between an observation and a head."""

    cnn: str
    mlp: str
    rnn: str
    layer_norm: str


SHARED = Trunk("actor_cnn", "actor_mlp", "rnn", "layer_norm")
ACTOR = Trunk("actor_cnn", "actor_mlp", "a_rnn", "a_layer_norm")
CRITIC = Trunk("critic_cnn", "critic_mlp", "c_rnn", "c_layer_norm")


class A2CNetwork(BaseNetwork):
    """Convolutions, hidden layers and a recurrent layer, shared by actor and critic unless ``separate``; their heads.

    Settings, parts and parameters have RL Games' names, and are drawn in its order.

    Args:
        params: the ``network`` section as it was written; keys that nobody here knows are left to subclasses.
        kwargs: ``actions_num``, A or for several heads the sizes A_k; ``input_shape`` of one observation;
            ``value_size`` (V, default 1); ``num_seqs``, the sequences of :meth:`get_default_rnn_state` (default 1).
            The rest is left to subclasses.
    """

    PLACEHOLDERS: ClassVar[tuple[str, ...]] = ("actor_cnn", "critic_cnn", "actor_mlp", "critic_mlp")
    """Parts that exist, empty, in networks that have no such part, and stand before all others."""
    extra_rnn_input = 0
    """Width of what a subclass shows to the recurrent layer beside the features."""

    def __init__(self, params: Any, **kwargs: Any) -> None:
        super().__init__()
        self.value_size: int = kwargs.get("value_size", 1)
        self.num_seqs: int = kwargs.get("num_seqs", 1)
        self.load(params)
        for name in self.PLACEHOLDERS:
            setattr(self, name, nn.Sequential())
        out_size = self._build_trunks(kwargs["input_shape"])
        self.value = self._build_value_layer(out_size, self.value_size)
        self.value_act = self.activations_factory.create(self.value_activation)
        self._build_heads(out_size, kwargs["actions_num"])
        self._draw_weights()

    def load(self, params: Any) -> None:
        """Keep the settings under the names that subclasses read."""
        mlp, self.has_rnn, self.has_cnn = params["mlp"], "rnn" in params, "cnn" in params
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

    def _load_space(self, params: Any) -> None:
        self.has_space = "space" in params
        space = params["space"] if self.has_space else {}
        self.is_continuous = "continuous" in space
        self.is_discrete = "discrete" in space
        self.is_multi_discrete = "multi_discrete" in space
        for kind in ("multi_discrete", "discrete", "continuous"):
            if kind in space:
                self.space_config: Any = space[kind]
        if self.is_continuous:
            self.fixed_sigma = self.space_config["fixed_sigma"]

    def _load_rnn(self, rnn: Mapping[str, Any]) -> None:
        self.rnn_units = rnn["units"]
        self.rnn_layers = rnn["layers"]
        self.rnn_name = rnn["name"]
        self.rnn_ln = rnn.get("layer_norm", False)
        self.is_rnn_before_mlp = rnn.get("before_mlp", False)
        self.rnn_concat_input = rnn.get("concat_input", False)
        self.rnn_concat_output = rnn.get("concat_output", False)

    @property
    def _trunks(self) -> tuple[Trunk, ...]:
        """The actor's trunk first, the critic's last."""
        return (ACTOR, CRITIC) if self.separate else (SHARED,)

    def _build_trunks(self, input_shape: Any) -> int:
        """Build every part between observation and heads; the width of what comes out."""
        if self.has_cnn:
            if self.permute_input:
                input_shape = shape_whc_to_cwh(input_shape)
            for trunk in self._trunks:
                setattr(self, trunk.cnn, self._build_encoder(input_shape))
        features = mlp_input = self._calc_input_size(input_shape, getattr(self, self._trunks[0].cnn))
        out_size = self.units[-1] if len(self.units) else features
        if self.has_rnn:
            recalled = self.rnn_units + (features if self.rnn_concat_output else 0)
            if self.is_rnn_before_mlp:
                rnn_input, mlp_input = features, recalled
            else:
                rnn_input = out_size + (features if self.rnn_concat_input else 0)
                out_size = recalled
            rnn_input += self.extra_rnn_input
            for trunk in self._trunks:
                rnn = self._build_rnn(self.rnn_name, rnn_input, self.rnn_units, self.rnn_layers)
                setattr(self, trunk.rnn, rnn)
            for trunk in self._trunks if self.rnn_ln else ():
                setattr(self, trunk.layer_norm, nn.LayerNorm(self.rnn_units))
        for trunk in self._trunks:
            setattr(self, trunk.mlp, self._build_hidden(mlp_input))
        return out_size

    def _build_encoder(self, input_shape: Any) -> nn.Module:
        return self._build_conv(
            ctype=self.cnn["type"],
            input_shape=input_shape,
            convs=self.cnn["convs"],
            activation=self.cnn["activation"],
            norm_func_name=self.normalization,
        )

    def _build_hidden(self, input_size: int) -> nn.Module:
        return self._build_mlp(
            input_size=input_size,
            units=self.units,
            activation=self.activation,
            norm_func_name=self.normalization,
            dense_func=nn.Linear,
            d2rl=self.is_d2rl,
            norm_only_first_layer=self.norm_only_first_layer,
        )

    def _build_heads(self, out_size: int, actions_num: Any) -> None:
        if self.is_discrete:
            self.logits: Any = nn.Linear(out_size, actions_num)
        if self.is_multi_discrete:
            self.logits = nn.ModuleList([nn.Linear(out_size, size) for size in actions_num])
        if self.is_continuous:
            self.mu = nn.Linear(out_size, actions_num)
            self.mu_act = self.activations_factory.create(self.space_config["mu_activation"])
            self.sigma_act = self.activations_factory.create(self.space_config["sigma_activation"])
            self.sigma: Any = (
                nn.Parameter(torch.zeros(actions_num)) if self.fixed_sigma else nn.Linear(out_size, actions_num)
            )

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
    def is_separate_critic(self) -> bool:
        return self.separate

    @override
    def is_rnn(self) -> bool:
        return self.has_rnn

    def get_default_rnn_state(self) -> tuple[Tensor, ...] | None:
        """Zeros (layers, num_seqs, units) on the CPU: (h, c) or (h,), the actor's before the critic's."""
        if not self.has_rnn:
            return None
        return self._zero_states(self.num_seqs, self._states_per_trunk * len(self._trunks))

    @property
    def _states_per_trunk(self) -> int:
        return 2 if self.rnn_name == "lstm" else 1

    def _zero_states(self, num_seqs: int, count: int, device: Any = None) -> tuple[Tensor, ...]:
        units = 1 if self.rnn_name == "identity" else self.rnn_units
        shape = (self.rnn_layers, num_seqs, units)
        return tuple(torch.zeros(shape, device=device) for _ in range(count))

    def forward(self, obs_dict: dict[str, Any]) -> tuple[Any, ...]:
        """Policy and value, as a plain tuple.

        Args:
            obs_dict: ``obs`` (M, *input_shape). Recurrent networks also take ``rnn_states`` (None: zeros),
                ``seq_length`` L (default 1) and ``dones`` (M,) or None, nonzero where an episode begins; row s L + t is
                step t of sequence s.

        Returns:
            (mu (M, A), raw spread (M, A), value (M, V), states), (logits (M, A), value, states), with several heads
            (a list of logits (M, A_k), value, states), or of a central value (value, states).
        """
        obs, states = self._observation(obs_dict), obs_dict.get("rnn_states")
        if self.has_cnn and self.permute_input and obs.dim() == 4:
            obs = obs.permute(0, 3, 1, 2)
        if not self.has_rnn:
            outs = [self._through(trunk, obs, obs_dict, None)[0] for trunk in self._trunks]
        else:
            share, given = self._states_per_trunk, tuple(states or ())
            passed = [
                self._through(trunk, obs, obs_dict, given[index * share : (index + 1) * share])
                for index, trunk in enumerate(self._trunks)
            ]
            outs = [out for out, _ in passed]
            states = tuple(state for _, after in passed for state in after)
        value = self.value_act(self.value(outs[-1]))
        return (*self._decide(outs[0]), value, states)

    def _observation(self, obs_dict: Mapping[str, Any]) -> Tensor:
        """What the convolutions see, (M, *input_shape)."""
        return obs_dict["obs"]

    def _encode(self, trunk: Trunk, obs: Tensor) -> Tensor:
        """Flat features (M, F)."""
        return getattr(self, trunk.cnn)(obs).flatten(1)

    def _decide(self, features: Tensor) -> tuple[Any, ...]:
        """What the policy's head says about features (M, F)."""
        if self.central_value:
            return ()
        if self.is_continuous:
            mu = self.mu_act(self.mu(features))
            return mu, mu * 0 + self.sigma_act(self.sigma if self.fixed_sigma else self.sigma(features))
        if self.is_multi_discrete:
            return ([head(features) for head in self.logits],)
        return (self.logits(features),) if self.is_discrete else ()

    def _through(
        self, trunk: Trunk, obs: Tensor, obs_dict: Mapping[str, Any], states: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What one trunk gives, (M, F), and its new states; ``states`` () are zeros."""
        encoded = self._encode(trunk, obs)
        mlp = getattr(self, trunk.mlp)
        if states is None:
            return mlp(encoded), ()
        out = encoded if self.is_rnn_before_mlp else mlp(encoded)
        if self.rnn_concat_input and not self.is_rnn_before_mlp:
            out = torch.cat([out, encoded], dim=1)
        out, states = self._recall(trunk, out, obs_dict, states)
        if self.rnn_concat_output:
            out = torch.cat([out, encoded], dim=1)
        return (mlp(out) if self.is_rnn_before_mlp else out), states

    def _recall(
        self, trunk: Trunk, x: Tensor, obs_dict: Mapping[str, Any], states: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Through the recurrent layer of a trunk: (M, units) from (M, I), rows in sequences of ``seq_length``."""
        x = x.unflatten(0, (-1, obs_dict.get("seq_length", 1))).transpose(0, 1)
        dones = obs_dict.get("dones")
        if dones is not None:
            dones = dones.reshape(x.shape[1], x.shape[0], 1).transpose(0, 1)
        states = states or self._zero_states(x.shape[1], self._states_per_trunk, x.device)
        before = states[0] if len(states) == 1 else states
        out, after = getattr(self, trunk.rnn)(x, before, dones, obs_dict.get("bptt_len", 0))
        out = out.transpose(0, 1).flatten(0, 1)
        if self.rnn_ln:
            out = getattr(self, trunk.layer_norm)(out)
        return out, after if isinstance(after, tuple) else (after,)
