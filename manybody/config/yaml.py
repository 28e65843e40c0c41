"""Reads YAML files safely, and remembers in which line every key stood."""

import copy
import re
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml

from manybody.config.errors import ConfigError, Problem, notify
from manybody.config.files import expanded

MAX_BYTES = 256 * 1024
"""Larger files are refused unread; the largest RL Games configuration has under 20 kB."""
MAX_NODES = 50_000
"""Keys and values after aliases are expanded; stops "billion laughs" files."""

_SCALARS = ("!!null", "!!bool", "!!int", "!!float", "!!str")
_TEXT = ("!!timestamp", "!!value")  # stay the text that was written
_MERGE = "tag:yaml.org,2002:merge"


class LocatedDict(dict[Any, Any]):
    """A dict that knows the file and the line of each of its keys, and so do its deep copies."""

    def __init__(self, file: str = "") -> None:
        super().__init__()
        self.file = file
        self.lines: dict[Any, int] = {}

    def __setitem__(self, key: Hashable, value: object) -> None:
        """Set a value that does not come from the file: the key's line is forgotten."""
        self.__dict__.get("lines", {}).pop(key, None)
        super().__setitem__(key, value)

    def __deepcopy__(self, memo: dict[int, object]) -> "LocatedDict":
        twin = LocatedDict(self.file)
        twin.update((key, copy.deepcopy(value, memo)) for key, value in self.items())
        twin.lines = dict(self.lines)
        return twin

    def locate(self, key: Hashable, value: object, line: int) -> None:
        """Set a value that is in this line of the file."""
        self[key] = value
        self.lines[key] = line

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

    Only plain data comes out: mappings, lists, text, numbers, true/false and null; dates stay text. Nothing in the file
    can run code, and neither size nor aliases can exhaust the memory.

    Raises:
        ConfigError: names ``file:line``. The file is unreadable, over ``MAX_BYTES``, not UTF-8, empty, no valid YAML or
            no mapping, or has a tag such as ``!!python/object``, a key twice, several documents, or aliases that are
            circular or expand beyond ``MAX_NODES``.
    """
    file = expanded(path)
    text = _read(file)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise _refused(file, None, "the file is empty; expected 'key: value' lines")
        if not isinstance(root, yaml.MappingNode):
            found = "a list" if isinstance(root, yaml.SequenceNode) else "a single value"
            raise _refused(file, root.start_mark, f"the file holds {found}; expected 'key: value' lines")
        result: LocatedDict = _Builder(file).build(root)
        return result
    except yaml.MarkedYAMLError as error:
        context = f"{error.context}: " if error.context else ""
        mark = error.problem_mark or error.context_mark
        raise _refused(file, mark, f"not valid YAML: {context}{error.problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _refused(file, line, f"the character {chr(error.character)!r} is not allowed in YAML") from None
    except RecursionError:
        raise _refused(file, None, "nested too deeply to be a configuration") from None


def _refused(file: str, place: yaml.Mark | int | None, message: str) -> ConfigError:
    """The error for a line, counted from 1, or for YAML's mark of it."""
    line = place.line + 1 if isinstance(place, yaml.Mark) else place
    return ConfigError([Problem("", message, f"{file}:{line}" if line else file)])


def _read(file: str) -> str:
    try:
        if not Path(file).is_file():
            raise _refused(file, None, "not a regular file" if Path(file).exists() else "no such file")
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _refused(file, None, f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise _refused(file, None, f"more than {MAX_BYTES // 1024} KiB; this is not a configuration")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise _refused(file, line, message) from None
    if tab := re.search(r"^ *\t", text, re.MULTILINE):
        line = text.count("\n", 0, tab.start()) + 1
        raise _refused(file, line, "a tab in the indentation; YAML indents with spaces")
    return text


class _Builder:
    """Turns YAML nodes into plain data, and counts them because aliases can multiply them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.count = 0
        self.open: set[yaml.Node] = set()
        self.scalars = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            raise _refused(self.file, node.start_mark, f"aliases expand to more than {MAX_NODES} values")
        if node in self.open:
            raise _refused(self.file, node.start_mark, "an alias refers to the block that contains it")
        self.open.add(node)
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
                return self.mapping(node)
            if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
                return [self.build(item) for item in node.value]
            return self.scalar(node)
        finally:
            self.open.discard(node)

    def scalar(self, node: yaml.Node) -> Any:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        if isinstance(node, yaml.ScalarNode) and tag in _TEXT:
            return node.value
        if not isinstance(node, yaml.ScalarNode) or tag not in _SCALARS:
            what = f"the tag {tag} is not allowed; write plain text, numbers and lists"
            raise _refused(self.file, node.start_mark, what)
        try:
            return self.scalars.construct_object(node)
        except (ValueError, KeyError) as error:
            raise _refused(self.file, node.start_mark, f"not readable as {tag[2:]}: {error}") from None

    def mapping(self, node: yaml.MappingNode) -> LocatedDict:
        own, inherited = LocatedDict(self.file), LocatedDict(self.file)
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                self.merge(value_node, inherited)
                continue
            key, line = self.build(key_node), key_node.start_mark.line + 1
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise _refused(self.file, line, f"the key {key!r} is not text; put it in quotes")
            value = self.build(value_node)
            if key in own:
                twice = f"the key '{key}' is there twice, first in line {own.lines[key]}"
                if type(value) is not type(own[key]) or value != own[key]:
                    raise _refused(self.file, line, twice)
                notify(f"{self.file}:{line}: {twice}, with the same value")
            own.locate(key, value, line)
        for key in inherited.keys() - own.keys():
            own.locate(key, inherited[key], inherited.lines[key])
        return own

    def merge(self, node: yaml.Node, into: LocatedDict) -> None:
        """``<<: *base`` and ``<<: [*first, *second]``: earlier blocks win, as the YAML merge key says."""
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            block = self.build(source)
            if not isinstance(block, LocatedDict):
                raise _refused(self.file, source.start_mark, "'<<' takes a mapping or a list of mappings")
            for key in block.keys() - into.keys():
                into.locate(key, block[key], block.lines[key])
