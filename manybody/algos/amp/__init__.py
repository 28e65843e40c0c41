"""Adversarial motion priors: a policy that moves like a clip. Everything here goes through the public API."""

from manybody.algos.a2c import LAYOUT
from manybody.algos.amp.agent import AMPAgent
from manybody.algos.amp.config import AMPConfig, AMPNetworkConfig
from manybody.algos.amp.models import AMPModelNetwork, ModelAMPContinuous
from manybody.algos.amp.networks import AMPBuilder, AMPNetwork
from manybody.algos.amp.player import AMPPlayerContinuous
from manybody.registry import Algorithm, register_algorithms

__all__ = [
    "ALGORITHMS",
    "MODELS",
    "NETWORKS",
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

NETWORKS = {"amp": (AMPBuilder, AMPNetworkConfig)}
MODELS = {"continuous_amp": ModelAMPContinuous}
ALGORITHMS = {
    "amp_continuous": Algorithm(
        AMPAgent, AMPPlayerContinuous, ("continuous_amp",), ("amp",), LAYOUT, played=("normalize_amp_input",)
    )
}


def register(runner: object) -> None:
    """Make the algorithm known to ``runner``."""
    register_algorithms(runner, ALGORITHMS)
