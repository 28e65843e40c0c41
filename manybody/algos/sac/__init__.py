"""Soft actor-critic under RL Games' names: what ``sac`` is made of."""

from typing import Any

from manybody.algos.sac.agent import SACAgent
from manybody.algos.sac.models import ModelSACContinuous
from manybody.algos.sac.networks import SACBuilder, SACNetwork
from manybody.algos.sac.player import SACPlayer
from manybody.config import SACNetworkConfig
from manybody.model_builder import provide_model, provide_network

__all__ = ["ModelSACContinuous", "SACAgent", "SACBuilder", "SACNetwork", "SACPlayer", "register"]

provide_network("soft_actor_critic", SACBuilder, SACNetworkConfig)
provide_model("soft_actor_critic", ModelSACContinuous)


def register(runner: Any) -> None:
    """Make ``algo.name: sac`` train and play through ``runner``."""
    runner.algo_factory.register_builder("sac", SACAgent, schema=SACAgent.Config)
    runner.player_factory.register_builder("sac", SACPlayer)
