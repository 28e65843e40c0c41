"""A ``VecEnv`` as learners use it: its return values are validated."""

from typing import Any

from torch import Tensor

from manybody.envs.base import Obs, Step, VecEnv
from manybody.envs.validation import ReturnValidator


class ValidatedEnv:
    """``env`` with validated ``reset`` and ``step``; all else is its own."""

    def __init__(self, env: VecEnv, env_name: str) -> None:
        self.vec_env, self.validator = env, ReturnValidator(env_name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.vec_env, name)

    def reset(self) -> Obs:
        return self.validator.reset(self.vec_env)

    def step(self, actions: Tensor) -> Step:
        return self.validator.step(self.vec_env, actions)
