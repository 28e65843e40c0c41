"""Resolves references such as ``${.name}`` in a configuration file, as OmegaConf and IsaacGymEnvs do."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from manybody.config import load_yaml
from manybody.config.errors import Problems, dotted, shown
from manybody.config.types import opened
from manybody.config.yaml import location

if TYPE_CHECKING:
    from omegaconf import DictConfig

CFG = Path(__file__).parents[1] / "cfg"
"""The Hydra tree."""

RESOLVERS: dict[str, Callable[..., Any]] = {
    "eq": lambda x, y: str(x).lower() == str(y).lower(),
    "contains": lambda x, y: str(x).lower() in str(y).lower(),
    "if": lambda condition, a, b: a if condition else b,
    "resolve_default": lambda default, arg: default if arg == "" else arg,
}
"""IsaacGymEnvs' OmegaConf resolvers."""

HIDDEN = ("defaults", "hydra", "task_name")
"""Root keys of the Hydra tree that a file cannot refer to."""
FOREIGN_ROOT: Mapping[str, Any] = {"pbt": False}
"""Root keys that IsaacGymEnvs' files refer to and that have no effect here, with IsaacGymEnvs' defaults."""

LIVE_OBJECTS = {"allow_objects": True}
"""A script's configuration may hold objects of any type."""

KeyPath = tuple[str | int, ...]


def register_resolvers() -> None:
    """Make :data:`RESOLVERS` and Hydra's own (``now``) known to OmegaConf."""
    from hydra.core.utils import setup_globals
    from omegaconf import OmegaConf

    setup_globals()
    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)


def resolve_references(content: Mapping[str, Any], root: Mapping[str, object], problems: Problems) -> Mapping[str, Any]:
    """Replace the references in an RL Games file, or in a tree that a run keeps, by their values.

    A reference that leads out of the file (``${....num_envs}``) resolves as in IsaacGymEnvs: to the root keys of a
    command line, with the defaults of the Hydra tree.

    Args:
        content: of the file; not changed.
        root: the root keys that are set, such as ``num_envs``.
        problems: a problem is added for each reference that has no value.

    Returns:
        The resolved content, lines included; ``content`` itself if it has no references.
    """
    references = dict(_references(content, ()))
    if not references:
        return content
    from omegaconf.errors import OmegaConfBaseException

    register_resolvers()
    result, plain = copy.deepcopy(content), opened(content)
    broken = {path: what for path, text in references.items() if (what := _unusable(text, path))}
    for path in broken:
        _put(plain, path, None)
    tree = _tree(plain, root)
    for path in [path for path in references if path not in broken]:
        try:
            _put(result, path, _value(tree, path))
        except OmegaConfBaseException as error:
            broken[path] = _explained(error, path)
            _put(plain, path, None)
            tree = _tree(plain, root)  # in which a reference to this one has a value
    for path, text in references.items():
        if path in broken:
            problems.add(dotted(path), f"got {shown(text)}; {broken[path]}", location(content, path))
    return result


def _tree(plain: dict[str, Any], root: Mapping[str, object]) -> "DictConfig":
    """The content as OmegaConf's tree: the tree that a run keeps, or the file as the training file of such a tree."""
    from omegaconf import OmegaConf

    if "train" in plain:
        return OmegaConf.create(plain, flags=LIVE_OBJECTS)
    defaults = {key: value for key, value in load_yaml(CFG / "config.yaml").items() if key not in HIDDEN}
    whole = {**defaults, **FOREIGN_ROOT, **plain, **root, "train": plain, "params": "${train.params}"}
    if str(whole["num_envs"]) != "":
        whole["task"] = {"env": {"numEnvs": whole["num_envs"]}}
    return OmegaConf.create(whole, flags=LIVE_OBJECTS).train


def _value(tree: "DictConfig", path: KeyPath) -> object:
    """The value of the reference at ``path``, as plain data. Raises OmegaConf's errors."""
    from omegaconf import OmegaConf

    node: Any = tree
    for key in path:
        node = node[key]
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _unusable(text: str, path: KeyPath) -> str | None:
    """What is wrong with the text of a reference, by itself."""
    from omegaconf import OmegaConf
    from omegaconf.errors import GrammarParseError

    if text == "???":
        return f"write a value, or add {dotted(path)}=<value>"
    try:
        OmegaConf.create([text])
    except GrammarParseError as error:
        return f"expected a reference such as ${{.name}}: {_reason(error)}"
    return None


def _explained(error: Exception, path: KeyPath) -> str:
    missing = re.search(r"Interpolation key '([^']*)' not found", str(error))
    if missing is None:
        return f"expected a reference that has a value: {_reason(error)}"
    if missing[1] == "task.env.numEnvs":
        advice = "write the number of environments here, or add num_envs=<number>"
    else:
        advice = f"write the value here, or add {dotted(path)}=<value>"
    return f"there is no '{missing[1]}'; {advice}"


def _references(node: object, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Path and text of each reference."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _references(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _references(value, (*path, index))
    elif is_reference(node):
        yield path, node


def is_reference(value: object) -> TypeGuard[str]:
    """Whether ``value`` is a reference: ``${.name}``, or ``???`` for a value that must be set."""
    return isinstance(value, str) and ("${" in value or value == "???")


def _put(node: Any, path: KeyPath, value: object) -> None:
    *parents, last = path
    for key in parents:
        node = node[key]
    if isinstance(node, dict):
        dict.__setitem__(node, last, value)  # a LocatedDict keeps the line
    else:
        node[last] = value


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
