"""The clips in the package, and paths of motion files."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from manybody.config.files import expanded
from manybody.motion.errors import MotionError

FOLDER = Path(__file__).parent / "clips"


def bundled_clips() -> tuple[str, ...]:
    """List the names of the clips in the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.npz")))


def find_motion(source: str | os.PathLike, folder: Path = Path()) -> Path:
    """Return the file of ``source``: a path, relative to ``folder``, or the name of a bundled clip.

    Raises:
        MotionError: ``source`` has no suffix and is neither a bundled clip nor a file.
    """
    path = Path(expanded(source))
    if path.suffix or len(path.parts) != 1 or (folder / path).is_file():
        return folder / path
    names = bundled_clips()
    if path.name not in names:
        near = difflib.get_close_matches(path.name, names, n=1)
        advice = f"Did you mean '{near[0]}'?" if near else ""
        raise MotionError("file", f"no clip '{path.name}'", f"a file or a bundled clip: {', '.join(names)}", advice)
    return FOLDER / f"{path.name}.npz"


def with_absolute_paths(source: str | Sequence[str]) -> str | list[str]:
    """Make the paths in ``source``, one motion or several, absolute; keep names of bundled clips."""
    if not isinstance(source, str):
        return [str(with_absolute_paths(one)) for one in source]
    found = find_motion(source)
    return source if found.parent == FOLDER else str(found.absolute())
