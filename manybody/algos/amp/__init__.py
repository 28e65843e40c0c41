"""Adversarial motion priors: a policy that moves like a clip. Everything here goes through the public API."""

from typing import Any

from manybody.algos.amp.agent import AMPAgent
from manybody.algos.amp.config import AMPConfig, AMPNetworkConfig
from manybody.algos.amp.models import AMPModelNetwork, ModelAMPContinuous
from manybody.algos.amp.networks import AMPBuilder, AMPNetwork
from manybody.algos.amp.player import AMPPlayerContinuous
from manybody.model_builder import provide_model, provide_network

__all__ = [
    "AMPAgent",
    "AMPBuilder",
    "AMPConfig",
    "AMPModelNetwork",
    "AMPNetwork",
    "AMPNetworkConfig",
    "AMPPlayerContinuous",
    "ModelAMPContinuous",
    "register",
]


provide_model("continuous_amp", ModelAMPContinuous)
provide_network("amp", AMPBuilder, AMPNetworkConfig)


def register(runner: Any) -> None:
    """Make ``algo.name: amp_continuous`` train and play through ``runner``."""
    runner.algo_factory.register_builder("amp_continuous", AMPAgent, schema=AMPConfig)
    runner.player_factory.register_builder("amp_continuous", AMPPlayerContinuous)
