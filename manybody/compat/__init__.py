"""Other libraries' names for this library: :mod:`manybody.compat.rl_games`."""
