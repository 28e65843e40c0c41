"""The clips that come with the library."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from manybody.config.files import expanded
from manybody.motion.errors import MotionError

FOLDER = Path(__file__).parent / "clips"
"""Where they lie."""


def shipped() -> tuple[str, ...]:
    """Their names."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.npz")))


def find_motion(source: str | os.PathLike, folder: Path = Path()) -> Path:
    """The file that ``source`` means: a shipped clip by its name, everything else as it is.

    Args:
        source: a path or a name.
        folder: where relative paths begin.

    Raises:
        MotionError: a name without an ending that is no shipped clip and no file; lists those there are.
    """
    path = Path(expanded(source))
    if path.suffix or len(path.parts) != 1 or (folder / path).is_file():
        return folder / path
    if path.name not in shipped():
        expected = f"a file, or one of the clips that come along: {', '.join(shipped())}"
        near = difflib.get_close_matches(path.name, shipped(), n=1)
        advice = f"Did you mean '{near[0]}'?" if near else ""
        raise MotionError("file", f"no clip '{path.name}'", expected, advice)
    return FOLDER / f"{path.name}.npz"


def anchored(source: str | Sequence[str]) -> str | list[str]:
    """``source``, one motion or several, with whole paths in place of relative ones; names of shipped clips stay."""
    if not isinstance(source, str):
        return [str(anchored(one)) for one in source]
    found = find_motion(source)
    return source if found.parent == FOLDER else str(found.absolute())
