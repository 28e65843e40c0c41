"""IsaacGymEnvs' Hydra tree: from ``key=value`` words to one resolved configuration."""

import contextlib
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import ValidationError

from manybody import tasks
from manybody.config import ConfigError, LaunchConfig, Problem, load_yaml, parse_launch
from manybody.config.errors import did_you_mean, nearest, notify
from manybody.config.files import expanded
from manybody.config.plugins import add_folders, folders_of, home_of, import_module
from manybody.config.root import suggestion
from manybody.config.types import opened
from manybody.envs.registration import WORLDS
from manybody.launch.interpolation import CFG, register_resolvers
from manybody.launch.overrides import Word, read
from manybody.tasks import MujocoTask, import_task, task_class
from manybody.tasks.base import folder_of

GROUPS = ("task", "train")
OPEN_SECTIONS = ("train.params.", "task.")
"""Below these, any key may be set on the command line: the gate knows more keys than the YAML files spell out."""


class Composed(NamedTuple):
    """A configuration, and what is wrong with the words that asked for it."""

    cfg: dict[str, Any] | None
    """Without the words that are wrong; None: nothing can be composed."""
    problems: list[Problem]
    spelled: Mapping[str, str] = MappingProxyType({})
    """Key path to the short key that was written instead."""


@contextlib.contextmanager
def collecting(problems: list[Problem]) -> Iterator[None]:
    """Add the problems that the block raises to ``problems`` instead."""
    try:
        yield
    except ConfigError as error:
        problems += error.problems


def compose(overrides: Iterable[str]) -> dict[str, Any]:
    """The resolved configuration tree for Hydra ``overrides`` such as ``task=Ant`` or ``train.params.seed=1``.

    Raises:
        ConfigError: lists what is wrong with the words.
    """
    words, problems, notices = read(overrides)
    for notice in notices:
        notify(notice)
    composed = compose_tree(words)
    if problems or composed.problems or composed.cfg is None:
        raise ConfigError([*problems, *composed.problems])
    return composed.cfg


def compose_tree(words: Sequence[Word]) -> Composed:
    """:func:`compose` for words that were read: whatever can be composed, and all that is wrong."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    register_resolvers()
    words = [_anchored(word) for word in words]
    problems = import_own(words)
    groups, values = split(words)
    chosen, unknown_choices = _chosen(groups)
    problems += unknown_choices
    with initialize_config_dir(str(CFG), version_base="1.3"):
        opened, unknown = _opened(hydra_compose("config", chosen), values)
        problems += unknown
        try:
            tree: Any = OmegaConf.to_container(hydra_compose("config", [*chosen, *opened]), resolve=True)
        except (HydraException, OmegaConfBaseException) as error:
            reason = str(error).strip().partition("\n")[0]
            what = f"{reason} (in: {' '.join(word.text for word in words)})"
            return Composed(None, [*problems, Problem(getattr(error, "full_key", None) or "", what)])
    replace_minibatches(tree["train"].get("params"), {word.key.removeprefix("train.") for word in words})
    return Composed({**tree, "command": [word.text for word in words]}, problems)


def replace_minibatches(params: Any, keys: Container[str]) -> None:
    """Let an override ``minibatch_size`` take the place of a file's ``minibatch_size_per_env``, which it outdoes.

    Args:
        params: the settings; changed in place.
        keys: what the overrides set.
    """
    config = params.get("config") if isinstance(params, Mapping) else None
    one, other = "params.config.minibatch_size", "params.config.minibatch_size_per_env"
    if isinstance(config, dict) and one in keys and other not in keys:
        config.pop("minibatch_size_per_env", None)


def import_own(settings: Iterable[Word] | Mapping[str, Any]) -> list[Problem]:
    """Import the modules that ``import_modules`` names; a problem for each that cannot be imported.

    Args:
        settings: of a command line, or of a configuration.
    """
    if not isinstance(settings, Mapping):
        settings = {word.key: word.value for word in settings}
    problems: list[Problem] = []
    with collecting(problems):
        launch = _import_keys(settings)
        add_folders(launch.import_path)
        for name in launch.import_modules:
            try:
                import_task(name) if ":" in name else import_module(name)
            except ValueError as error:
                problems.append(Problem("import_modules", str(error)))
    return problems


def _import_keys(cfg: Mapping[str, Any]) -> LaunchConfig:
    """``import_modules`` and ``import_path`` of a root, validated."""
    return parse_launch({key: cfg[key] for key in ("import_modules", "import_path") if key in cfg})


def own_modules(cfg: Mapping[str, Any], names: Iterable[str]) -> dict[str, list[str]]:
    """What a run keeps so that another process, in another folder, finds the user's code: two keys of the root.

    Args:
        cfg: the configuration, whose own keys come first.
        names: of the task and the environment.
    """
    own = _import_keys(cfg)
    modules, sources = list(own.import_modules), list(own.import_modules)
    for name in names:
        task = tasks.TASKS.get(name)
        if ":" in name and name.partition(":")[0] not in WORLDS:
            sources.append(name)
        elif task is not None and not task.__module__.startswith("manybody."):
            modules.append(home_of(task))
            sources.append(modules[-1])
    kept = {"import_modules": modules, "import_path": [*own.import_path, *folders_of(sources)]}
    return {key: list(dict.fromkeys(values)) for key, values in kept.items() if values}


def split(words: Sequence[Word]) -> tuple[list[Word], list[Word]]:
    """Words that choose a file (``task=Ant``), and the rest."""
    names = {path.name for path in CFG.iterdir() if path.is_dir()}
    return [word for word in words if word.key in names], [word for word in words if word.key not in names]


def _chosen(groups: Sequence[Word]) -> tuple[list[str], list[Problem]]:
    """The choices of files, and which of them do not exist; the nearest one stands in for those."""
    chosen: list[str] = []
    problems: list[Problem] = []
    for word in groups:
        known = _files(word.key)
        choice = str(word.value)
        own: list[str] | None = None
        if choice not in known:
            with collecting(problems):
                own = _own_choice(word.key, choice, known)
        if own is not None:
            named = word.key == "task" and any(other.key == "train" for other in groups)
            chosen += [override for override in own if not (named and override.startswith("train="))]
            continue
        stand_in = choice if choice in known else nearest(choice, known)
        chosen += [f"{word.key}={stand_in}"] if stand_in else []
    return chosen, problems


def _own_choice(group: str, choice: str, known: Sequence[str]) -> list[str]:
    """The choices for a task that has no file in ``cfg``, or for a YAML file of the user's.

    Hydra finds both in its ``ConfigStore``, as if they were files of the group.

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


def _anchored(word: Word) -> Word:
    """``train=<file>.yaml`` with its whole path, so that a run is found again from another folder."""
    if word.key != "train" or word.several or not str(word.value).endswith((".yaml", ".yml")):
        return word
    path = str(Path(expanded(word.value)).absolute())
    return word._replace(text=f"train='{path}'", value=path)


def _files(group: str) -> list[str]:
    return sorted(path.stem for path in (CFG / group).glob("*.yaml"))


def _stored(group: str, name: str, content: Mapping[str, Any]) -> str:
    """Put ``content`` where Hydra finds it in ``group``; the name under which it does."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    stored = re.sub(r"\W", "_", name)
    ConfigStore.instance().store(stored, OmegaConf.create(dict(content)), group=group)
    return stored


def _task_section(name: str, task: type[MujocoTask]) -> dict[str, Any]:
    """What a file in ``cfg/task`` would hold for a task: the defaults of its schema."""
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


def _opened(base: Mapping[Any, Any], words: Sequence[Word]) -> tuple[list[str], list[Problem]]:
    """The overrides, allowed to add keys below :data:`OPEN_SECTIONS`, and what is wrong with the others."""
    problems: list[Problem] = []
    opened = []
    roots = sorted(map(str, base), key=lambda name: name not in GROUPS)  # else in their order
    for word in words:
        if word.removes:
            opened.append(word.text)
        elif word.key.startswith(OPEN_SECTIONS):
            opened.append(f"++{word.text.lstrip('+')}")
        elif _has(base, word.key):
            opened.append(word.text.lstrip("+"))
        else:
            hint = suggestion(word.key, roots, "train.params")
            told = any("known:" in problem.message for problem in problems)
            known = "" if hint or told else f" (known: {', '.join(roots)})"
            problems.append(Problem(word.key, f"unknown key{hint}{known}"))
    return opened, problems


def _has(cfg: Mapping[Any, Any], path: str) -> bool:
    *parents, last = path.split(".")
    node: Any = cfg
    for parent in parents:
        node = node[parent] if isinstance(node, Mapping) and parent in node else None
    return isinstance(node, Mapping) and last in node
