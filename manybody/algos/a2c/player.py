"""Players of on-policy agents."""

from typing import Any

import torch
from torch import Tensor

from manybody.algos.player import BasePlayer
from manybody.config import Params
from manybody.engine.checkpoint import check_state_dict, load_checkpoint, require
from manybody.envs.base import Obs
from manybody.functional.actions import rescale_actions
from manybody.model_builder import ModelBuilder


class PpoPlayerContinuous(BasePlayer):
    """Plays ``a2c_continuous`` checkpoints, with the same action mapping as in training."""

    def __init__(self, params: Params, **parts: Any) -> None:
        super().__init__(params, **parts)
        config = self.config
        space = self.env_info["action_space"]
        self.clip_actions: bool = config.clip_actions
        self.actions_low = torch.as_tensor(space.low, dtype=torch.float32, device=self.device)
        self.actions_high = torch.as_tensor(space.high, dtype=torch.float32, device=self.device)
        self.network = ModelBuilder().load(params)
        self.model = self.network.build(self.build_config()).to(self.device).eval()

    def build_config(self) -> dict[str, Any]:
        """What the model is built from, as in training."""
        return {
            "actions_num": self.env_info["action_space"].shape[0],
            "input_shape": self.env_info["observation_space"].shape,
            "num_seqs": self.env.num_envs * self.env_info["agents"],
            "value_size": self.env_info["value_size"],
            "normalize_value": self.config.normalize_value,
            "normalize_input": self.config.normalize_input,
        }

    def restore(self, fn: str) -> None:
        """See :class:`BasePlayer`. Raises CheckpointError saying what is wrong with the file."""
        state = require(load_checkpoint(fn), "model", fn)
        check_state_dict(self.model.state_dict(), state, fn)
        self.model.load_state_dict(state)

    def get_action(self, obs: Obs, is_deterministic: bool = False) -> Tensor:
        """See :class:`BasePlayer`: the mean action, or a sample."""
        out = self.model({"is_train": False, "prev_actions": None, **obs})
        action = out["mus"] if is_deterministic else out["actions"]
        if not self.clip_actions:
            return action
        return rescale_actions(self.actions_low, self.actions_high, action.clamp(-1.0, 1.0))


PPOPlayerContinuous = PpoPlayerContinuous
