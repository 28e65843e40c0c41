"""``amp``: an actor-critic and a discriminator of its motion."""

from typing import Any

from torch import Tensor, nn

from manybody.algos.a2c import A2CNetwork
from manybody.algos.amp.config import AMPNetworkConfig
from manybody.algos.network import NetworkBuilder
from manybody.nn.layers import initialize


class AMPNetwork(A2CNetwork):
    """``actor_critic`` with a discriminator; its layers are named as in IsaacGymEnvs' checkpoints.

    What :meth:`forward` takes and gives is that of :class:`A2CNetwork`; :meth:`eval_disc` asks the discriminator.

    Args:
        params: the ``network`` section.
        kwargs: as for :class:`A2CNetwork`, and ``amp_input_shape``, (D,).
    """

    def __init__(self, params: AMPNetworkConfig, **kwargs: Any) -> None:
        super().__init__(params, **kwargs)
        disc = params.disc
        size = self._calc_input_size(kwargs["amp_input_shape"])
        self._disc_mlp = self._build_mlp(size, disc.units, disc.activation, d2rl=disc.d2rl)
        self._disc_logits = nn.Linear(disc.units[-1] if disc.units else size, 1)
        initialize(self._disc_mlp, disc.initializer)
        nn.init.uniform_(self._disc_logits.weight, -1.0, 1.0)
        nn.init.zeros_(self._disc_logits.bias)

    def eval_disc(self, amp_obs: Tensor) -> Tensor:
        """Logits (M, 1) of ``amp_obs`` (M, D), normalised; above zero: looks like a demonstration."""
        return self._disc_logits(self._disc_mlp(amp_obs))

    def get_disc_logit_weights(self) -> Tensor:
        """(1, H), the weights of the discriminator's last layer."""
        return self._disc_logits.weight

    def get_disc_weights(self) -> list[Tensor]:
        """All weight matrices of the discriminator."""
        layers = [*self._disc_mlp.modules(), self._disc_logits]
        return [layer.weight for layer in layers if isinstance(layer, nn.Linear)]


class AMPBuilder(NetworkBuilder):
    """``network.name: amp``."""

    Network = AMPNetwork
