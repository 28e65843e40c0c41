"""``NetworkBuilder`` and ``BaseNetwork``: dictionaries of tensors in, tuples of tensors out."""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, TypedDict

from torch import Tensor, nn

from manybody.data.recurrent import States
from manybody.data.tree import Tree
from manybody.nn.mlp import build_mlp


class ModelInput(TypedDict, total=False):
    """What models and networks take, M rows."""

    obs: Tree
    is_train: bool
    prev_actions: Tensor
    """Actions to judge, in training; None when acting."""
    action_masks: Tensor
    """(M, sum of head sizes) bool: the allowed choices of discrete policies."""
    rnn_states: States
    seq_length: int
    dones: Tensor | None
    """(M,), nonzero where an episode begins."""


ModelOutput = dict[str, Any]
"""What models return, by name: tensors (M, ...), and ``rnn_states``, a tuple of tensors or None."""
ModelArguments = dict[str, Any]
"""What models are built from, by name: sizes, shapes and switches, and what an agent adds for its own network."""


class ContinuousOutput(NamedTuple):
    """What a continuous actor-critic network returns."""

    mu: Tensor
    """(M, A) mean action."""
    sigma: Tensor
    """(M, A) raw value; the model turns it into a standard deviation."""
    value: Tensor
    """(M, V), in the normalised value space."""
    states: States
    """Recurrent state, None for feed-forward networks."""


class DiscreteOutput(NamedTuple):
    """What a discrete actor-critic network returns."""

    logits: Tensor | tuple[Tensor, ...]
    """(M, A) unnormalised log-probabilities; (M, A_k) each for several heads."""
    value: Tensor
    """(M, V), in the normalised value space."""
    states: States
    """Recurrent state, None for feed-forward networks."""


class ValueOutput(NamedTuple):
    """What a central-value network returns."""

    value: Tensor
    """(M, V), in the normalised value space."""
    states: States
    """Recurrent state, None for feed-forward networks."""


class BaseNetwork(nn.Module):
    """A network as models expect it; ``forward(input_dict)`` takes ``{'obs': (M, O), ...}``."""

    def is_separate_critic(self) -> bool:
        """Whether actor and critic share no layer."""
        return False

    def is_rnn(self) -> bool:
        """Whether the network carries a state from step to step."""
        return False

    def get_default_rnn_state(self) -> States:
        """The state an episode starts with; None for feed-forward networks."""
        return None

    def eval_actor(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and raw sigma, (M, A) each, from obs (M, *input_shape); for continuous feed-forward networks.

        It runs the whole network; one whose actor can be run alone does it at less cost.
        """
        mu, sigma = self({"obs": obs})[:2]
        return mu, sigma.expand_as(mu)

    def get_value_layer(self) -> nn.Module | None:
        """The last layer of the critic."""
        return getattr(self, "value", None)

    def get_aux_loss(self) -> dict[str, Tensor] | None:
        """Further losses of the last forward pass, () each, added to the total and logged by name."""
        return None

    def _build_mlp(
        self,
        input_size: int,
        units: Sequence[int],
        activation: str,
        dense_func: Callable[[int, int], nn.Module] = nn.Linear,
        norm_only_first_layer: bool = False,
        norm_func_name: str | None = None,
        d2rl: bool = False,
    ) -> nn.Module:
        return build_mlp(input_size, units, activation, norm_func_name, norm_only_first_layer, d2rl, dense_func)

    def _calc_input_size(self, input_shape: Sequence[int]) -> int:
        return math.prod(input_shape)

    def _build_value_layer(self, input_size: int, output_size: int) -> nn.Module:
        return nn.Linear(input_size, output_size)


class NetworkBuilder:
    """A recipe for networks: ``load`` takes the ``network`` section, ``build`` makes an ``nn.Module``.

    ``Network`` names the class that is built; a builder for another network replaces it or overrides ``build``.
    """

    BaseNetwork: ClassVar[type[BaseNetwork]] = BaseNetwork
    Network: ClassVar[type]

    def load(self, params: object) -> None:
        """Take the ``network`` section of the configuration."""
        self.params = params

    def build(self, name: str, **kwargs: object) -> nn.Module:
        """A new network: ``Network(params, **kwargs)``.

        Args:
            name: the model class that asks (``a2c``).
            kwargs: ``actions_num``, ``input_shape``, ``value_size``, ``num_seqs``, and what an agent adds.
        """
        return self.Network(self.params, **kwargs)

    def __call__(self, name: str, **kwargs: object) -> nn.Module:
        """As :meth:`build`."""
        return self.build(name, **kwargs)
