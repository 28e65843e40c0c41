"""Resolves references such as ``${.name}`` in a configuration file, as OmegaConf and IsaacGymEnvs do."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from manybody.config import load_yaml
from manybody.config.errors import Problems, shown
from manybody.config.yaml import LocatedDict

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

KeyPath = tuple[Any, ...]


def register_resolvers() -> None:
    """Make :data:`RESOLVERS` and Hydra's own (``now``) known to OmegaConf."""
    from hydra.core.utils import setup_globals
    from omegaconf import OmegaConf

    setup_globals()
    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)


def resolve_references(content: Mapping[str, Any], root: Mapping[str, Any], problems: Problems) -> Mapping[str, Any]:
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
    result, plain = copy.deepcopy(content), _plain(content)
    wrong: dict[KeyPath, str] = {}
    for path, text in references.items():
        what = f"write a value, or add {_dotted(path)}=<value>" if text == "???" else _syntax_error(text)
        if what:
            wrong[path] = what
            _put(plain, path, "")
    unresolved: dict[KeyPath, str] = {}
    tree = _tree(plain, root)
    for path in references.keys() - wrong.keys():
        try:
            _put(result, path, _value(tree, path))
        except OmegaConfBaseException as error:
            unresolved[path] = _explained(error, path)
    causes = {path: what for path, what in unresolved.items() if not _follows(plain, root, path, unresolved)}
    wrong |= causes or unresolved
    for path, text in references.items():
        if path in wrong:
            problems.add(_dotted(path), f"got {shown(text)}; {wrong[path]}", _location(content, path))
    return result


def _tree(plain: dict[str, Any], root: Mapping[str, Any]) -> Any:
    """The content as OmegaConf's tree: the tree that a run keeps, or the file as the training file of such a tree."""
    from omegaconf import OmegaConf

    if "train" in plain:
        return OmegaConf.create(plain)
    defaults = {key: value for key, value in load_yaml(CFG / "config.yaml").items() if key not in HIDDEN}
    whole = {**defaults, **FOREIGN_ROOT, **plain, **root, "train": plain, "params": "${train.params}"}
    if str(whole["num_envs"]) != "":
        whole["task"] = {"env": {"numEnvs": whole["num_envs"]}}
    return OmegaConf.create(whole).train


def _value(node: Any, path: KeyPath) -> Any:
    """The value of the reference at ``path``, as plain data. Raises OmegaConf's errors."""
    from omegaconf import OmegaConf

    for key in path:
        node = node[key]
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _follows(plain: dict[str, Any], root: Mapping[str, Any], path: KeyPath, unresolved: Mapping[KeyPath, str]) -> bool:
    """Whether the reference at ``path`` has no value only because it refers to another without one."""
    from omegaconf.errors import OmegaConfBaseException

    others = copy.deepcopy(plain)
    for other in unresolved.keys() - {path}:
        _put(others, other, "")
    try:
        _value(_tree(others, root), path)
    except OmegaConfBaseException:
        return False
    return True


def _syntax_error(text: str) -> str | None:
    from omegaconf import OmegaConf
    from omegaconf.errors import GrammarParseError

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
        advice = f"write the value here, or add {_dotted(path)}=<value>"
    return f"there is no '{missing[1]}'; {advice}"


def _references(node: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Path and text of each reference."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _references(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _references(value, (*path, index))
    elif is_reference(node):
        yield path, node


def is_reference(value: Any) -> bool:
    """Whether ``value`` is a reference: ``${.name}``, or ``???`` for a value that must be set."""
    return isinstance(value, str) and ("${" in value or value == "???")


def _plain(node: Any) -> Any:
    """``node`` in types that OmegaConf accepts; everything else becomes None."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node]
    return node if isinstance(node, str | int | float) else None


def _put(node: Any, path: KeyPath, value: Any) -> None:
    *parents, last = path
    for key in parents:
        node = node[key]
    if isinstance(node, dict):
        dict.__setitem__(node, last, value)  # a LocatedDict keeps the line
    else:
        node[last] = value


def _location(node: Any, path: KeyPath) -> str | None:
    place = None
    for key in path:
        if isinstance(node, LocatedDict):
            place = node.where(key) or place
        node = node[key]
    return place


def _dotted(path: KeyPath) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
