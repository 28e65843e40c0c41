"""PPO under RL Games' names: what ``a2c_continuous`` is made of."""

from typing import Any

from manybody.algos.a2c.agent import A2CAgent, ContinuousA2CBase
from manybody.algos.a2c.collect import A2CBase
from manybody.algos.a2c.models import ModelA2CContinuous, ModelA2CContinuousLogStd
from manybody.algos.a2c.networks import A2CBuilder, A2CNetwork
from manybody.algos.a2c.player import PPOPlayerContinuous, PpoPlayerContinuous
from manybody.config import ActorCriticConfig
from manybody.model_builder import provide_model, provide_network

__all__ = [
    "A2CAgent",
    "A2CBase",
    "A2CBuilder",
    "A2CNetwork",
    "ContinuousA2CBase",
    "ModelA2CContinuous",
    "ModelA2CContinuousLogStd",
    "PPOPlayerContinuous",
    "PpoPlayerContinuous",
    "register",
]

provide_network("actor_critic", A2CBuilder, ActorCriticConfig)
provide_model("continuous_a2c", ModelA2CContinuous)
provide_model("continuous_a2c_logstd", ModelA2CContinuousLogStd)


def register(runner: Any) -> None:
    """Make ``algo.name: a2c_continuous`` train and play through ``runner``."""
    runner.algo_factory.register_builder("a2c_continuous", A2CAgent, schema=A2CAgent.Config)
    runner.player_factory.register_builder("a2c_continuous", PpoPlayerContinuous)
