"""Soft actor-critic under RL Games' names: what ``sac`` is made of."""

from manybody.algos.sac.agent import SACAgent
from manybody.algos.sac.checkpoint import LAYOUT
from manybody.algos.sac.config import SACNetworkConfig
from manybody.algos.sac.models import ModelSACContinuous
from manybody.algos.sac.networks import SACBuilder, SACNetwork
from manybody.algos.sac.player import SACPlayer
from manybody.registry import Algorithm, register_algorithms

__all__ = [
    "ALGORITHMS",
    "MODELS",
    "NETWORKS",
    "ModelSACContinuous",
    "SACAgent",
    "SACBuilder",
    "SACNetwork",
    "SACPlayer",
    "register",
]

NETWORKS = {"soft_actor_critic": (SACBuilder, SACNetworkConfig)}
MODELS = {"soft_actor_critic": ModelSACContinuous}
ALGORITHMS = {"sac": Algorithm(SACAgent, SACPlayer, ("soft_actor_critic",), ("soft_actor_critic",), LAYOUT)}


def register(runner: object) -> None:
    """Make the algorithm known to ``runner``."""
    register_algorithms(runner, ALGORITHMS)
