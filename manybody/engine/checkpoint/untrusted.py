"""Checks of the values in a checkpoint, and of files from untrusted sources.

Loading a file must neither run code nor use much more memory than the size of the file.
``torch.load(weights_only=True)`` prevents the first; the checks here prevent archives and pickles that expand
(``bytearray(10**12)`` passes ``weights_only``), tensors larger than their storage, and damaged bytes.
"""

import os
import pickletools
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import torch
from torch import Tensor

from manybody.config.errors import ManybodyError

MAX_PICKLE = 1 << 20
"""Maximum bytes of the pickle: metadata of about 7,000 tensors, whose data is stored outside it."""
_MAX_DIRECTORY = 2 << 20
"""Maximum bytes of the archive's table of contents: about 20,000 entries."""

_ORDERED_DICT = ("global", "collections OrderedDict")
_ENCODE = ("global", "_codecs encode")
_LONG = ("string", None)
_GLOBALS = {
    _ORDERED_DICT[1],
    _ENCODE[1],
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "numpy dtype",
    "numpy ndarray",
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar",
}
"""Names that a pickle may import, fewer than ``weights_only`` allows. NumPy's names and ``encode`` occur in RL Games'
files and in the arrays of an environment's state."""
_MAX_DEPTH = 100
"""Maximum depth of nested dicts, lists and tuples."""


class CheckpointError(ManybodyError, RuntimeError):
    """A checkpoint that cannot be used: file, field, got, expected, advice."""

    def __init__(self, path: str | os.PathLike, field: str, given: str, expected: str, advice: str) -> None:
        super().__init__(f"{os.fspath(path)}: {field}: got {given}; expected {expected}. {advice}")
        self.path, self.field, self.given, self.expected, self.advice = (
            Path(path),
            field,
            given,
            expected,
            advice,
        )


@contextmanager
def named_file(path: str | os.PathLike) -> Iterator[None]:
    """Name ``path`` in the CheckpointErrors of the block."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(path, error.field, error.given, error.expected, error.advice) from None


class _Dtype:
    """Replaces ``numpy.dtype`` in RL Games' files, so that NumPy never interprets their bytes."""

    def __init__(self, code: str, *_: object) -> None:
        codes = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b", "b1": "?"}
        self.code = (codes | {"u8": "Q", "u4": "I", "u2": "H", "u1": "B"})[code]

    def __setstate__(self, state: object) -> None:
        """Ignore byte order and alignment: little-endian is assumed."""


def _scalar(dtype: _Dtype, data: bytes) -> float | int | bool:
    """Return replaces ``numpy.core.multiarray.scalar``."""
    return struct.unpack(f"<{dtype.code}", data)[0]


class _Array:
    """Replaces ``numpy.ndarray``; ``array`` is its content."""

    array: Any = None

    def __init__(self, *_: object) -> None:
        """Ignore the arguments: NumPy first constructs an empty array."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if type(data) is not bytes:  # bytes(10**12) would allocate them
            raise ValueError(f"an array of {type(data).__name__}")
        flat = numpy.frombuffer(data, numpy.dtype(dtype.code))
        self.array = flat.reshape(shape, order="F" if fortran else "C").copy()


def _array(*_: object) -> _Array:
    """Return replaces ``numpy.core.multiarray._reconstruct``."""
    return _Array()


NUMPY_STAND_INS: list[Any] = [
    (_Array, "numpy.ndarray"),
    (_array, "numpy.core.multiarray._reconstruct"),
    (_array, "numpy._core.multiarray._reconstruct"),
    (_Dtype, "numpy.dtype"),
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
]
"""For ``torch.serialization.safe_globals``."""


def plain(value: Any, key: str, path: Path) -> Any:
    """Convert ``value`` to types that load without code: CPU tensors, numbers, strings, dicts, lists, tuples.

    Raises:
        CheckpointError: a value has another type; the message names its key.
    """
    if isinstance(value, Tensor) and value.layout is torch.strided:
        tensor = value.detach().cpu()
        if tensor.numel() * tensor.element_size() != tensor.untyped_storage().nbytes():
            tensor = tensor.clone(memory_format=torch.contiguous_format)  # saving a view would save its whole storage
        return tensor
    if isinstance(value, numpy.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is numpy.ndarray and value.dtype.kind in "biuf" and value.size > 0:
        return value.astype(value.dtype.newbyteorder("<"))
    if isinstance(value, Mapping):
        for name in value:
            if type(name) not in (str, int):
                raise _not_plain(path, f"{key}[{name!r}]", f"a key of type {type(name).__name__}")
        return {name: plain(item, f"{key}.{name}" if key else str(name), path) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(item, f"{key}[{index}]", path) for index, item in enumerate(value))
    raise _not_plain(path, key, f"{type(value).__module__}.{type(value).__qualname__}")


def _not_plain(path: Path, key: str, given: str) -> CheckpointError:
    return CheckpointError(
        path,
        key,
        given,
        "tensors, numbers, strings, None, and dicts, lists and tuples of them",
        "Convert it before saving, or leave it out and rebuild it after loading.",
    )


def check_archive(file: BinaryIO, size: int, tensors: bool = True) -> str | None:
    """Describe the problem of an archive of ``size`` bytes; None if there is none.

    Every byte that torch uses has a checksum, and entries must be uncompressed, so nothing expands beyond the size of
    the file. Without ``tensors`` the bytes of tensors are not read and may be damaged.

    Raises:
        Exception: various types, by zipfile and pickletools, on damaged input.
    """
    file.seek(max(0, size - 98))
    tail = file.read(98)
    if tail[-22:-18] != b"PK\x05\x06":
        return "an archive without its end (cut off?)"
    directory = struct.unpack("<I", tail[-10:-6])[0]
    if tail[-42:-38] == b"PK\x06\x07":  # torch writes the 64-bit form, which repeats the size
        directory = max(directory, struct.unpack("<Q", tail[-58:-50])[0])
    if directory > _MAX_DIRECTORY:
        return f"a table of contents of {directory} bytes"
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        for entry in entries:
            parts = entry.filename.split("/")
            if entry.external_attr:  # torch reads an entry with the attribute of a folder as empty
                return f"the entry {entry.filename!r} with attributes"
            if (
                entry.compress_type != zipfile.ZIP_STORED
                or entry.file_size != entry.compress_size
                or entry.flag_bits & 1
            ):
                return f"the compressed or encrypted entry {entry.filename!r}"
            if ".." in parts or "" in parts or "\\" in entry.filename:
                return f"the entry path {entry.filename!r}"
        names = {entry.filename for entry in entries}
        if len(names) != len(entries):
            return "two entries of one name"
        if sum(entry.file_size for entry in entries) > size:
            return "entries larger than the file"
        pickles = [
            entry for entry in entries if entry.filename.endswith("/data.pkl") and entry.filename.count("/") == 1
        ]
        if len(pickles) != 1 or pickles[0].file_size > MAX_PICKLE:
            return f"{len(pickles)} data.pkl entries of {sum(entry.file_size for entry in pickles)} bytes"
        damaged = archive.testzip() if tensors else None
        if damaged is not None:
            return f"the damaged entry {damaged!r} (checksum)"
        return check_pickle(archive.read(pickles[0]))


def check_pickle(data: bytes) -> str | None:
    """Describe the problem of a pickle without executing it; None if there is none.

    Only the names in ``_GLOBALS`` may be imported. Functions that could multiply data must be called as torch and NumPy
    call them: ``OrderedDict()`` and ``encode(<text>, 'latin1')``; a text of more than 16 characters must be a literal,
    not a reference to an earlier one.
    """
    memo: dict[Any, Any] = {}
    token: Any = None  # the value that the last instruction pushed, or its name
    due: list[Any] = []  # the tokens that must follow
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = token
            continue
        if opcode.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            if argument not in _GLOBALS and not (module in ("torch", "torch.storage") and name.endswith("Storage")):
                return f"the code {module}.{name}"
            token = ("global", argument)
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            token = memo.get(argument)
            token = "a long string again" if token == _LONG else token
        elif isinstance(argument, str):
            token = ("string", argument) if len(argument) <= 16 else _LONG
        else:
            token = opcode.name
        if due:
            wanted = due.pop(0)
            is_text = token == _LONG or (isinstance(token, tuple) and token[0] == "string")
            if token != wanted and not (wanted == "data" and is_text):
                return "an unusual call of a permitted function"
        elif token == _ORDERED_DICT:
            due = ["EMPTY_TUPLE", "REDUCE"]
        elif token == _ENCODE:
            due = ["data", ("string", "latin1"), "TUPLE2", "REDUCE"]
    return None


def with_arrays(value: object, depth: int = 0, done: dict[int, Any] | None = None) -> Any:
    """Replace the stand-ins in ``value`` by their arrays, in dicts and lists in place.

    Raises:
        ValueError: an array without content, or too deeply nested containers.
    """
    if isinstance(value, _Array):
        if value.array is None:
            raise ValueError("an array without content")
        return value.array
    if not isinstance(value, dict | list | tuple):
        return value
    done = {} if done is None else done
    if id(value) in done:
        return done[id(value)]
    if depth > _MAX_DEPTH:
        raise ValueError(f"dicts, lists or tuples nested more than {_MAX_DEPTH} deep")
    done[id(value)] = value
    if isinstance(value, tuple):
        done[id(value)] = value = type(value)([with_arrays(x, depth + 1, done) for x in value])
        return value
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        value[key] = with_arrays(item, depth + 1, done)
    return value


COMPILED = "_orig_mod."
"""Prefix that ``torch.compile`` adds to the names of parameters."""


def uncompiled(state: object) -> Any:
    """Remove ``COMPILED`` from the names of parameters.

    Raises:
        ValueError: two names become equal.
    """
    if not isinstance(state, dict):
        return state
    parts = {}
    for key, part in state.items():
        parts[key] = part
        if isinstance(part, dict) and any(COMPILED in str(name) for name in part):
            parts[key] = {str(name).replace(COMPILED, ""): value for name, value in part.items()}
            if len(parts[key]) != len(part):
                raise ValueError(f"{key!r} with parameters of one name, compiled and not")
    return parts


def check_tensors(state: object) -> str | None:
    """Describe a tensor with more elements than its storage (a copy would fill the memory); None without one."""
    pending, seen = [("state", state)], set()
    while pending:
        key, value = pending.pop()
        if isinstance(value, Tensor):
            held = value.untyped_storage().nbytes()
            if value.numel() * value.element_size() > held:
                return f"{key!r} of shape {tuple(value.shape)} in {held} bytes"
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            items: Iterable = value.items() if isinstance(value, dict) else ((key, item) for item in value)
            pending.extend(items)
    return None
