"""manybody: reinforcement learning for thousands of simulated robots at once, on MuJoCo.

The public names below are imported when they are first used, so that ``import manybody`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manybody.algos.a2c import A2CAgent as A2CAgent
    from manybody.algos.a2c import A2CBuilder as A2CBuilder
    from manybody.algos.a2c import DiscreteA2CAgent as DiscreteA2CAgent
    from manybody.algos.a2c import PpoPlayerContinuous as PpoPlayerContinuous
    from manybody.algos.a2c import PpoPlayerDiscrete as PpoPlayerDiscrete
    from manybody.algos.network import NetworkBuilder as NetworkBuilder
    from manybody.algos.sac import SACAgent as SACAgent
    from manybody.algos.sac import SACPlayer as SACPlayer
    from manybody.engine.observers import AlgoObserver as AlgoObserver
    from manybody.engine.observers import DefaultAlgoObserver as DefaultAlgoObserver
    from manybody.engine.observers import IsaacAlgoObserver as IsaacAlgoObserver
    from manybody.envs.base import EnvSpec as EnvSpec
    from manybody.envs.base import Step as Step
    from manybody.envs.base import VecEnv as VecEnv
    from manybody.envs.registration import register as register_env  # noqa: F401
    from manybody.export.policy import load_policy as load_policy
    from manybody.launch.hydra_tree import compose as compose
    from manybody.model_builder import ModelBuilder as ModelBuilder
    from manybody.model_builder import register_model as register_model
    from manybody.model_builder import register_network as register_network
    from manybody.runner import Runner as Runner
    from manybody.runner import build_runner as build_runner
    from manybody.tasks import MujocoTask as MujocoTask
    from manybody.tasks import make as make
    from manybody.tasks import register_task as register_task
    from manybody.train import train as train

__version__ = "0.1.0"

_HOMES = {
    "manybody.algos.a2c": ("A2CAgent", "A2CBuilder", "DiscreteA2CAgent", "PpoPlayerContinuous", "PpoPlayerDiscrete"),
    "manybody.algos.network": ("NetworkBuilder",),
    "manybody.algos.sac": ("SACAgent", "SACPlayer"),
    "manybody.engine.observers": ("AlgoObserver", "DefaultAlgoObserver", "IsaacAlgoObserver"),
    "manybody.envs.base": ("EnvSpec", "Step", "VecEnv"),
    "manybody.envs.registration": ("register_env",),
    "manybody.export.policy": ("load_policy",),
    "manybody.launch.hydra_tree": ("compose",),
    "manybody.model_builder": ("ModelBuilder", "register_model", "register_network"),
    "manybody.runner": ("Runner", "build_runner"),
    "manybody.tasks": ("MujocoTask", "make", "register_task"),
    "manybody.train": ("train",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}
__all__ = [*sorted(_MODULES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'manybody' has no attribute {name!r}")
    module = importlib.import_module(_MODULES[name])
    if name == "train":  # the module, which can be called
        return module
    return getattr(module, "register" if name == "register_env" else name)


def __dir__() -> list[str]:
    return __all__
