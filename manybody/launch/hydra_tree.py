"""Composes IsaacGymEnvs' Hydra tree from overrides."""

import contextlib
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from manybody.config import ConfigError, Problem, load_yaml
from manybody.config.errors import Problems, did_you_mean, nearest
from manybody.config.files import expanded
from manybody.config.root import SHORT_KEYS, suggestion
from manybody.config.types import opened
from manybody.launch.interpolation import CFG, register_resolvers
from manybody.launch.overrides import Override, parse_overrides, parse_with_hydra
from manybody.launch.own_code import import_own
from manybody.tasks import MujocoTask, task_class
from manybody.tasks.base import folder_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

GROUPS = ("task", "train")
OPEN_SECTIONS = ("train.params.", "task.")
"""Sections in which an override may set any key: the schema has more keys than the YAML files spell out."""


def compose(overrides: Iterable[str]) -> dict[str, Any]:
    """Compose the resolved configuration tree for overrides such as ``task=Ant`` or ``train.params.seed=1``.

    Raises:
        ConfigError: lists what is wrong with the overrides.
    """
    problems = Problems()
    cfg = compose_tree(parse_overrides(overrides, problems), problems)
    problems.refuse()
    assert cfg is not None
    return cfg


def compose_tree(overrides: Sequence[Override], problems: Problems) -> dict[str, Any] | None:
    """Compose a tree; overrides that are wrong are left out. None: nothing can be composed."""
    trees = compose_steps([overrides], problems)
    return trees[0] if trees else None


def compose_steps(steps: Sequence[Sequence[Override]], problems: Problems) -> list[dict[str, Any]]:
    """Compose the tree of the first list of overrides, of the first two, and so on, from one reading of the files.

    Args:
        steps: lists of overrides; those that choose files are in the first.
        problems: problems are added here.

    Returns:
        One tree for each step; fewer if something cannot be composed.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    register_resolvers()
    steps = [[_with_full_names(override) for override in step] for step in steps]
    every = [override for step in steps for override in step]
    import_own({override.key: override.value for override in every}, problems)
    chosen = _chosen(split(steps[0])[0], problems)
    done: list[Override] = []
    trees: list[dict[str, Any]] = []
    try:
        with initialize_config_dir(str(CFG), version_base="1.3"):
            tree = hydra_compose("config", chosen)
        roots = sorted(map(str, tree), key=lambda name: name not in GROUPS)
        for step in steps:
            done += step
            _set_values(tree, split(step)[1], roots, problems)
            cfg: Any = OmegaConf.to_container(tree, resolve=True)
            replace_minibatches(cfg["train"].get("params"), {x.key.removeprefix("train.") for x in done})
            trees.append({**cfg, "command": [x.text for x in done]})
    except (HydraException, OmegaConfBaseException) as error:
        reason = str(error).strip().partition("\n")[0]
        place = f"(in: {' '.join(override.text for override in every)})"
        problems.add(getattr(error, "full_key", None) or "", f"{reason} {place}")
    return trees


def replace_minibatches(params: object, keys: Container[str]) -> None:
    """Remove a file's ``minibatch_size_per_env`` where an override sets ``minibatch_size``.

    Args:
        params: the settings; changed in place.
        keys: the keys of the overrides.
    """
    config = params.get("config") if isinstance(params, Mapping) else None
    one, other = "params.config.minibatch_size", "params.config.minibatch_size_per_env"
    if isinstance(config, dict) and one in keys and other not in keys:
        config.pop("minibatch_size_per_env", None)


def split(overrides: Sequence[Override]) -> tuple[list[Override], list[Override]]:
    """Separate the overrides that choose a file (``task=Ant``) from those of values."""
    names = {path.name for path in CFG.iterdir() if path.is_dir()}
    return [x for x in overrides if x.key in names], [x for x in overrides if x.key not in names]


def _with_full_names(override: Override) -> Override:
    """Spell out a short key, and the path in ``train=<file>.yaml``, so that a run is found from another folder."""
    if override.key in SHORT_KEYS:
        key = f"train.params.{SHORT_KEYS[override.key]}"
        return override._replace(key=key, text=override.text.replace(override.key, key, 1))
    if override.key != "train" or override.sweep or not str(override.value).endswith((".yaml", ".yml")):
        return override
    path = str(Path(expanded(override.value)).absolute())
    return override._replace(text=f"train='{path}'", value=path)


def _chosen(groups: Sequence[Override], problems: Problems) -> list[str]:
    """Hydra's choices of files. A choice that does not exist is a problem; further checks use the nearest one."""
    chosen: list[str] = []
    for override in groups:
        known = _files(override.key)
        choice = str(override.value)
        own: list[str] | None = None
        if choice not in known:
            with problems.collect():
                own = _own_choice(override.key, choice, known)
        if own is not None:
            named = override.key == "task" and any(other.key == "train" for other in groups)
            chosen += [text for text in own if not (named and text.startswith("train="))]
            continue
        stand_in = choice if choice in known else nearest(choice, known)
        chosen += [f"{override.key}={stand_in}"] if stand_in else []
    return chosen


def _own_choice(group: str, choice: str, known: Sequence[str]) -> list[str]:
    """Hydra's choices for a task without a file in ``cfg``, or for a user's YAML file.

    Both are put into Hydra's ``ConfigStore``, as if they were files of the group.

    Raises:
        ConfigError: ``choice`` is neither.
    """
    if group == "train" and choice.endswith((".yaml", ".yml")):
        return [f"train={_stored('train', choice, opened(load_yaml(choice)))}"]
    if group != "task":
        what = f"got {choice!r}; expected one of {', '.join(known)}, or a YAML file{did_you_mean(choice, known)}"
        raise ConfigError([Problem(group, what)])
    try:
        task = task_class(choice)
    except ValueError as error:
        raise ConfigError([Problem("task", str(error).removeprefix("task: "))]) from None
    label = task.__name__ if ":" in choice else choice
    files = [folder / task.train for folder in folder_of(task)] if task.train.endswith(".yaml") else []
    train = next((str(file) for file in files if file.is_file()), task.train)
    return [
        f"task={_stored('task', choice, _task_section(choice, task))}",
        f"++train.params.config.name='${{resolve_default:{label},${{experiment}}}}'",
        *([f"train={train}"] if train in _files("train") else _own_choice("train", train, _files("train"))),
    ]


def _files(group: str) -> list[str]:
    return sorted(path.stem for path in (CFG / group).glob("*.yaml"))


def _stored(group: str, name: str, content: Mapping[str, object]) -> str:
    """Store ``content`` where Hydra finds it in ``group``; returns the name under which it does."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    stored = re.sub(r"\W", "_", name)
    ConfigStore.instance().store(stored, OmegaConf.create(dict(content)), group=group)
    return stored


def _task_section(name: str, task: type[MujocoTask]) -> dict[str, Any]:
    """The content of a file in ``cfg/task`` for a task that has none: the defaults of its schema."""
    section: dict[str, Any] = {"env": {}, "sim": {}}
    with contextlib.suppress(ValidationError):  # keys without a default are reported with everything else
        section = task.Config.model_validate({"name": name}).model_dump()
    envs = task.Config.model_fields["env"].default.numEnvs
    copied = {"numEnvs": f"${{resolve_default:{envs},${{...num_envs}}}}"}
    return {
        **section,
        "name": name,
        "physics_engine": "${..physics_engine}",
        "env": {**section["env"], **copied},
    }


def _set_values(tree: "DictConfig", overrides: Sequence[Override], roots: Sequence[str], problems: Problems) -> None:
    """Set values in ``tree``, in place. Keys may be added in :data:`OPEN_SECTIONS`; others must exist."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    texts: list[str] = []
    for override in overrides:
        if override.removes:
            texts.append(override.text)
        elif override.key.startswith(OPEN_SECTIONS):
            texts.append(f"++{override.text.lstrip('+')}")
        elif _has(tree, override.key):
            texts.append(override.text.lstrip("+"))
        else:
            hint = suggestion(override.key, roots, "train.params")
            listed = any("known:" in problem.message for problem in problems)
            known = "" if hint or listed else f" (known: {', '.join(roots)})"
            problems.add(override.key, f"unknown key{hint}{known}")
    parsed = [one for text in texts if (one := parse_with_hydra(text))]
    ConfigLoaderImpl._apply_overrides_to_config(parsed, tree)


def _has(cfg: object, path: str) -> bool:
    *parents, last = path.split(".")
    for parent in parents:
        cfg = cfg[parent] if isinstance(cfg, Mapping) and parent in cfg else None
    return isinstance(cfg, Mapping) and last in cfg
