"""The checkpoints of one run: which is the best, which is the newest, and which are deleted.

A file holds its kind itself: the best policy, a place where training stood, or what somebody saved. Names count only
for files without a kind, which earlier versions and RL Games wrote.
"""

import contextlib
import itertools
import os
import pickletools
import re
import zipfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from manybody.config import ConfigError, load_yaml
from manybody.config.files import TEMPORARY
from manybody.engine import console
from manybody.engine.checkpoint import (
    FORMAT_KEY,
    is_intact,
    newest_first,
    open_archive,
    save_checkpoint,
    written,
)

Kind = Literal["best", "last", "saved"]
KIND_KEY = "manybody_kind"
"""Its place in a file is right behind the format, so that a few bytes tell it."""
_HEAD = 512
"""Bytes of the pickled part that hold format and kind."""
_LAST = re.compile(r"last_.+_(ep|frame)_\d+_rew_.+", re.DOTALL)
_NUMBERED = re.compile(r".+_(ep|frame)_\d+_rew_.+", re.DOTALL)


class Checkpoints:
    """The checkpoints of one run. Trouble with the disk warns once and never stops training.

    Args:
        folder: the run's ``nn/``.
        keep: how many ``last`` files stay; None: all.
    """

    def __init__(self, folder: str | Path, keep: int | None = None) -> None:
        self.folder, self.keep = Path(folder), keep
        self._warned = False

    def clean(self) -> None:
        """Remove temporary files that a killed run left. Call it at start, holding the run folder's lock."""
        for litter in self.folder.glob(f"{TEMPORARY}*"):
            if litter.suffix == "":  # a run may be called like one; its files end in .pth
                with contextlib.suppress(OSError):
                    litter.unlink()

    def save(self, name: str, state: Mapping[str, Any], kind: Kind = "saved", last_chance: bool = False) -> Path | None:
        """Write ``<folder>/<name>.pth``; where ``kind`` is ``last``, remove all but the newest ``keep`` of those.

        ``best`` and ``last`` never replace a file of another kind: they take ``<name>_2.pth`` and so on.

        Args:
            name: of the file.
            state: what to keep.
            kind: what it is.
            last_chance: training ends here; a failure is reported even if the one before was.

        Returns:
            The file. None when it was not written; then nothing has changed on disk.

        Raises:
            CheckpointError: ``state`` holds something that cannot be saved safely.
        """
        path = self._place(name, kind)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            others = [other for other in newest_first(self.folder) if other != path]
            save_checkpoint(path, of_kind(kind, state))
        except OSError as error:
            self._report(path, error, last_chance)
            return None
        self._warned = False
        console.log(f"=> saving checkpoint '{path}'")
        _become_newest(path, others)
        if kind == "last" and self.keep is not None:
            for old in list(filter(self._is_our_last, others))[max(0, self.keep - 1) :]:
                with contextlib.suppress(OSError):
                    old.unlink()
        return path

    def best(self) -> Path | None:
        """The newest intact checkpoint that is the best of its run, or None.

        Where no file has that kind or name, that is a file without a kind whose name RL Games gives to no other kind.
        """
        unknown = []
        for file in newest_first(self.folder):
            kind = self.kind(file)
            if kind == "best" and is_intact(file):
                return file
            unknown += [file] if kind is None else []
        return next(filter(is_intact, unknown), None)

    def newest(self) -> Path | None:
        """The newest intact checkpoint, or None."""
        return next(filter(is_intact, newest_first(self.folder)), None)

    def kind(self, file: Path) -> Kind | None:
        """What ``file`` is; None where neither content nor name shows it."""
        return _stored(file)[1] or _named(file.stem, self._run_name)

    @cached_property
    def _run_name(self) -> str | None:
        return run_name(self.folder.parent / "config.yaml")

    def _is_our_last(self, file: Path) -> bool:
        """Whether it may be deleted: a client's own files are none of ours, whatever they are called."""
        ours, _ = _stored(file)
        return ours and self.kind(file) == "last"

    def _place(self, name: str, kind: Kind) -> Path:
        for number in itertools.count(1):
            path = self.folder / f"{name}{f'_{number}' if number > 1 else ''}.pth"
            if kind == "saved" or not path.exists():
                break
            stored = _stored(path)[1]
            if stored == kind or (stored is None and (_named(path.stem) in (None, kind) or not is_intact(path))):
                break
        return path

    def _report(self, path: Path, error: OSError, last_chance: bool) -> None:
        failed = f"could not save '{path}': {error.strerror or error}."
        if last_chance:
            newest = self.newest()
            kept = f"the newest checkpoint is '{newest}'" if newest else "there is no checkpoint"
            console.warn(f"{failed} What was learned since the last save is lost; {kept}.")
        elif not self._warned:
            console.warn(
                f"{failed} Training continues and tries again at the next save; earlier checkpoints are intact. "
                "Free space or permit writing."
            )
        self._warned = True


def of_kind(kind: Kind, state: Mapping[str, Any]) -> dict[str, Any]:
    """``state`` with ``kind`` in the place where it is read from, whatever it held before."""
    return {KIND_KEY: kind, **{key: part for key, part in state.items() if key != KIND_KEY}}


def run_name(config_file: Path) -> str | None:
    """``config.name`` in the configuration that a run folder keeps; None where it cannot be read."""
    try:
        content = load_yaml(config_file)
    except ConfigError:
        return None
    node = content.get("train", content)
    for key in ("params", "config", "name"):
        node = node.get(key) if isinstance(node, dict) else None
    return None if node is None else str(node)


def _stored(path: Path) -> tuple[bool, Kind | None]:
    """Whether this library wrote ``path``, and the kind that it holds. Reads the beginning of the file alone."""
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
    """The instructions of a pickle that put something on the stack: their arguments, or else their names."""
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name not in ("PROTO", "BINPUT", "LONG_BINPUT"):
            yield opcode.name if argument is None else argument


def _named(stem: str, run: str | None = None) -> Kind | None:
    """The kind of a file without one, by its name ``stem`` as RL Games gives it.

    ``<run>``, exactly, is the best of a run of that name, ``last_<any>_ep_<N>_rew_<R>`` a place where training stood.
    The same without ``last_`` is where RL Games' training has won. Another name may be the best of any run.
    """
    if stem == run:
        return "best"
    if _LAST.fullmatch(stem):
        return "last"
    return "saved" if _NUMBERED.fullmatch(stem) else None


def _become_newest(path: Path, others: list[Path]) -> None:
    """Keep the order by time true although the clock may have been set back."""
    if others and written(path) <= written(others[0]):
        with contextlib.suppress(OSError):
            os.utime(path, ns=(written(others[0]) + 1, written(others[0]) + 1))
