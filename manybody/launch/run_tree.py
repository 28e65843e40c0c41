"""The task in a resolved configuration tree, and the ``config.yaml`` of a run of it."""

from collections.abc import Mapping
from typing import Any

from manybody import tasks
from manybody.config import ConfigError, Problem, parse_section
from manybody.config.errors import refuse, shown
from manybody.config.task import TaskConfig
from manybody.config.yaml import unlocated
from manybody.envs.registration import register
from manybody.launch.interpolation import resolved


def task_config(cfg: Mapping[str, Any]) -> TaskConfig:
    """The validated configuration of the task in a resolved Hydra tree.

    Raises:
        ConfigError: an unknown task, or what is wrong with its settings.
    """
    problems = []
    if cfg["sim_device"] != "cpu":
        what = f"got {cfg['sim_device']!r}; expected 'cpu', where physics runs (rl_device may be another)"
        problems.append(Problem("sim_device", what))
    try:
        schema = tasks.task_class(cfg["task_name"]).Config
    except ValueError as error:
        raise ConfigError([*problems, Problem("task_name", str(error))]) from None
    try:
        config = parse_section(schema, cfg["task"], "task")
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    refuse(problems)
    return config


def register_tree(cfg: Mapping[str, Any]) -> None:
    """Make the task of a resolved Hydra tree the environment ``rlgpu``, which IsaacGymEnvs' training files ask for."""
    task = task_config(cfg)
    register(
        "rlgpu",
        lambda num_actors, seed=0, **_: tasks.make(
            cfg["task_name"], num_actors, cfg["sim_device"], seed, task, cfg["num_threads"] or None
        ),
    )


def is_run_tree(cfg: Any) -> bool:
    """Whether ``cfg`` is what a run of the configuration tree keeps, and not what an RL Games file holds."""
    return isinstance(cfg, Mapping) and isinstance(cfg.get("train"), Mapping) and "params" not in cfg


def register_run_tree(yaml_config: Mapping[str, Any]) -> dict[str, Any]:
    """:func:`register_tree` of a ``config.yaml`` as it was read; returns it as plain data.

    Raises:
        ConfigError: it names no task, or what is wrong with the task.
    """
    opened, problems = resolved(yaml_config, {})
    refuse(problems)
    cfg: dict[str, Any] = {"sim_device": "cpu", "num_threads": 0, **unlocated(opened)}
    missing = [key for key, kind in (("task_name", str), ("task", dict)) if not isinstance(cfg.get(key), kind)]
    expected = "expected what the config.yaml of a run of the configuration tree holds"
    refuse([Problem(key, f"got {shown(cfg.get(key))}; {expected}") for key in missing])
    register_tree(cfg)
    return cfg
