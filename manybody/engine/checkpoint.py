"""Checkpoints: written whole or not at all, checked before they are read, loaded without running any code in them."""

import codecs
import contextlib
import os
import pickletools
import random
import stat
import struct
import uuid
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import torch
from torch import Tensor

from manybody.engine import console

FORMAT = 1
"""Version of the layout that this code writes, kept in the file under ``FORMAT_KEY``."""
FORMAT_KEY = "manybody_format"

_TEMPORARY = ".saving-"
_MAX_PICKLE = 64 << 20
"""Bytes. The pickled part holds names and numbers only; the tensors lie outside it."""
_MAX_DIRECTORY = 64 << 20
"""Bytes of the archive's table of contents: some 600,000 tensors."""
_GLOBALS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "_codecs encode",
        "numpy dtype",
        "numpy.core.multiarray scalar",
        "numpy._core.multiarray scalar",
    }
)
"""What a checkpoint may name: far less than ``torch.load(weights_only=True)`` admits, which can be made to allocate
any amount of memory (``bytearray(10**12)``). The numpy names stand in RL Games' files."""


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used: says which file, which field, what was found, what was expected, what to do."""

    def __init__(self, path: str | os.PathLike, field: str, given: str, expected: str, advice: str) -> None:
        super().__init__(f"{os.fspath(path)}: {field}: found {given}, expected {expected}. {advice}")
        self.path, self.field, self.given, self.expected, self.advice = (
            Path(path),
            field,
            given,
            expected,
            advice,
        )


# -- writing ---------------------------------------------------------------------------------------------------------


class _File:
    """A binary file that remembers the first write error: torch's archive writer must not see an exception."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.error = file, None  # type: ignore[var-annotated]

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        """Torch asks for it; ``save_checkpoint`` flushes by itself."""


def _plain(value: Any, key: str, path: Path) -> Any:
    """``value`` as something that loads without code: tensors on the CPU, numbers, strings, dicts, lists, tuples."""
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
        if tensor.is_sparse or tensor.numel() * tensor.element_size() != tensor.untyped_storage().nbytes():
            # a view would drag its whole storage into the file
            tensor = tensor.to_dense().clone(memory_format=torch.contiguous_format)
        return tensor
    if isinstance(value, numpy.generic):
        return value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        for name in value:
            if type(name) not in (str, int):
                raise _not_plain(path, f"{key}[{name!r}]", f"a key of type {type(name).__name__}")
        return {
            name: _plain(item, f"{key}.{name}" if key else str(name), path) for name, item in value.items()
        }
    if type(value) in (list, tuple):
        return type(value)(_plain(item, f"{key}[{index}]", path) for index, item in enumerate(value))
    raise _not_plain(path, key, f"{type(value).__module__}.{type(value).__qualname__}")


def _not_plain(path: Path, key: str, given: str) -> CheckpointError:
    return CheckpointError(
        path,
        key,
        given,
        "tensors, numbers, strings, None, and dicts, lists and tuples of them",
        "Convert it before saving, or leave it out and rebuild it after loading.",
    )


def save_checkpoint(path: str | os.PathLike, state: Mapping[str, Any]) -> None:
    """Write ``state`` to ``path`` so that at every instant the old or the new file is there, whole.

    The new content goes to a temporary file in the same folder, reaches the disk (fsync) and then takes the name. A
    symbolic link at ``path`` is replaced, not followed.

    Args:
        path: the file, ``.pth`` by custom.
        state: tensors (any device, saved from the CPU), numbers, strings, None, dicts, lists, tuples. Numpy scalars
            become Python numbers.

    Raises:
        CheckpointError: a value of another type; the message names its key. Nothing is written.
        OSError: the disk is full, read-only, gone. The old file is intact and no temporary file stays.
    """
    path = Path(path)
    content = {FORMAT_KEY: FORMAT, **_plain(state, "", path)}
    temporary = path.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
    try:
        with open(temporary, "xb") as file:
            guarded = _File(file)
            torch.save(content, guarded)
            if guarded.error is not None:
                raise guarded.error
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    with contextlib.suppress(
        OSError
    ):  # some file systems cannot sync a folder; the rename itself has happened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


# -- reading ---------------------------------------------------------------------------------------------------------


class _Dtype:
    """Stands in for ``numpy.dtype`` inside RL Games' files: numpy itself never sees their bytes."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "b1": "?"}[code]

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment: little-endian, as every machine that writes them."""


def _scalar(dtype: _Dtype, data: bytes) -> float | int | bool:
    """Stands in for ``numpy.core.multiarray.scalar``."""
    return struct.unpack(f"<{dtype.code}", data)[0]


_NUMPY_STAND_INS: list[Any] = [
    (_Dtype, "numpy.dtype"),
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
]


def _check_pickle(data: bytes) -> str | None:
    """What is wrong with the pickled part, found without executing it; None when nothing is."""
    codec = False
    strings = set()
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            if argument not in _GLOBALS and not (
                module in ("torch", "torch.storage") and name.endswith("Storage")
            ):
                return f"the code {module}.{name}"
            codec |= module == "_codecs"
        elif opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"):
            return f"the pickle instruction {opcode.name}"
        elif isinstance(argument, str) and len(argument) < 32:
            strings.add(argument)
    if codec:  # encodings from bytes to bytes, such as hex, can be chained until memory is full
        for name in strings:
            with contextlib.suppress(LookupError, ValueError):
                if not codecs.lookup(name)._is_text_encoding:
                    return f"the encoding {name!r}"
    return None


def _check_archive(file: BinaryIO, size: int) -> str | None:
    """What is wrong with the archive, found without trusting any figure in it; None when nothing is."""
    file.seek(max(0, size - 22))
    tail = file.read(22)
    if len(tail) < 22 or tail[:4] != b"PK\x05\x06":
        return "an archive without its end (cut off?)"
    directory = struct.unpack("<I", tail[12:16])[0]
    if directory > _MAX_DIRECTORY and size < 1 << 32:
        return f"a table of contents of {directory} bytes"
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        for entry in entries:
            parts = entry.filename.split("/")
            if (
                entry.compress_type != zipfile.ZIP_STORED
                or entry.file_size != entry.compress_size
                or entry.flag_bits & 1
            ):
                return f"a compressed or encrypted entry {entry.filename[:80]!r}"
            if ".." in parts or "" in parts or "\\" in entry.filename:
                return f"an entry with the path {entry.filename[:80]!r}"
        if len(set(names)) != len(names):
            return "two entries of one name"
        if sum(entry.file_size for entry in entries) > size:
            return "entries larger than the file"
        damaged = archive.testzip()
        if damaged is not None:
            return f"a damaged entry {damaged!r} (checksum)"
        pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            return f"{len(pickles)} data.pkl entries"
        if archive.getinfo(pickles[0]).file_size > _MAX_PICKLE:
            return "an oversized data.pkl"
        return _check_pickle(archive.read(pickles[0]))


def _check_tensors(state: Any) -> str | None:
    """Refuse tensors that claim more elements than the file holds: copying one would fill the memory."""
    pending, seen = [("", state)], set()
    while pending:
        key, value = pending.pop()
        if isinstance(value, Tensor):
            if value.numel() * value.element_size() > value.untyped_storage().nbytes():
                return f"{key}: shape {tuple(value.shape)} over {value.untyped_storage().nbytes()} bytes"
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            items: Iterable = value.items() if isinstance(value, dict) else enumerate(value)
            pending.extend((f"{key}.{name}" if key else str(name), item) for name, item in items)
    return None


def _open(path: Path) -> tuple[BinaryIO, int]:
    """Open a regular, non-empty file that looks like an archive. Returns it with its size in bytes."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: a pipe would block
            raise _refused(path, "no regular file")
        file = open(path, "rb")  # noqa: SIM115
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CheckpointError(path, "file", f"{reason}", "a readable checkpoint", "Check the path.") from None
    size = os.fstat(file.fileno()).st_size
    magic = file.read(4)
    if magic != b"PK\x03\x04":
        file.close()
        raise _refused(path, "an empty file" if size == 0 else f"a file that begins with {magic!r}")
    return file, size


def _refused(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        path,
        "file",
        found,
        f"an intact checkpoint (PyTorch archive, format {FORMAT} or older)",
        "It was not loaded.",
    )


def _checked(path: Path, file: BinaryIO, size: int) -> None:
    try:
        problem = _check_archive(file, size)
    except Exception as error:  # zipfile and pickletools raise a dozen types on damaged input
        problem = f"a damaged archive ({type(error).__name__}: {error})"[:200]
    if problem is not None:
        raise _refused(path, problem)


def verify_checkpoint(path: str | os.PathLike) -> None:
    """Check that ``path`` is whole and harmless, without loading it.

    Raises:
        CheckpointError: it is not.
    """
    file, size = _open(Path(path))
    with file:
        _checked(Path(path), file, size)


def load_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Read what ``save_checkpoint`` wrote, or an RL Games PPO file, onto the CPU. No code in the file runs.

    The archive's checksums and names are verified first. Where the file is damaged and an intact one lies beside it,
    the message offers that one.

    Returns:
        The state; numpy scalars of RL Games files as Python numbers.

    Raises:
        CheckpointError: for everything that can be wrong with the file.
    """
    path = Path(path)
    try:
        file, size = _open(path)
        with file:
            _checked(path, file, size)
            file.seek(0)
            try:
                with torch.serialization.safe_globals(_NUMPY_STAND_INS):
                    state = torch.load(file, map_location="cpu", weights_only=True)
            except Exception as error:
                raise _refused(path, f"{type(error).__name__}: {str(error).splitlines()[0][:200]}") from None
        problem = _check_tensors(state)
        if problem is not None:
            raise _refused(path, problem)
    except CheckpointError as error:
        other = Checkpoints(path.parent).fallback(path)
        if other is None:
            raise
        advice = f"The newest intact checkpoint beside it is '{other}': use checkpoint='{other}'."
        raise CheckpointError(path, error.field, error.given, error.expected, advice) from None
    if not isinstance(state, dict) or not (FORMAT_KEY in state or isinstance(state.get("model"), dict)):
        given = f"keys {sorted(map(str, state))[:8]}" if isinstance(state, dict) else type(state).__name__
        raise CheckpointError(
            path,
            FORMAT_KEY,
            given,
            "a training checkpoint",
            "Is it a file of bare weights or of another program?",
        )
    version = state.get(FORMAT_KEY, FORMAT)
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise CheckpointError(
            path,
            FORMAT_KEY,
            repr(version),
            f"1 to {FORMAT}",
            "A newer manybody wrote it: update manybody to load it.",
        )
    return state


def require(state: Mapping[str, Any], key: str, path: str | os.PathLike) -> Any:
    """``state[key]``.

    Raises:
        CheckpointError: there is no such key; names those that are there.
    """
    if key not in state:
        raise CheckpointError(
            path,
            key,
            f"only {', '.join(sorted(map(str, state)))}",
            f"'{key}'",
            "It was saved by another algorithm or an older version; start from it with weights only, or train anew.",
        )
    return state[key]


def check_state_dict(
    expected: Mapping[str, Tensor], given: Mapping[str, Any], path: str | os.PathLike
) -> None:
    """Compare parameter names and shapes before ``load_state_dict``.

    Raises:
        CheckpointError: lists every missing, unexpected and mismatching parameter, with both shapes.
    """
    problems = [
        f"missing {name} {tuple(value.shape)}" for name, value in expected.items() if name not in given
    ]
    for name, value in given.items():
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if name not in expected:
            problems.append(f"unexpected {name} {shape}")
        elif shape != tuple(expected[name].shape):
            problems.append(f"{name} has shape {shape}, the network {tuple(expected[name].shape)}")
    if problems:
        raise CheckpointError(
            path,
            "model",
            f"{len(problems)} differing parameters:\n  " + "\n  ".join(problems) + "\n",
            "the parameters of this task's network",
            "Use the network section and the task that the checkpoint was trained with.",
        )


# -- a folder of them ------------------------------------------------------------------------------------------------


class Checkpoints:
    """The checkpoints of one run. Trouble with the disk never stops training: it warns once and tries again next time.

    Args:
        folder: the run's ``nn/``.
        keep: how many of the periodic ``last_*`` files stay.
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 5) -> None:
        self.folder, self.keep = Path(folder), keep
        self._warned = False

    def clean(self) -> None:
        """Remove temporary files that a killed run left. Call it once at start, holding the run folder's lock."""
        for litter in self.folder.glob(f"{_TEMPORARY}*"):
            with contextlib.suppress(OSError):
                litter.unlink()

    def save(self, name: str, state: Mapping[str, Any]) -> bool:
        """Write ``<folder>/<name>.pth`` and, for a ``last_*`` name, remove all but the newest ``keep`` of those.

        Returns:
            Whether it was written. If not, nothing has changed on disk.

        Raises:
            CheckpointError: ``state`` holds something that cannot be saved safely.
        """
        path = self.folder / f"{name}.pth"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            others = [other for other in self._files() if other != path]
            save_checkpoint(path, state)
        except OSError as error:
            if not self._warned:
                console.warn(
                    f"could not save '{path}': {error.strerror or error}. Training goes on and will try again at the next save; "
                    "earlier checkpoints are intact. Free space or restore write permission."
                )
            self._warned = True
            return False
        self._warned = False
        console.say(f"=> saving checkpoint '{path}'")
        self._become_newest(path, others)
        if name.startswith("last_"):
            for old in [other for other in others if other.name.startswith("last_")][max(0, self.keep - 1) :]:
                with contextlib.suppress(OSError):
                    old.unlink()
        return True

    def newest(self) -> Path | None:
        """The newest checkpoint that is intact, or None."""
        return next(filter(_intact, self._files()), None)

    def fallback(self, path: str | os.PathLike) -> Path | None:
        """The newest intact checkpoint other than ``path``, or None."""
        return next(
            (other for other in self._files() if other.name != Path(path).name and _intact(other)), None
        )

    def _files(self) -> list[Path]:
        """All checkpoints, newest first."""
        return sorted(self.folder.glob("*.pth"), key=_written, reverse=True)

    def _become_newest(self, path: Path, others: list[Path]) -> None:
        """Keep the order by time true although the clock may have been set back."""
        if others and _written(path) <= _written(others[0]):
            with contextlib.suppress(OSError):
                os.utime(path, ns=(_written(others[0]) + 1, _written(others[0]) + 1))


def _written(path: Path) -> int:
    """Time of the last change, nanoseconds; 0 when the file is gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _intact(path: Path) -> bool:
    try:
        verify_checkpoint(path)
    except CheckpointError:
        return False
    return True


# -- random numbers --------------------------------------------------------------------------------------------------


def rng_state() -> dict[str, Any]:
    """The states of torch's, numpy's and Python's global random number generators, as tensors and numbers."""
    numpy_state: Any = numpy.random.get_state(legacy=False)
    version, words, gauss = random.getstate()
    state = {
        "torch": torch.get_rng_state(),
        "numpy": {
            "key": torch.from_numpy(numpy_state["state"]["key"].astype(numpy.int64)),
            "pos": int(numpy_state["state"]["pos"]),
            "has_gauss": int(numpy_state["has_gauss"]),
            "gauss": float(numpy_state["gauss"]),
        },
        "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
    }
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Put the generators into what ``rng_state`` returned. CUDA states apply where the number of devices is the same."""
    torch.set_rng_state(state["torch"])
    words = state["numpy"]
    numpy.random.set_state(
        {
            "bit_generator": "MT19937",
            "state": {"key": words["key"].numpy().astype(numpy.uint32), "pos": words["pos"]},
            "has_gauss": words["has_gauss"],
            "gauss": words["gauss"],
        }
    )
    python = state["python"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    if torch.cuda.is_available() and len(state.get("cuda", [])) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
