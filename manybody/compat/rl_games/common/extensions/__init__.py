"""``rl_games.common.extensions``."""
