"""Random network distillation: PPO that is curious (RL Games registers ``rnd_curiosity`` without having the class)."""

from typing import Any

from manybody.algos.rnd.agent import CuriousBase, RNDAgent, RNDDiscreteAgent
from manybody.algos.rnd.networks import Curiosity, RNDCuriosityBuilder, RNDCuriosityNetwork
from manybody.algos.rnd.player import RNDPlayerContinuous, RNDPlayerDiscrete
from manybody.config.rnd import RNDCuriosityConfig
from manybody.model_builder import provide_network

__all__ = [
    "Curiosity",
    "CuriousBase",
    "RNDAgent",
    "RNDCuriosityBuilder",
    "RNDCuriosityNetwork",
    "RNDDiscreteAgent",
    "RNDPlayerContinuous",
    "RNDPlayerDiscrete",
    "register",
]

provide_network("rnd_curiosity", RNDCuriosityBuilder, RNDCuriosityConfig)


def register(runner: Any) -> None:
    """Make ``algo.name: rnd_continuous`` and ``rnd_discrete`` train and play through ``runner``."""
    for name, agent, player in (
        ("rnd_continuous", RNDAgent, RNDPlayerContinuous),
        ("rnd_discrete", RNDDiscreteAgent, RNDPlayerDiscrete),
    ):
        runner.algo_factory.register_builder(name, agent, schema=agent.Config)
        runner.player_factory.register_builder(name, player)
