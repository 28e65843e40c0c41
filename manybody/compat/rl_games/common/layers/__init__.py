"""``rl_games.common.layers``."""
