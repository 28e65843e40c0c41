"""The checkpoints of one run: the best, the newest, and which are deleted.

A file stores its kind: ``best`` (policy), ``last`` (periodic) or ``saved`` (on request). File names decide only for
files without a kind, from earlier versions and RL Games.
"""

import contextlib
import itertools
import os
import pickletools
import re
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from manybody.config import ConfigError, load_yaml
from manybody.config.files import TEMPORARY
from manybody.data.tree import State
from manybody.engine import console
from manybody.engine.checkpoint import (
    FORMAT_KEY,
    is_intact,
    modified_ns,
    newest_first,
    open_archive,
    save_checkpoint,
)

Kind = Literal["best", "last", "saved"]
KIND_KEY = "manybody_kind"
"""Stored directly after the format, so that it can be read from the first bytes."""
_HEAD = 512
"""Bytes of the pickle that contain format and kind."""
_LAST = re.compile(r"last_.+_(ep|frame)_\d+_rew_.+", re.DOTALL)
_NUMBERED = re.compile(r".+_(ep|frame)_\d+_rew_.+", re.DOTALL)


class Checkpoints:
    """The checkpoints of one run. A disk error is a warning, once, and never stops training.

    Args:
        folder: the run's ``nn/``.
        keep: number of ``last`` files to keep; None: all.
    """

    def __init__(self, folder: str | Path, keep: int | None = None) -> None:
        self.folder, self.keep = Path(folder), keep
        self._warned = False

    def clean(self) -> None:
        """Remove temporary files of a killed run. Needs the run folder's lock."""
        for file in self.folder.glob(f"{TEMPORARY}*"):
            if file.suffix == "":  # a run's name may begin like this; its files end in .pth
                with contextlib.suppress(OSError):
                    file.unlink()

    def save(self, name: str, state: State, kind: Kind = "saved", last_chance: bool = False) -> Path | None:
        """Write ``<folder>/<name>.pth``; for ``last``, remove all but the newest ``keep``.

        ``best`` and ``last`` never replace a file of another kind: they take ``<name>_2.pth`` and so on.

        Args:
            name: file name without suffix.
            state: the content.
            kind: the kind of checkpoint.
            last_chance: report a failure even if an earlier one was reported, because training ends here.

        Returns:
            The file, or None if it was not written; then nothing has changed on disk.

        Raises:
            CheckpointError: ``state`` contains a type that cannot be saved safely.
        """
        path = self._free_path(name, kind)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            others = [other for other in newest_first(self.folder) if other != path]
            save_checkpoint(path, of_kind(kind, state))
        except OSError as error:
            self._report(path, error, last_chance)
            return None
        self._warned = False
        console.log(f"=> saving checkpoint '{path}'")
        _make_newest(path, others)
        if kind == "last" and self.keep is not None:
            for old in list(filter(self._is_deletable, others))[max(0, self.keep - 1) :]:
                with contextlib.suppress(OSError):
                    old.unlink()
        return path

    def best(self) -> Path | None:
        """Return the newest intact ``best`` checkpoint, or else the newest of unknown kind, or None."""
        unknown = []
        for file in newest_first(self.folder):
            kind = self.kind(file)
            if kind == "best" and is_intact(file):
                return file
            unknown += [file] if kind is None else []
        return next(filter(is_intact, unknown), None)

    def newest(self) -> Path | None:
        """Return the newest intact checkpoint, or None."""
        return next(filter(is_intact, newest_first(self.folder)), None)

    def kind(self, file: Path) -> Kind | None:
        """Return the kind of ``file``; None if neither content nor name shows it."""
        return _read_kind(file)[1] or _kind_by_name(file.stem, self._run_name)

    @cached_property
    def _run_name(self) -> str | None:
        return run_name(self.folder.parent / "config.yaml")

    def _is_deletable(self, file: Path) -> bool:
        """Return whether ``file`` may be deleted: it is of kind ``last`` and this library wrote it."""
        written_here, _ = _read_kind(file)
        return written_here and self.kind(file) == "last"

    def _free_path(self, name: str, kind: Kind) -> Path:
        for number in itertools.count(1):
            path = self.folder / f"{name}{f'_{number}' if number > 1 else ''}.pth"
            if kind == "saved" or not path.exists():
                break
            stored = _read_kind(path)[1]
            if stored == kind or (stored is None and (_kind_by_name(path.stem) in (None, kind) or not is_intact(path))):
                break
        return path

    def _report(self, path: Path, error: OSError, last_chance: bool) -> None:
        failed = f"could not save '{path}': {error.strerror or error}."
        if last_chance:
            newest = self.newest()
            kept = f"the newest checkpoint is '{newest}'" if newest else "there is no checkpoint"
            console.warn(f"{failed} Training since the last save is lost; {kept}.")
        elif not self._warned:
            console.warn(
                f"{failed} Training continues and tries again at the next save; earlier checkpoints are intact. "
                "Free space or permit writing."
            )
        self._warned = True


def of_kind(kind: Kind, state: State) -> State:
    """Return ``state`` with ``kind`` as its first entry."""
    return {KIND_KEY: kind, **{key: part for key, part in state.items() if key != KIND_KEY}}


def run_name(config_file: Path) -> str | None:
    """Read ``config.name`` from a run folder's configuration; None if it cannot be read."""
    try:
        content = load_yaml(config_file)
    except ConfigError:
        return None
    node = content.get("train", content)
    for key in ("params", "config", "name"):
        node = node.get(key) if isinstance(node, dict) else None
    return None if node is None else str(node)


def _read_kind(path: Path) -> tuple[bool, Kind | None]:
    """Return whether this library wrote ``path``, and its stored kind. Reads only the beginning of the file."""
    try:
        file, _ = open_archive(path)
        with file, zipfile.ZipFile(file) as archive:
            entry = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(entry) as pickled:
                head = pickled.read(_HEAD)
        tokens = _tokens(head)
        if [next(tokens) for _ in range(3)] != ["EMPTY_DICT", "MARK", FORMAT_KEY]:
            return False, None
        _, key, kind = (next(tokens) for _ in range(3))
        return True, kind if key == KIND_KEY and kind in ("best", "last", "saved") else None
    except Exception:  # zipfile and pickletools raise a dozen types on damaged input
        return False, None


def _tokens(pickled: bytes) -> Any:
    """Yield the argument, or else the name, of each instruction of a pickle that pushes a value."""
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name not in ("PROTO", "BINPUT", "LONG_BINPUT"):
            yield opcode.name if argument is None else argument


def _kind_by_name(stem: str, run: str | None = None) -> Kind | None:
    """Return the kind of a file by RL Games' name: ``<run>`` is best, ``last_<any>_ep_<N>_rew_<R>`` is last.

    ``<any>_ep_<N>_rew_<R>`` is saved: RL Games writes it when the target return is reached.
    """
    if stem == run:
        return "best"
    if _LAST.fullmatch(stem):
        return "last"
    return "saved" if _NUMBERED.fullmatch(stem) else None


def _make_newest(path: Path, others: list[Path]) -> None:
    """Make ``path`` the newest file even if the clock was set back."""
    if others and modified_ns(path) <= modified_ns(others[0]):
        with contextlib.suppress(OSError):
            os.utime(path, ns=(modified_ns(others[0]) + 1, modified_ns(others[0]) + 1))
