"""RL Games' ``rl_games.algos_torch.a2c_continuous``: PPO with real-valued actions, as clients extend it."""

from typing import Any

from manybody.compat.rl_games.common import a2c_common

__all__ = ["A2CAgent"]


class A2CAgent(a2c_common.ContinuousA2CBase):
    """``a2c_continuous`` with RL Games' methods, to inherit from."""

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        super().__init__(base_name, params)
        self.build_learner()
