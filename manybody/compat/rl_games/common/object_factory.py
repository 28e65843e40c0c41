"""``rl_games.common.object_factory``."""

from manybody.registry import ObjectFactory as ObjectFactory
