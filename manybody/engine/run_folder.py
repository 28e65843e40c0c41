"""The folder of a run: its files, its lock, and how to find it."""

import contextlib
import errno
import itertools
import os
import re
import shlex
import time
from pathlib import Path

from manybody.config.errors import ManybodyError
from manybody.config.files import expanded
from manybody.engine.checkpoint.kept import Checkpoints

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

_MAX_NAME = 160
"""Maximum bytes of a name: file systems allow 255, and checkpoints append epoch and reward."""


class RunFolderError(ManybodyError, ValueError):
    """A run folder that cannot be created, found or written."""


def check_name(name: str, key: str = "experiment") -> None:
    """Check that ``name``, from the setting ``key``, can name a run and its checkpoints.

    Raises:
        RunFolderError: the name is empty, too long, a path, or has characters that file names cannot contain.
    """
    problem = None
    if not name or name in (".", "..") or name != name.strip():
        problem = "a name cannot be empty, '.', '..' or begin or end with a space"
    elif "/" in name or "\\" in name:
        problem = "a name cannot contain a path separator; set train_dir to choose the folder of runs"
    elif not name.isprintable():
        problem = "a name cannot contain control characters"
    elif len(os.fsencode(name)) > _MAX_NAME:
        problem = f"a name can be {_MAX_NAME} bytes long, this one has {len(os.fsencode(name))}"
    if problem:
        shown = name if len(name) <= 60 else name[:57] + "..."
        raise RunFolderError(f"run name {shown!r}: {problem}. Give another one with {key}=<name>.")


class RunFolder:
    """A run's ``config.yaml``, ``nn/``, ``summaries/``, ``metrics.jsonl``, ``videos/`` and ``curve.png``.

    Use ``create`` (a new run, locked for this process), ``resume`` (an existing one, locked) or ``open`` (to read).
    The operating system releases the lock when the process ends.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(os.path.abspath(path))
        self.nn = self.path / "nn"
        self.summaries = self.path / "summaries"
        self.videos = self.path / "videos"
        self.config_file = self.path / "config.yaml"
        self.metrics_file = self.path / "metrics.jsonl"
        self.curve_file = self.path / "curve.png"
        self._lock: int | None = None

    @classmethod
    def create(cls, train_dir: str | os.PathLike, name: str, experiment: str = "") -> "RunFolder":
        """Create ``<train_dir>/<name>_<day-hour-minute-second>``, or ``<train_dir>/<experiment>``.

        Validate everything else first: this is the first write of a run.

        Raises:
            RunFolderError: an invalid name; a folder that another process writes or that contains a run; a
                ``train_dir`` that cannot be written.
        """
        check_name(experiment or name)
        stem = experiment or f"{name}_{time.strftime('%d-%H-%M-%S')}"  # RL Games' time stamp
        for number in itertools.count(1):  # a second run in the same second gets _2
            folder = cls(Path(expanded(train_dir)) / (stem if number == 1 else f"{stem}_{number}"))
            try:
                folder.path.mkdir(parents=True, exist_ok=bool(experiment))
                folder._make()
                break
            except FileExistsError:
                if experiment or not folder.path.is_dir():
                    raise RunFolderError(f"{folder.path}: got a file; expected a folder. Remove it.") from None
            except OSError as error:
                raise _unwritable(folder.path, error) from None
        try:
            if experiment:
                folder._refuse_a_run()
        except RunFolderError:
            folder.close()
            raise
        return folder

    @classmethod
    def check_new(cls, train_dir: str | os.PathLike, name: str, experiment: str = "") -> None:
        """Raise the errors of :meth:`create` without writing, except for a folder that another process writes."""
        check_name(experiment or name)
        folder = cls(Path(expanded(train_dir)) / (experiment or name))
        if experiment:
            folder._refuse_a_run()
        existing = next(place for place in (folder.path, *folder.path.parents) if os.path.lexists(place))
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            code = errno.EACCES if existing.is_dir() else errno.ENOTDIR
            raise _unwritable(existing, OSError(code, os.strerror(code)))

    def _refuse_a_run(self) -> None:
        if any(self.nn.glob("*.pth")) or self.metrics_file.exists():
            raise RunFolderError(
                f"{self.path}: got a folder that contains a run; expected a new or empty one. Resume the run with "
                f"{shlex.quote(f'checkpoint={self.path}')}, or choose another experiment=<name>."
            )

    @classmethod
    def open(cls, path: str | os.PathLike) -> "RunFolder":
        """Open an existing run folder for reading.

        Raises:
            RunFolderError: there is no run at ``path``.
        """
        folder = cls(expanded(path))
        if not folder.nn.is_dir():
            inside = sorted(nn.parent.name for nn in folder.path.glob("*/nn"))
            hint = f" It contains runs, for example {folder.path / inside[-1]}." if inside else ""
            raise RunFolderError(
                f"{folder.path}: got a folder without nn/; expected a run folder of `manybody train`.{hint}"
            )
        return folder

    @classmethod
    def resume(cls, path: str | os.PathLike) -> "RunFolder":
        """Open an existing run folder for writing, locked for this process.

        Raises:
            RunFolderError: there is no run at ``path``, another process writes it, or it cannot be written.
        """
        folder = cls.open(path)
        try:
            folder._make()
        except OSError as error:
            raise _unwritable(folder.path, error) from None
        return folder

    @classmethod
    def resolve(
        cls, path: str | os.PathLike | None, train_dir: str | os.PathLike = "runs", task: str | None = None
    ) -> "tuple[RunFolder, Path]":
        """Find a run folder and a checkpoint to play or to resume.

        Args:
            path: a run folder, a checkpoint file, or None: the newest run in ``train_dir`` (of ``task``).
            train_dir: the folder of runs.
            task: name of a task, as in the run's ``config.yaml``.

        Returns:
            The run folder, and its checkpoint: ``path`` if it is one, else the best intact one, else the newest.

        Raises:
            RunFolderError: there is none.
        """
        path = Path(expanded(path)) if path else find_newest(train_dir, task)
        if path.is_file():
            parent = path.absolute().parent
            return cls(parent.parent if parent.name == "nn" else parent), path
        if not path.exists():
            raise RunFolderError(
                f"{path}: got a path that does not exist; expected a run folder or a checkpoint file (.pth). Check the "
                "path, or omit it to use the newest run."
            )
        folder = cls.open(path)
        checkpoint = folder.best() or folder.newest()
        if checkpoint is None:
            raise RunFolderError(
                f"{folder.nn}: got no intact checkpoint; expected one. Train longer or use another run."
            )
        return folder, checkpoint

    def best(self) -> Path | None:
        """Return the intact checkpoint of the best mean return, ``nn/<name>.pth``, or None."""
        return Checkpoints(self.nn).best()

    def newest(self) -> Path | None:
        """Return the newest intact checkpoint, or None."""
        return Checkpoints(self.nn).newest()

    def lock(self) -> None:
        """Lock the folder for this process, if it is not locked yet.

        Raises:
            RunFolderError: another process writes here.
        """
        if self._lock is not None:
            return
        lock = os.open(self.path / "run.lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise RunFolderError(
                f"{self.path}: process {holder} is writing here. Wait for it, stop it, or choose another "
                "experiment=<name>."
            ) from None
        except OSError:
            pass  # some network file systems have no locks: run without one
        with contextlib.suppress(OSError):
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _make(self) -> None:
        for part in (self.nn, self.summaries, self.videos):
            part.mkdir(exist_ok=True)
        self.lock()
        Checkpoints(self.nn).clean()


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"{path}: cannot be written ({error.strerror or error}). Choose another train_dir=<folder>.")


def find_newest(train_dir: str | os.PathLike, task: str | None = None) -> Path:
    """Find the run folder in ``train_dir`` (of ``task``) with the newest checkpoint.

    Raises:
        RunFolderError: there is none.
    """
    written = []
    runs = Path(expanded(train_dir))
    for nn in (*runs.glob("*/nn"), *runs.glob("*/*/nn")):  # a sweep's runs are one folder deeper
        times = [file.stat().st_mtime_ns for file in nn.glob("*.pth")]
        if times:
            written.append((max(times), nn.parent))
    for _, folder in sorted(written, reverse=True):
        if task is None or _task_name(folder / "config.yaml") == task:
            return folder
    wanted, choice = (f"run of {task}", f" task={task}") if task else ("run", "")
    raise RunFolderError(
        f"{runs.absolute()}: no {wanted} with a checkpoint here. Train one first: manybody train{choice}."
    )


def _task_name(config_file: Path) -> str | None:
    """Read ``task_name`` from a saved configuration, by line: the file may be damaged."""
    with contextlib.suppress(OSError):
        text = config_file.read_text(encoding="utf-8", errors="replace")
        if match := re.search(r"^task_name:\s*['\"]?([^'\"\s#]+)", text, flags=re.MULTILINE):
            return match.group(1)
    return None
