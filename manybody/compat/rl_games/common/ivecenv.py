"""RL Games' protocol of vectorised environments."""

from typing import Any

from manybody.envs import rl_games


class IVecEnv(rl_games.IVecEnv):
    """See :class:`manybody.envs.rl_games.IVecEnv`; what a subclass leaves out is missing only when it is called."""

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any]:
        """``obs, rewards, dones, infos``."""
        raise NotImplementedError(f"{type(self).__name__} has no step()")

    def reset(self) -> Any:
        """The first ``obs``."""
        raise NotImplementedError(f"{type(self).__name__} has no reset()")
