"""Train RL Games 1.6.5 on this project's environments with this project's configurations."""

from typing import Any

import numpy as np
from gymnasium import spaces
from rl_games.common import env_configurations, vecenv
from rl_games.torch_runner import Runner
from rl_games_ant import RLGamesVecEnv

from manybody.envs.base import Obs, VecEnv


class MaskedVecEnv(RLGamesVecEnv):
    """Add action masks for RL Games, and convert observations of type bool."""

    def reset(self) -> Obs:
        """See :class:`RLGamesVecEnv`."""
        return without_masks(super().reset())

    def step(self, actions: Any) -> tuple[Obs, Any, Any, dict[str, Any]]:
        """See :class:`RLGamesVecEnv`."""
        obs, *rest = super().step(actions)
        return without_masks(obs), *rest

    def get_action_masks(self) -> np.ndarray:
        """Return the masks (N, A) bool."""
        return self.env.get_action_masks().numpy()

    def get_env_info(self) -> dict[str, Any]:
        """See :class:`RLGamesVecEnv`; RL Games cannot store bool."""
        info = super().get_env_info()
        space = info["observation_space"]
        if space.dtype == bool:
            info["observation_space"] = spaces.Box(0.0, 1.0, space.shape, np.float32)
        return info


def without_masks(obs: Obs) -> Obs:
    """Return an observation in RL Games' form: only the tensor if there are no states."""
    kept = {key: value for key, value in obs.items() if key != "action_masks"}
    return kept if "states" in kept else kept["obs"]  # type: ignore[return-value]


def train(params: dict[str, Any], env: VecEnv, observer: Any) -> None:
    """Train RL Games with ``params`` in ``env``."""
    config = params["config"]
    vecenv.register("FAMILY", lambda config_name, num_actors, **kwargs: MaskedVecEnv(env))
    env_configurations.register(config["env_name"], {"vecenv_type": "FAMILY", "env_creator": None})
    config |= {"torch_compile": False, "device": "cpu", "device_name": "cpu"}
    runner = Runner(observer)
    runner.load({"params": params})
    runner.run({"train": True, "play": False})
    observer.algo.writer.close()  # stop the writer's thread before the process closes its pipes
