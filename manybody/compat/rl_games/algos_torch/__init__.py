"""RL Games' ``rl_games.algos_torch``."""
