"""Random network distillation: PPO that is curious (RL Games registers ``rnd_curiosity`` without having the class)."""

from manybody.algos.a2c import CATEGORICAL, GAUSSIAN
from manybody.algos.rnd.agent import CuriousBase, RNDAgent, RNDDiscreteAgent
from manybody.algos.rnd.config import RNDCuriosityConfig
from manybody.algos.rnd.networks import Curiosity, RNDCuriosityBuilder, RNDCuriosityNetwork
from manybody.algos.rnd.player import RNDPlayerContinuous, RNDPlayerDiscrete
from manybody.registry import Algorithm, register_algorithms

__all__ = [
    "ALGORITHMS",
    "NETWORKS",
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

NETWORKS = {"rnd_curiosity": (RNDCuriosityBuilder, RNDCuriosityConfig)}
ALGORITHMS = {
    "rnd_continuous": Algorithm(RNDAgent, RNDPlayerContinuous, GAUSSIAN, ("rnd_curiosity",), None),
    "rnd_discrete": Algorithm(RNDDiscreteAgent, RNDPlayerDiscrete, CATEGORICAL, ("rnd_curiosity",), None),
}


def register(runner: object) -> None:
    """Make these algorithms known to ``runner``."""
    register_algorithms(runner, ALGORITHMS)
