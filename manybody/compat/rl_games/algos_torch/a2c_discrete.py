"""RL Games' ``rl_games.algos_torch.a2c_discrete``: PPO with discrete actions, as clients extend it."""

from typing import Any

from manybody.compat.rl_games.common import a2c_common

__all__ = ["DiscreteA2CAgent"]


class DiscreteA2CAgent(a2c_common.DiscreteA2CBase):
    """``a2c_discrete`` with RL Games' methods, to inherit from."""

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        super().__init__(base_name, params)
        self.build_learner()
