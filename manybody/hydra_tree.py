"""IsaacGymEnvs' Hydra tree: from ``key=value`` words to one resolved configuration."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from manybody.config import ConfigError, Problem
from manybody.config.errors import did_you_mean, nearest, notify
from manybody.config.launch import suggestion
from manybody.words import Word, read

CFG = Path(__file__).parent / "cfg"
GROUPS = ("task", "train")
OPEN_SECTIONS = ("train.params.", "task.")
"""Below these, any key may be set on the command line: the gate knows more keys than the YAML files spell out."""

RESOLVERS: dict[str, Callable[..., Any]] = {
    "eq": lambda x, y: str(x).lower() == str(y).lower(),
    "contains": lambda x, y: str(x).lower() in str(y).lower(),
    "if": lambda condition, a, b: a if condition else b,
    "resolve_default": lambda default, arg: default if arg == "" else arg,
}
"""IsaacGymEnvs' OmegaConf resolvers."""


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

    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
    groups, values = split(words)
    chosen, problems = _chosen(groups)
    with initialize_config_dir(str(CFG), version_base="1.3"):
        opened, unknown = _opened(hydra_compose("config", chosen), values)
        problems += unknown
        try:
            tree: Any = OmegaConf.to_container(hydra_compose("config", [*chosen, *opened]), resolve=True)
        except (HydraException, OmegaConfBaseException) as error:
            reason = str(error).strip().partition("\n")[0]
            what = f"{reason} (in: {' '.join(word.text for word in words)})"
            return Composed(None, [*problems, Problem(getattr(error, "full_key", None) or "", what)])
    return Composed({**tree, "command": [word.text for word in words]}, problems)


def split(words: Sequence[Word]) -> tuple[list[Word], list[Word]]:
    """Words that choose a file (``task=Ant``), and the rest."""
    names = {path.name for path in CFG.iterdir() if path.is_dir()}
    return [word for word in words if word.key in names], [word for word in words if word.key not in names]


def _chosen(groups: Sequence[Word]) -> tuple[list[str], list[Problem]]:
    """The choices of files, and which of them do not exist; the nearest one stands in for those."""
    chosen, problems = [], []
    for word in groups:
        known = sorted(path.stem for path in (CFG / word.key).glob("*.yaml"))
        choice = str(word.value)
        if choice not in known:
            what = f"given {choice!r}; expected one of {', '.join(known)}{did_you_mean(choice, known)}"
            problems.append(Problem(word.key, what))
        stand_in = choice if choice in known else nearest(choice, known)
        chosen += [f"{word.key}={stand_in}"] if stand_in else []
    return chosen, problems


def _opened(base: DictConfig, words: Sequence[Word]) -> tuple[list[str], list[Problem]]:
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


def _has(cfg: DictConfig, path: str) -> bool:
    *parents, last = path.split(".")
    node: Any = cfg
    for parent in parents:
        node = node[parent] if isinstance(node, DictConfig) and parent in node else None
    return isinstance(node, DictConfig) and last in node
