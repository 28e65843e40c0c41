"""Other libraries' names for what is here: :mod:`manybody.compat.rl_games`."""
