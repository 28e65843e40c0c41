"""Environment names: the values of ``config.env_name``."""

import difflib
import inspect
import pkgutil
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from manybody.envs import vecenv
from manybody.envs.base import EnvError, VecEnv
from manybody.envs.env_configurations import configurations
from manybody.envs.gymnasium import GymnasiumEnv, WrappedVectorEnv
from manybody.envs.spaces import check_spaces

EnvCreator = Callable[..., Any]
"""``creator(num_actors, **env_config)`` returns a :class:`VecEnv` or a Gymnasium vector environment."""

LIBRARIES = {
    "envpool": ("id", "manybody.envs.envpool:EnvPoolEnv"),
    "pettingzoo": ("module", "manybody.envs.pettingzoo:from_module"),
    "isaaclab": ("task", "manybody.envs.isaaclab:from_task"),
    "mjlab": ("task", "manybody.envs.mjlab:from_task"),
}
"""By prefix of the environment's name: a placeholder for the name after the colon, and the creator."""

_creators: dict[str, EnvCreator] = {}


def register(name: str, creator: EnvCreator) -> None:
    """Create ``env_name: <name>`` with ``creator(num_actors, **env_config)``; a later registration replaces it.

    ``env_config`` contains the keys of the configuration's section ``env_config``, and ``seed``. The creator returns a
    :class:`VecEnv` of ``num_actors`` environments, or a Gymnasium vector environment.
    """
    _creators[name] = creator


def creator_of(name: str) -> EnvCreator | None:
    """Return the creator registered as ``name``, or None."""
    return _creators.get(name)


def registered() -> list[str]:
    """Return the registered names, including RL Games' configurations."""
    return sorted({*_creators, *configurations})


def check_env_name(env_name: str) -> None:
    """Raise EnvError if ``env_name`` is unknown; a name with a colon is checked when its environments are created."""
    if ":" in env_name or env_name in registered() or _gymnasium_has(env_name):
        return
    near = difflib.get_close_matches(env_name, [*registered(), *gymnasium.registry], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if env_name == "rlgpu":
        hint = "; IsaacGymEnvs calls every task so: write the task's name instead"
    known = "; ".join(
        [", ".join(registered()), "Gymnasium's ids", *(f"'{name}:<{kind}>'" for name, (kind, _) in LIBRARIES.items())]
    )
    raise EnvError(f"env_name: no environment {env_name!r}{hint} (registered: {known})")


def check_vecenv_type(env_name: str, vecenv_type: str) -> None:
    """Check that ``env_name`` can be created with RL Games' ``vecenv_type``.

    Raises:
        EnvError: it cannot; the message lists the known types, or the known names.
    """
    if vecenv_type not in vecenv.vecenv_config and env_name not in _creators:
        known = ", ".join(sorted(vecenv.vecenv_config))
        raise EnvError(f"got {vecenv_type!r}; expected one of {known} (add yours with vecenv.register)")
    if vecenv_type == "RAY" or env_name in _creators:
        check_env_name(env_name)


def use_vecenv_type(env_name: str, vecenv_type: str) -> bool:
    """Set the ``vecenv_type`` of ``env_name``; return False if it has a registered creator."""
    if env_name in _creators:
        return False
    known = configurations.get(env_name, {})
    copies = vecenv_type == "RAY" and "env_creator" not in known  # of a Gymnasium id, as without a type
    if vecenv_type in vecenv.vecenv_config and not copies:
        configurations[env_name] = {**known, "vecenv_type": vecenv_type}
    return True


def _gymnasium_has(env_name: str) -> bool:
    """Return whether Gymnasium knows the id.

    The plugin of its namespace (entry point ``gymnasium.envs``, as MinAtar has) is loaded first: Gymnasium 1 no longer
    does so.
    """
    namespace = env_name.rpartition("/")[0]
    if namespace and env_name not in gymnasium.registry:
        for plugin in entry_points(group="gymnasium.envs", name=namespace):
            plugin.load()()
    return env_name in gymnasium.registry


def create_vec_env(env_name: str, num_actors: int, /, **env_config: Any) -> VecEnv:
    """Create the environments of a configuration.

    The name is looked up in this order: :func:`register`; RL Games' ``env_configurations``; the prefixes of
    :data:`LIBRARIES`; Gymnasium's ids, also ``module:id``.

    Args:
        env_name: the name.
        num_actors: number of environments.
        env_config: arguments of the creator. ``seed`` is the seed of the first environment; None: no seed.

    Raises:
        EnvError: the name is unknown, the environment cannot be created, or its spaces are not supported.
    """
    check_env_name(env_name)
    prefix, _, name = env_name.partition(":")
    if env_name in _creators:
        env = _created(env_name, num_actors, env_config)
    elif env_name in configurations:
        if env_config.get("seed", 0) is None:  # as in RL Games
            del env_config["seed"]
        env = vecenv.create_vec_env(env_name, num_actors, **env_config)
    elif prefix in LIBRARIES:
        if not name:
            raise EnvError(f"env_name: got {env_name!r}; expected a name after the colon")
        env = pkgutil.resolve_name(LIBRARIES[prefix][1])(name, num_actors, **env_config)
    else:
        env = GymnasiumEnv(env_name, num_actors, **env_config)
    check_spaces(env_name, env.spec.observation_space, env.spec.action_space)
    return env


def _created(env_name: str, num_actors: int, env_config: dict[str, Any]) -> VecEnv:
    creator = _creators[env_name]
    try:
        inspect.signature(creator).bind(num_actors, **env_config)
    except TypeError as error:
        arguments = ", ".join(["num_actors", *(f"{name}={value!r}" for name, value in env_config.items())])
        raise EnvError(
            f"env_name {env_name!r}: its creator cannot be called with ({arguments}): {error}; expected "
            "creator(num_actors, seed=None, **env_config)"
        ) from None
    except ValueError:  # a creator written in C has no signature
        pass
    env = creator(num_actors, **env_config)
    if all(hasattr(env, name) for name in ("num_envs", "spec", "get_env_info", "reset", "step")):
        return env
    if isinstance(env, VectorEnv):
        return WrappedVectorEnv(env, env_config.get("seed"), env_name)
    raise EnvError(
        f"env_name {env_name!r}: its creator returned {type(env).__name__}; expected a VecEnv of {num_actors} "
        "environments, or a Gymnasium vector environment (gymnasium.vector.SyncVectorEnv makes one of single ones)"
    )
