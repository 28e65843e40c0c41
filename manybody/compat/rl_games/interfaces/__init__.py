"""RL Games' ``rl_games.interfaces``."""
