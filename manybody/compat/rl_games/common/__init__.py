"""RL Games' ``rl_games.common``."""
