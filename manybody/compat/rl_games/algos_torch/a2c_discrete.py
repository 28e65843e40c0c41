"""RL Games' ``rl_games.algos_torch.a2c_discrete``: PPO with discrete actions, as clients extend it."""

from typing import Any

from manybody.compat.rl_games.algos_torch import central_value as central_value
from manybody.compat.rl_games.algos_torch import torch_ext as torch_ext
from manybody.compat.rl_games.algos_torch.running_mean_std import RunningMeanStd as RunningMeanStd
from manybody.compat.rl_games.algos_torch.running_mean_std import RunningMeanStdObs as RunningMeanStdObs
from manybody.compat.rl_games.common import a2c_common
from manybody.compat.rl_games.common import common_losses as common_losses
from manybody.compat.rl_games.common import datasets as datasets

__all__ = ["DiscreteA2CAgent"]


class DiscreteA2CAgent(a2c_common.DiscreteA2CBase):
    """``a2c_discrete`` with RL Games' methods, to inherit from."""

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        super().__init__(base_name, params)
        self.build_learner()
