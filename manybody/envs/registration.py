"""Environment names: what ``config.env_name`` may say."""

import difflib
from collections.abc import Callable
from typing import Any

from manybody.envs.base import EnvError, VecEnv

EnvCreator = Callable[..., VecEnv]
"""``creator(num_actors, **env_config)`` makes the environments."""

_creators: dict[str, EnvCreator] = {}


def register(name: str, creator: EnvCreator) -> None:
    """Make ``env_name: <name>`` build with ``creator(num_actors, **env_config)``; a later registration wins."""
    _creators[name] = creator


def registered() -> list[str]:
    """The registered names."""
    return sorted(_creators)


def check_env_name(env_name: str) -> None:
    """Check that somebody knows ``env_name``.

    Raises:
        EnvError: nobody does; lists what is registered.
    """
    if env_name in _creators:
        return
    import gymnasium

    if env_name in gymnasium.registry:
        return
    near = difflib.get_close_matches(env_name, [*_creators, *gymnasium.registry], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    known = ", ".join(registered()) or "nothing"
    raise EnvError(f"env_name: no environment {env_name!r}{hint} (registered: {known}; and Gymnasium's ids)")


def create_vec_env(env_name: str, num_actors: int, **env_config: Any) -> VecEnv:
    """The environments that a configuration asks for.

    A name that is not registered is looked up among Gymnasium's own environments.

    Raises:
        EnvError: nobody knows the name, or Gymnasium cannot make the environment.
    """
    check_env_name(env_name)
    if env_name in _creators:
        return _creators[env_name](num_actors, **env_config)
    from manybody.envs.gymnasium import GymnasiumEnv

    return GymnasiumEnv(env_name, num_actors, **env_config)
