"""The live model of SAC, and RL Games' checkpoints as its state."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from manybody.algos.model import BaseModel, BaseModelNetwork
from manybody.data.tree import Tree
from manybody.engine.checkpoint import require
from manybody.engine.checkpoint.adoption import adopt_moments
from manybody.engine.checkpoint.untrusted import CheckpointError
from manybody.nn.squashed import SquashedGaussian

PARTS = ("actor", "critic", "critic_target")
"""What a network for SAC consists of."""


class SACModelNetwork(BaseModelNetwork):
    """A live SAC model: policy and critics around normalised observations. Actions of the policy are in [-1, 1]."""

    NETWORK = "sac_network"
    sac_network: Any

    def actor(self, obs: Tree) -> SquashedGaussian:
        """The policy at normalised observations (M, ...)."""
        return self.sac_network.actor(obs)

    def critic(self, obs: Tree, action: Tensor) -> tuple[Tensor, Tensor]:
        """(M,) twice: what actions (M, A) in [-1, 1] are worth at normalised observations."""
        return self.sac_network.critic(obs, action)

    def critic_target(self, obs: Tree, action: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`critic`, by the slow copies."""
        return self.sac_network.critic_target(obs, action)

    def forward(self, input_dict: dict[str, Any]) -> dict[str, Any]:
        """Act on ``input_dict['obs']`` (M, ...) as the environment gave it.

        Returns:
            ``actions`` (M, A), drawn, and ``mus`` (M, A), the policy's mode, both in [-1, 1]; ``rnn_states`` None.
        """
        policy = self.actor(self.norm_obs(input_dict["obs"]))
        return {"actions": policy.sample(), "mus": policy.mode(), "rnn_states": None}


class ModelSACContinuous(BaseModel):
    """``model.name: soft_actor_critic``."""

    Network = SACModelNetwork
    model_class = "sac"


def model_state(weights: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The model's state in a checkpoint of ours, or of RL Games, which keeps its parts under names of their own.

    Raises:
        CheckpointError: there is none.
    """
    if "model" in weights or "actor" not in weights:  # of RL Games' layer, a checkpoint holds both
        return require(weights, "model", path)
    state: dict[str, Any] = {}
    homes = {part: f"sac_network.{part}" for part in PARTS}
    for part, home in {**homes, "running_mean_std": "running_mean_std"}.items():
        given = weights.get(part, {}) if part == "running_mean_std" else require(weights, part, path)
        if not isinstance(given, Mapping):
            advice = "It is no checkpoint of SAC."
            raise CheckpointError(path, part, type(given).__name__, "named parameters", advice)
        state |= {f"{home}.{name}": value for name, value in given.items()}
    return state


def adopt_optimizers(agent: Any, weights: Mapping[str, Any], path: str) -> list[str]:
    """Give the optimisers of ``agent`` the moments in an RL Games checkpoint; returns what starts anew."""
    own = {"actor": "sac_network.actor.", "critic": "sac_network.critic.", "log_alpha": "log_alpha"}
    if "log_alpha" not in weights:  # up to 1.6.5: moments of a temperature that is not there
        del own["log_alpha"]
    parameters = {**dict(agent.model.named_parameters()), "log_alpha": agent.log_alpha}
    given, anew = [*model_state(weights, path), "log_alpha"], []
    for part, prefix in own.items():
        name = f"{part}_optimizer"
        learned = {key: value for key, value in parameters.items() if key.startswith(prefix)}
        if not adopt_moments(getattr(agent, name), learned, given, weights.get(name)):
            anew.append(f"the moments of {name}")
    return anew
