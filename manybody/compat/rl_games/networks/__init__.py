"""RL Games' ``rl_games.networks``."""
