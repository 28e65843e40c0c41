"""As much of legacy ``gym`` as Isaac Lab's scripts use of it, for a machine where only gymnasium is installed."""

from gym import spaces

__all__ = ["spaces"]
__version__ = "0.26.2"
