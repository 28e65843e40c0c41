"""RL Games' protocol of vectorised environments."""

from manybody.envs.rl_games import IVecEnv

__all__ = ["IVecEnv"]
