"""Environment names: what ``config.env_name`` may say."""

import difflib
from collections.abc import Callable
from typing import Any

from manybody.envs.base import VecEnv

EnvCreator = Callable[..., VecEnv]
"""``creator(num_actors, **env_config)`` makes the environments."""

_creators: dict[str, EnvCreator] = {}


def register(name: str, creator: EnvCreator) -> None:
    """Make ``env_name: <name>`` build with ``creator(num_actors, **env_config)``; a later registration wins."""
    _creators[name] = creator


def registered() -> list[str]:
    """The registered names."""
    return sorted(_creators)


def create_vec_env(env_name: str, num_actors: int, **env_config: Any) -> VecEnv:
    """The environments that a configuration asks for.

    A name that is not registered is looked up among Gymnasium's own environments.

    Raises:
        ValueError: nobody knows the name; lists what is registered.
    """
    if env_name in _creators:
        return _creators[env_name](num_actors, **env_config)
    import gymnasium

    if env_name in gymnasium.registry:
        from manybody.envs.gymnasium import GymnasiumEnv

        return GymnasiumEnv(env_name, num_actors, **env_config)
    near = difflib.get_close_matches(env_name, [*_creators, *gymnasium.registry], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"env_name: no environment {env_name!r}{hint} (registered: {', '.join(registered())}; and Gymnasium's ids)"
    )
