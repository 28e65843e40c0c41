"""PPO under RL Games' names: what ``a2c_continuous`` and ``a2c_discrete`` are made of."""

from manybody.algos.a2c.agent import A2CAgent, ContinuousA2CBase, DiscreteA2CAgent, DiscreteA2CBase
from manybody.algos.a2c.central_value import CentralValueTrain, ModelCentralValue
from manybody.algos.a2c.checkpoint import LAYOUT
from manybody.algos.a2c.models import (
    LogStdModelNetwork,
    ModelA2C,
    ModelA2CContinuous,
    ModelA2CContinuousLogStd,
    ModelA2CMultiDiscrete,
)
from manybody.algos.a2c.networks import A2CBuilder, A2CNetwork, A2CResnetBuilder, A2CResnetNetwork
from manybody.algos.a2c.on_policy import OnPolicyAgent
from manybody.algos.a2c.player import (
    PPOPlayerContinuous,
    PpoPlayerContinuous,
    PPOPlayerDiscrete,
    PpoPlayerDiscrete,
)
from manybody.algos.a2c.rollout import A2CBase
from manybody.config import ActorCriticConfig, ResnetActorCriticConfig
from manybody.registry import Algorithm, register_algorithms

__all__ = [
    "ALGORITHMS",
    "CATEGORICAL",
    "GAUSSIAN",
    "LAYOUT",
    "MODELS",
    "NETWORKS",
    "A2CAgent",
    "A2CBase",
    "A2CBuilder",
    "A2CNetwork",
    "A2CResnetBuilder",
    "A2CResnetNetwork",
    "CentralValueTrain",
    "ContinuousA2CBase",
    "DiscreteA2CAgent",
    "DiscreteA2CBase",
    "LogStdModelNetwork",
    "ModelA2C",
    "ModelA2CContinuous",
    "ModelA2CContinuousLogStd",
    "ModelA2CMultiDiscrete",
    "ModelCentralValue",
    "OnPolicyAgent",
    "PPOPlayerContinuous",
    "PPOPlayerDiscrete",
    "PpoPlayerContinuous",
    "PpoPlayerDiscrete",
    "register",
]

NETWORKS = {
    "actor_critic": (A2CBuilder, ActorCriticConfig),
    "resnet_actor_critic": (A2CResnetBuilder, ResnetActorCriticConfig),
}
MODELS = {
    "continuous_a2c": ModelA2CContinuous,
    "continuous_a2c_logstd": ModelA2CContinuousLogStd,
    "discrete_a2c": ModelA2C,
    "multi_discrete_a2c": ModelA2CMultiDiscrete,
    "central_value": ModelCentralValue,
}
GAUSSIAN, CATEGORICAL = ("continuous_a2c", "continuous_a2c_logstd"), ("discrete_a2c", "multi_discrete_a2c")
ALGORITHMS = {
    "a2c_continuous": Algorithm(A2CAgent, PpoPlayerContinuous, GAUSSIAN, tuple(NETWORKS), LAYOUT),
    "a2c_discrete": Algorithm(DiscreteA2CAgent, PpoPlayerDiscrete, CATEGORICAL, tuple(NETWORKS), LAYOUT),
}


def register(runner: object) -> None:
    """Make these algorithms known to ``runner``."""
    register_algorithms(runner, ALGORITHMS)
