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
    from manybody.tasks import MujocoTask as MujocoTask
    from manybody.tasks import make as make
    from manybody.tasks import register_task as register_task
    from manybody.train import build_runner as build_runner
    from manybody.train import train as train

__version__ = "0.1.0"

_HOMES = {
    "A2CAgent": "manybody.algos.a2c",
    "A2CBuilder": "manybody.algos.a2c",
    "AlgoObserver": "manybody.engine.observers",
    "DefaultAlgoObserver": "manybody.engine.observers",
    "DiscreteA2CAgent": "manybody.algos.a2c",
    "EnvSpec": "manybody.envs.base",
    "IsaacAlgoObserver": "manybody.engine.observers",
    "ModelBuilder": "manybody.model_builder",
    "MujocoTask": "manybody.tasks",
    "NetworkBuilder": "manybody.algos.network",
    "PpoPlayerContinuous": "manybody.algos.a2c",
    "PpoPlayerDiscrete": "manybody.algos.a2c",
    "Runner": "manybody.runner",
    "SACAgent": "manybody.algos.sac",
    "SACPlayer": "manybody.algos.sac",
    "Step": "manybody.envs.base",
    "VecEnv": "manybody.envs.base",
    "build_runner": "manybody.train",
    "compose": "manybody.launch.hydra_tree",
    "load_policy": "manybody.export.policy",
    "make": "manybody.tasks",
    "register_env": "manybody.envs.registration:register",
    "register_model": "manybody.model_builder",
    "register_network": "manybody.model_builder",
    "register_task": "manybody.tasks",
    "train": "manybody:train",
}
__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'manybody' has no attribute {name!r}")
    if name == "train":  # the module, which can be called
        return importlib.import_module("manybody.train")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(importlib.import_module(module), attribute or name)


def __dir__() -> list[str]:
    return __all__
