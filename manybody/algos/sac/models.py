"""The live model of SAC, and what it is built from."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from manybody.algos.model import BaseModel, BaseModelNetwork
from manybody.algos.network import ModelArguments, ModelInput, ModelOutput
from manybody.algos.sac.networks import flat_size
from manybody.data.tree import Tree
from manybody.envs.base import EnvError, EnvInfo
from manybody.envs.spaces import observation_shape
from manybody.nn.distributions import SquashedGaussian


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

    def forward(self, input_dict: ModelInput) -> ModelOutput:
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


def action_bounds(env_info: EnvInfo, device: torch.device) -> tuple[Tensor, Tensor]:
    """The lowest and the highest action, (A,) each.

    Raises:
        EnvError: actions are not continuous, or a bound is infinite.
    """
    space = env_info["action_space"]
    if not isinstance(space, spaces.Box):
        raise EnvError(f"algo.name: sac acts in a Box; the environment's action space is {space}. Use a2c_discrete")
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise EnvError(
            f"algo.name: sac maps [-1, 1] to the bounds of the action space, and {space} has infinite ones. Give the "
            "environment finite bounds, or use a2c_continuous"
        )
    low, high = (torch.as_tensor(bound, dtype=torch.float32, device=device) for bound in (space.low, space.high))
    return low, high


def notices(env_info: EnvInfo) -> list[str]:
    """What SAC does to these observations and rewards that nobody may have meant."""
    shape, rewards = observation_shape(env_info["observation_space"]), env_info["value_size"]
    parts = shape if isinstance(shape, dict) else {"obs": shape}
    images = [f"{key} {part}" for key, part in parts.items() if len(part) > 1]
    said = [f"sac has no convolutions: of {', '.join(images)} every number is an input"] if images else []
    return [*said, f"sac learns from the sum of the environment's {rewards} rewards"] if rewards > 1 else said


def with_sizes(arguments: ModelArguments) -> ModelArguments:
    """Add ``obs_dim`` and ``action_dim``, which RL Games' own builder reads, to the arguments of ``build``."""
    return {**arguments, "action_dim": arguments["actions_num"], "obs_dim": flat_size(arguments["input_shape"])}
