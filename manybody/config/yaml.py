"""Reads YAML files safely, and remembers in which line every key stood."""

import copy
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from manybody.config.errors import ConfigError, Problem, notify
from manybody.config.files import expanded

MAX_BYTES = 256 * 1024
"""Larger files are refused unread; the largest RL Games configuration has under 20 kB."""
MAX_NODES = 50_000
"""Keys and values after aliases are expanded; stops "billion laughs" files."""

_SCALARS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str")}
_TEXT = {f"tag:yaml.org,2002:{kind}" for kind in ("timestamp", "value")}  # dates stay the text that was written
_MERGE = "tag:yaml.org,2002:merge"


class LocatedDict(dict[Any, Any]):
    """A dict that knows the file and the line of each of its keys, and so do its deep copies."""

    def __init__(self, file: str = "", **values: Any) -> None:
        super().__init__(**values)
        self.file = file
        self.lines: dict[Any, int] = {}

    def __setitem__(self, key: Any, value: Any) -> None:
        """Set a value; what is set later was not in the file, so the key's line is forgotten."""
        self.__dict__.get("lines", {}).pop(key, None)
        super().__setitem__(key, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> "LocatedDict":
        twin = LocatedDict(self.file)
        twin.update((key, copy.deepcopy(value, memo)) for key, value in self.items())
        twin.lines = dict(self.lines)
        return twin

    def where(self, key: Hashable) -> str | None:
        """``file:line`` of ``key``, or None when it was not read from the file."""
        return f"{self.file}:{self.lines[key]}" if key in self and key in self.lines else None


def location(content: Any, path: Iterable[str | int]) -> str | None:
    """``file:line`` of the key at ``path``, or of the nearest block around it that was read from a file."""
    place = None
    for key in path:
        if isinstance(content, LocatedDict):
            place = content.where(key) or place
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            break
    return place


def load_yaml(path: str | Path) -> LocatedDict:
    """Read the mapping that a YAML file holds.

    Only plain data comes out: mappings, lists, text, numbers, true/false and null. Dates stay text. Nothing
    in the file can run code, and neither size nor aliases can exhaust the memory.

    Args:
        path: The file, UTF-8.

    Raises:
        ConfigError: With ``file:line``, when the file is missing, unreadable, over ``MAX_BYTES``, not UTF-8,
            empty, not valid YAML or not a mapping, or holds tabs in its indentation, a key twice, a tag such
            as ``!!python/object``, more than one document, or aliases that refer to themselves or expand
            beyond ``MAX_NODES``.
    """
    file = expanded(path)
    text = _read(file)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            _refuse(file, None, "the file is empty; expected 'key: value' lines")
        if not isinstance(root, yaml.MappingNode):
            found = "a list" if isinstance(root, yaml.SequenceNode) else "a single value"
            _refuse(file, root.start_mark, f"the file holds {found}; expected 'key: value' lines")
        result: LocatedDict = _Builder(file).build(root)
        return result
    except yaml.MarkedYAMLError as error:
        context = f"{error.context}: " if error.context else ""
        _refuse(file, error.problem_mark or error.context_mark, f"not valid YAML: {context}{error.problem}")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        _refuse(file, line, f"the character {chr(error.character)!r} is not allowed in YAML")
    except RecursionError:
        _refuse(file, None, "nested too deeply to be a configuration")


def _refuse(file: str, mark: Any, message: str) -> NoReturn:
    line = mark if isinstance(mark, int) else mark.line + 1 if mark is not None else None
    raise ConfigError([Problem("", message, f"{file}:{line}" if line else file)]) from None


def _read(file: str) -> str:
    try:
        if not Path(file).is_file():
            _refuse(file, None, "no such file" if not Path(file).exists() else "not a regular file")
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        _refuse(file, None, f"cannot be read: {error.strerror}")
    if len(data) > MAX_BYTES:
        _refuse(file, None, f"more than {MAX_BYTES // 1024} KiB; this is no configuration")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        _refuse(file, line, f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8")
    for number, row in enumerate(text.split("\n"), start=1):
        if "\t" in row[: len(row) - len(row.lstrip())]:
            _refuse(file, number, "a tab in the indentation; YAML indents with spaces")
    return text


class _Builder:
    """Turns YAML nodes into plain data, counting nodes so that aliases cannot explode."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.count = 0
        self.open: set[int] = set()
        self.scalars = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            _refuse(self.file, node.start_mark, f"aliases expand to more than {MAX_NODES} values; write them out")
        if id(node) in self.open:
            _refuse(self.file, node.start_mark, "an alias refers to the block that contains it")
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
                return self.mapping(node)
            if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
                return [self.build(item) for item in node.value]
            return self.scalar(node)
        finally:
            self.open.discard(id(node))

    def scalar(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _SCALARS | _TEXT:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            _refuse(
                self.file,
                node.start_mark,
                f"the tag {tag} is not allowed; write plain text, numbers and lists",
            )
        if node.tag in _TEXT:
            return node.value
        try:
            return self.scalars.construct_object(node)
        except (ValueError, KeyError) as error:
            _refuse(self.file, node.start_mark, f"not readable as {node.tag.rpartition(':')[2]}: {error}")

    def mapping(self, node: yaml.MappingNode) -> LocatedDict:
        own, inherited = LocatedDict(self.file), LocatedDict(self.file)
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                self.merge(value_node, inherited)
                continue
            key = self.build(key_node)
            if not isinstance(key, str | int) or isinstance(key, bool):
                _refuse(self.file, key_node.start_mark, f"the key {key!r} is not text; put it in quotes")
            value = self.build(value_node)
            if key in own:
                line = key_node.start_mark.line + 1
                twice = f"the key '{key}' is there twice, first in line {own.lines[key]}"
                if type(value) is not type(own[key]) or value != own[key]:
                    _refuse(self.file, line, twice)
                notify(f"{self.file}:{line}: {twice}, with the same value")
            own[key] = value
            own.lines[key] = key_node.start_mark.line + 1
        for key in inherited.keys() - own.keys():
            own[key] = inherited[key]
            own.lines[key] = inherited.lines[key]
        return own

    def merge(self, node: yaml.Node, into: LocatedDict) -> None:
        """``<<: *base`` and ``<<: [*first, *second]``: earlier blocks win, as the YAML merge key says."""
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            block = self.build(source)
            if not isinstance(block, LocatedDict):
                _refuse(self.file, source.start_mark, "'<<' takes a mapping or a list of mappings")
            for key, value in block.items():
                if key not in into:
                    into[key] = value
                    into.lines[key] = block.lines[key]
