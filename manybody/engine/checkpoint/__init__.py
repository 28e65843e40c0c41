"""Save and load checkpoints: atomic writes, checks before loading, no code from the file runs."""

import copy
import os
import stat
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from manybody.config.files import expanded, write_whole
from manybody.data.tree import State
from manybody.engine.checkpoint.untrusted import (
    MAX_PICKLE,
    NUMPY_STAND_INS,
    CheckpointError,
    check_archive,
    check_tensors,
    plain,
    uncompiled,
    with_arrays,
)
from manybody.engine.checkpoint.values import check_values
from manybody.registry import built_in

FORMAT = 1
"""Version of the layout, stored under ``FORMAT_KEY``."""
MAX_LISTED = 40
"""Maximum number of differing parameters that a message lists."""
FORMAT_KEY = "manybody_format"


class _File:
    """A binary file that stores the first write error: torch's archive writer must not see an exception."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        """Do nothing: torch calls it, ``save_checkpoint`` flushes later."""


def save_checkpoint(path: str | os.PathLike, state: State) -> None:
    """Write ``state`` to ``path`` atomically (:func:`manybody.config.files.write_whole`).

    Args:
        path: the file, usually ``.pth``.
        state: tensors (any device, saved from the CPU), numbers, strings, None, dicts, lists, tuples. Numpy
            scalars become Python numbers.

    Raises:
        CheckpointError: a value of another type, named by its key, or too much data outside tensors. Nothing is
            written.
        OSError: the disk is full, read-only or missing. The old file is intact and no temporary file remains.
    """
    write_archive(path, {FORMAT_KEY: FORMAT, **state})


def write_archive(path: str | os.PathLike, state: State) -> None:
    """Write ``state`` like :func:`save_checkpoint`, without ``FORMAT_KEY``, for other programs."""
    path = Path(path)
    content = plain(state, "", path)

    def write(file: BinaryIO) -> None:
        guarded = _File(file)
        torch.save(content, guarded)  # type: ignore[arg-type]
        if guarded.error is not None:
            raise guarded.error
        with zipfile.ZipFile(file) as archive:
            pickles = (entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl"))
            size = max(entry.file_size for entry in pickles)
        if size > MAX_PICKLE:
            raise CheckpointError(
                path,
                "state",
                f"{size} bytes outside tensors",
                f"at most {MAX_PICKLE}",
                "Put long lists of numbers into tensors.",
            )

    write_whole(path, write)


def open_archive(path: Path) -> tuple[BinaryIO, int]:
    """Open a regular file that begins like an archive; return it with its size in bytes."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # checked before opening: a pipe would block
            raise _refused(path, "not a regular file")
        file = open(path, "rb")  # noqa: SIM115
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CheckpointError(path, "file", f"{reason}", "a readable checkpoint", "Check the path.") from None
    size = os.fstat(file.fileno()).st_size
    magic = file.read(4)
    if magic != b"PK\x03\x04":
        file.close()
        if magic == b"\x80\x02\x8a\x0a":  # the pickled magic number of such files
            given = "a file of PyTorch before 1.6, a bare pickle, which cannot be checked"
            advice = "If you trust it: torch.save(torch.load(old, weights_only=True), new)."
            raise CheckpointError(path, "file", given, "a PyTorch archive", advice)
        raise _refused(path, "an empty file" if size == 0 else f"a file that begins with {magic!r}")
    return file, size


def _escaped(text: object) -> str:
    """Escape text from the file for the terminal."""
    return str(text).encode("unicode_escape").decode()[:200]


def _refused(path: Path, found: str) -> CheckpointError:
    whole = f"an intact checkpoint (PyTorch archive, format {FORMAT})"
    return CheckpointError(path, "file", _escaped(found), whole, "It was not loaded.")


def _check_file(path: Path, file: BinaryIO, size: int, tensors: bool = True) -> None:
    try:
        problem = check_archive(file, size, tensors)
    except Exception as error:  # zipfile and pickletools raise a dozen types on damaged input
        problem = f"a damaged archive ({type(error).__name__}: {error})"
    if problem is not None:
        raise _refused(path, problem)


def verify_checkpoint(path: str | os.PathLike) -> None:
    """Check that ``path`` is intact and safe, without loading it.

    Raises:
        CheckpointError: it is not.
    """
    file, size = open_archive(Path(path))
    with file:
        _check_file(Path(path), file, size)


def load_checkpoint(path: str | os.PathLike, mapped: bool = False) -> State:
    """Load a checkpoint of ``save_checkpoint`` or of RL Games to the CPU. No code from the file runs.

    The archive's checksums and names are verified first. If the file is damaged, the error suggests the newest intact
    checkpoint of the folder.

    Args:
        path: the file.
        mapped: memory-map tensors without verifying their checksums, to read a few values of a large file.

    Returns:
        The state; numpy scalars of RL Games' files are Python numbers.

    Raises:
        CheckpointError: the file cannot be used.
    """
    path = Path(expanded(path))
    try:
        file, size = open_archive(path)
        with file:
            _check_file(path, file, size, tensors=not mapped)
            file.seek(0)
            source = path if mapped else file
            try:
                with torch.serialization.safe_globals(NUMPY_STAND_INS):
                    state = torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
            except Exception as error:
                raise _refused(path, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from None
        problem = check_tensors(state)
        if problem is not None:
            raise _refused(path, problem)
        try:
            state = uncompiled(with_arrays(state))
        except ValueError as error:
            raise _refused(path, str(error)) from None
    except CheckpointError as error:
        others = (other for other in newest_first(path.parent) if other.name != path.name)
        other = next(filter(is_intact, others), None)
        if other is None:
            raise
        quoted = str(other).replace("'", "'\"'\"'")  # quoted for the shell
        advice = f"The newest intact checkpoint in that folder is '{other}': use checkpoint='{quoted}'."
        raise CheckpointError(path, error.field, error.given, error.expected, advice) from None
    known = isinstance(state, dict) and (
        FORMAT_KEY in state or any(isinstance(state.get(part), dict) for part in ("model", "actor"))
    )
    if not known:
        given = f"keys {sorted(map(_escaped, state))[:8]}" if isinstance(state, dict) else type(state).__name__
        raise CheckpointError(
            path,
            FORMAT_KEY,
            given,
            "a training checkpoint",
            "It may contain only weights, or be from another program.",
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


def require(state: State, key: str, path: str | os.PathLike) -> Any:
    """Return ``state[key]``.

    Raises:
        CheckpointError: there is no such key; the message lists the keys.
    """
    if key not in state:
        raise CheckpointError(
            path,
            key,
            f"only {', '.join(sorted(map(_escaped, state))[:20])}",
            f"'{key}'",
            "Another algorithm or an older version saved it. Use one that this algorithm has saved.",
        )
    return state[key]


def named(state: State, key: str, path: str | os.PathLike) -> State:
    """Return ``state[key]``, a mapping of names to tensors.

    Raises:
        CheckpointError: it is missing or not a mapping.
    """
    part = state.get(key)
    if not isinstance(part, Mapping):
        given = f"only {', '.join(sorted(map(str, state)))}" if key not in state else type(part).__name__
        raise CheckpointError(path, key, given, f"'{key}', by name", "It is not a checkpoint of a policy.")
    return part


def plain_optimizer(state: State, key: str, path: str | os.PathLike) -> State:
    """Return the state of an optimiser with settings as Python numbers, which RL Games' code requires."""
    optimizer = named(state, key, path)
    groups = [
        {name: float(value) if isinstance(value, Tensor) else value for name, value in group.items()}
        for group in optimizer.get("param_groups", [])
    ]
    return {"state": optimizer.get("state", {}), "param_groups": groups}


def check_algorithm(algo: str, state: State, path: str | os.PathLike) -> None:
    """Raise CheckpointError for the checkpoint of another built-in algorithm; accept users' algorithms and RL Games."""
    given = state.get("algo", algo)
    if not isinstance(given, str):
        advice = "The file is damaged or of another program."
        raise CheckpointError(path, "algo", _escaped(repr(given)), "the name of an algorithm", advice)
    if given != algo and {given, algo} <= built_in().keys():
        advice = "Set algo.name, model and network as in the config.yaml of the run that saved it."
        raise CheckpointError(path, "algo", f"a checkpoint of '{given}'", f"one of '{algo}'", advice)


def check_state_dict(
    expected: Mapping[str, Tensor],
    given: Mapping[str, object],
    path: str | os.PathLike,
    part: str = "model",
) -> None:
    """Check names, shapes and values of parameters before ``load_state_dict``.

    Raises:
        CheckpointError: the message lists every missing, unexpected and mismatching parameter with both shapes, or
            names the first with non-finite values.
    """
    if not isinstance(given, Mapping):
        what = "named parameters"
        raise CheckpointError(path, part, type(given).__name__, what, "It is not a checkpoint of a policy.")
    networks, saved = _networks(expected), _networks(given)
    if networks and saved and not networks & saved:
        advice = "Another algorithm saved it: set algo.name, model and network as in its run."
        raise CheckpointError(path, part, f"the parameters of {saved}", f"those of {networks}", advice)
    problems = [f"missing {name} {tuple(value.shape)}" for name, value in expected.items() if name not in given]
    for name, value in given.items():
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if name not in expected:
            problems.append(f"unexpected {_escaped(name)} {shape}")
        elif shape != tuple(expected[name].shape):
            problems.append(f"{name} has shape {shape}, the network {tuple(expected[name].shape)}")
    if problems:
        raise CheckpointError(
            path,
            part,
            f"{len(problems)} differing parameters",
            "those of this task's network",
            "Use the network section and the task that the checkpoint was trained with:\n  "
            + "\n  ".join([*problems[:MAX_LISTED], *(["..."] if len(problems) > MAX_LISTED else [])]),
        )
    check_values(given, path)


def load_optimizer(optimizer: Any, state: State, key: str, path: str | os.PathLike) -> None:
    """Load a copy of ``state[key]`` into ``optimizer``: the optimiser will write into the tensors that it loads.

    Raises:
        CheckpointError: the state is missing, not finite or of other parameters.
    """
    given = require(state, key, path)
    groups = given.get("param_groups") if isinstance(given, Mapping) else None
    if not isinstance(groups, list) or not isinstance(given.get("state"), Mapping):
        found = f"keys {sorted(map(_escaped, given))[:8]}" if isinstance(given, Mapping) else type(given).__name__
        advice = "The file is damaged or of another program."
        raise CheckpointError(path, key, found, "the state of an optimiser", advice)
    check_values({key: given}, path)
    try:
        numbers = [number for group in groups for number in group["params"]]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for number, parameter in zip(numbers, parameters, strict=True):
            for name, moment in given["state"].get(number, {}).items():
                if isinstance(moment, Tensor) and moment.numel() > 1 and moment.shape != parameter.shape:
                    what = f"{name} of shape {tuple(moment.shape)} for a parameter {tuple(parameter.shape)}"
                    raise ValueError(what)
        optimizer.load_state_dict(copy.deepcopy(given))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        found = f"a state that does not load ({type(error).__name__}: {error})"
        advice = "Use the network section and the algorithm that the checkpoint was trained with."
        raise CheckpointError(path, key, found, "that of this optimiser", advice) from None


def _networks(names: Iterable[object]) -> set[str]:
    """Return the networks that the parameters belong to, such as ``a2c_network``."""
    return {part for name in names for part in str(name).split(".")[:1] if part.endswith("_network")}


def newest_first(folder: str | os.PathLike) -> list[Path]:
    """Return the checkpoint files in ``folder``, newest first."""
    return sorted(Path(folder).glob("*.pth"), key=modified_ns, reverse=True)


def modified_ns(path: Path) -> int:
    """Return modification time in nanoseconds; 0 if there is no such file."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def is_intact(path: Path) -> bool:
    """Return whether ``path`` is an intact and safe checkpoint."""
    try:
        verify_checkpoint(path)
    except CheckpointError:
        return False
    return True
