"""The player of SAC."""

from torch import Tensor
from typing_extensions import override

from manybody.algos.network import ModelArguments
from manybody.algos.player import BasePlayer
from manybody.algos.sac.config import SACConfig
from manybody.algos.sac.models import action_bounds, with_sizes
from manybody.config import Params
from manybody.envs.base import Obs, VecEnv
from manybody.functional.policy import rescale_actions


class SACPlayer(BasePlayer):
    """Plays ``sac`` checkpoints, also those of RL Games, with the same action mapping as in training."""

    def __init__(self, params: Params[SACConfig], *, vec_env: VecEnv | None = None) -> None:
        super().__init__(params, vec_env=vec_env)
        self.actions_low, self.actions_high = action_bounds(self.env_info, self.device)

    @override
    def build_config(self) -> ModelArguments:
        return with_sizes(super().build_config())

    @override
    def get_action(self, obs: Obs, is_deterministic: bool = False) -> Tensor:
        """Return the policy's mode or a sample."""
        out = self.model(obs)
        action = out["mus"] if is_deterministic else out["actions"]
        return rescale_actions(self.actions_low, self.actions_high, action)
