"""IsaacGymEnvs' Hydra tree: from ``key=value`` words to one resolved configuration."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from manybody.config import ConfigError, ConfigWarning, Problem, load_yaml
from manybody.config.errors import did_you_mean

CFG = Path(__file__).parent / "cfg"
OPEN_SECTIONS = ("train.params", "task")
"""Below these, any key may be set on the command line: the gate knows more keys than the YAML files spell out."""

Check = Callable[[dict[str, Any]], Any]
"""Validates a whole tree; raises ConfigError."""

IDLE_KEYS = {
    "pipeline": "tensors live where sim_device says",
    "graphics_device_id": "videos are rendered off-screen by whatever MUJOCO_GL finds",
    "force_render": "there is no viewer",
    "solver_type": "solver settings are written in the task's model",
    "num_subscenes": "solver settings are written in the task's model",
}
"""Keys of IsaacGymEnvs' ``config.yaml`` that commands in the wild carry, and why nothing follows from them."""

RESOLVERS: dict[str, Callable[..., Any]] = {
    "eq": lambda x, y: str(x).lower() == str(y).lower(),
    "contains": lambda x, y: str(x).lower() in str(y).lower(),
    "if": lambda condition, a, b: a if condition else b,
    "resolve_default": lambda default, arg: default if arg == "" else arg,
}
"""IsaacGymEnvs' OmegaConf resolvers."""


@contextlib.contextmanager
def collecting(problems: list[Problem]) -> Iterator[None]:
    """Add the problems that the block raises to ``problems`` instead."""
    try:
        yield
    except ConfigError as error:
        problems += error.problems


def compose(overrides: Sequence[str], check: Check | None = None) -> dict[str, Any]:
    """The resolved configuration tree for Hydra ``overrides`` such as ``task=Ant`` or ``train.params.seed=1``.

    Args:
        overrides: the words.
        check: validates a whole tree; asked when the words themselves are wrong, to report everything at once.

    Raises:
        ConfigError: lists unknown keys and groups with the nearest known ones, and whatever Hydra refuses.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
    groups, values = _split(overrides)
    _check_groups(groups)
    with initialize_config_dir(str(CFG), version_base="1.3"):
        try:
            opened, problems = _opened(hydra_compose("config", groups), values)
            cfg = hydra_compose("config", [*groups, *opened])
            tree: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(
                [Problem("", f"{' '.join(str(error).split())} (in: {' '.join(overrides)})")]
            ) from None
    if problems and check is not None:
        with collecting(problems):
            check(tree)
    if problems:
        raise ConfigError(problems)
    return {**tree, "command": list(overrides)}


def _split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides that choose a file (``task=Ant``), and the rest."""
    groups = {path.name for path in CFG.iterdir() if path.is_dir()}
    chosen = [text for text in overrides if text.split("=")[0].lstrip("+~") in groups]
    return chosen, [text for text in overrides if text not in chosen]


def _check_groups(groups: Sequence[str]) -> None:
    problems = []
    for text in groups:
        group, _, choice = text.lstrip("+").partition("=")
        known = sorted(path.stem for path in (CFG / group).glob("*.yaml"))
        if choice not in known:
            hint = did_you_mean(choice, known)
            problems.append(Problem(group, f"given {choice!r}; expected one of {', '.join(known)}{hint}"))
    if problems:
        raise ConfigError(problems)


def _opened(base: DictConfig, overrides: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """The overrides, allowed to add keys below :data:`OPEN_SECTIONS`, and what is wrong with the others."""
    problems, opened = [], []
    for text in overrides:
        key, equals, _ = text.partition("=")
        path = key.lstrip("+~")
        if not equals and not key.startswith("~"):
            problems.append(Problem(text, "is not of the form key=value"))
        elif key.startswith(("+", "~")) or path.startswith("hydra."):
            opened.append(text)
        elif path in IDLE_KEYS:
            warnings.warn(f"{path}: has no effect: {IDLE_KEYS[path]}", ConfigWarning, stacklevel=2)
        elif path.startswith(tuple(f"{section}." for section in OPEN_SECTIONS)):
            opened.append(f"++{text}")
        elif path in OPEN_SECTIONS or not _has(base, path):
            known = [str(name) for name in base]
            problems.append(
                Problem(path, f"unknown key{did_you_mean(path, known)} (known: {', '.join(known)})")
            )
        else:
            opened.append(text)
    return opened, problems


def _has(cfg: DictConfig, path: str) -> bool:
    *parents, last = path.split(".")
    node: Any = cfg
    for parent in parents:
        node = node[parent] if isinstance(node, DictConfig) and parent in node else None
    return isinstance(node, DictConfig) and last in node


def sweep(overrides: Sequence[str]) -> list[list[str]]:
    """The jobs of ``--multirun``: one list of overrides for each combination of comma-separated values."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [job for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None) for job in batch]


def compose_run(overrides: Sequence[str], check: Check | None = None) -> dict[str, Any]:
    """:func:`compose`; to go on in a run (``checkpoint=<run folder>``), its own configuration under ``overrides``.

    Raises:
        ConfigError: as :func:`compose`, or the overrides ask for another task.
    """
    given = dict(text.partition("=")[::2] for text in overrides)
    folder = Path(given.get("checkpoint", ""))
    if (
        str(given.get("test", "")).lower() == "true"
        or folder == Path()
        or not (folder / "config.yaml").is_file()
    ):
        return compose(overrides, check)
    saved: dict[str, Any] = dict(load_yaml(folder / "config.yaml"))
    if "command" not in saved:
        return compose(overrides, check)
    command: list[str] = saved["command"]
    groups, values = _split(overrides)
    wrong = [text for text in groups if text not in command and text != f"task={saved['task_name']}"]
    if wrong:
        what = f"{folder} is a run of {saved['task_name']}; leave this out to go on with it"
        raise ConfigError([Problem(text, what) for text in wrong])
    before, after = compose(command), compose([*command, *values], check)
    lasting = [text for text in values if not text.startswith("checkpoint=")]
    return {**_overlaid(saved, before, after), "command": [*command, *lasting]}


def _overlaid(saved: Any, before: Any, after: Any) -> Any:
    """``saved`` with everything that differs between ``before`` and ``after``."""
    if all(isinstance(node, dict) for node in (saved, before, after)):
        keys = {**saved, **after}
        return {key: _overlaid(saved.get(key), before.get(key), after.get(key)) for key in keys}
    return after if before != after else saved
