"""A motion clip and its file: frames of a skeleton at a fixed rate.

The file is an uncompressed or compressed NumPy archive (``.npz``, nothing pickled) with these arrays; T frames of B
bodies, SI units, z up, quaternions wxyz:

=================== =============== ====================================================================
``format``          () int          1
``fps``             () float        frames per second, 1 to 1000
``body_names``      (B,) text       each name once; the root comes first
``parents``         (B,) int        -1 for the root, for every other body the place of an earlier one
``local_rotations`` (T, B, 4) float from each body's axes to its parent's; the root's to the world's
``root_translation`` (T, 3) float   the root's origin in the world, m
``licence``         () text         who made the motion and what may be done with it
``offsets``         (B, 3) float    may be missing: each body's origin in its parent's axes, m; root unused
=================== =============== ====================================================================
"""

import dataclasses
import io
import math
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from manybody.config.files import write_whole
from manybody.motion.errors import MotionError, read_from, shown
from manybody.motion.files import MAX_BYTES, read_array_header, read_bytes
from manybody.motion.unsupported import refuse_keys

FORMAT = 1
"""Version of the layout that this code writes."""
UNIT_TOLERANCE = 1e-2
"""How far from 1 the length of a quaternion may be: text formats round to a few digits."""
RATES = (1.0, 1000.0)
"""Least and most frames per second: beyond them no motion was captured, and times and speeds lose their digits."""
FARTHEST = 1e6
"""Largest coordinate, in m or in the unit of a file: beyond it float32 knows no centimetres, and speeds overflow."""
TURNED = 0.9
"""Where the last part of most quaternions is above it, most bodies seem to stand half a turn from their parents."""

_REQUIRED = ("format", "fps", "body_names", "parents", "local_rotations", "root_translation", "licence")
_KEYS = (*_REQUIRED, "offsets")


@dataclass(frozen=True, eq=False)
class Clip:
    """T frames of a skeleton of B bodies. Checked and immutable: the arrays are read-only copies, float32.

    Raises:
        MotionError: a field is of the wrong shape, not finite, or makes no sense; names it.
    """

    fps: float
    """Frames per second, within :data:`RATES`."""
    body_names: Sequence[str]
    """B different names; the root comes first."""
    parents: Sequence[int] | np.ndarray
    """-1 for the root, for every other body the place of an earlier one."""
    local_rotations: np.ndarray
    """(T, B, 4) unit quaternions wxyz, from each body's axes to its parent's; the root's to the world's."""
    root_translation: np.ndarray
    """(T, 3) the root's origin in the world, m, z up."""
    licence: str
    """Who made the motion and what may be done with it."""
    offsets: np.ndarray | None = None
    """(B, 3) each body's origin in its parent's axes, m, the root's unused; None: size unknown."""

    def __post_init__(self) -> None:
        rotations = _floats("local_rotations", self.local_rotations, (None, None, 4), "(T, B, 4)")
        frames, bodies = rotations.shape[:2]
        if frames < 2:
            raise MotionError("local_rotations", f"{frames} frames", "at least 2", "A clip must move.")
        names = _names(self.body_names, bodies)
        fields: dict[str, Any] = {
            "fps": _rate(self.fps),
            "body_names": names,
            "parents": _parents(self.parents, bodies),
            "local_rotations": _unit("local_rotations", rotations, names),
            "root_translation": _floats(
                "root_translation", self.root_translation, (frames, 3), f"({frames}, 3)", FARTHEST
            ),
            "licence": _text("licence", self.licence),
        }
        if self.offsets is not None:
            offsets = _floats("offsets", self.offsets, (bodies, 3), f"({bodies}, 3)", FARTHEST)
            if bodies > 1 and not offsets[1:].any():
                advice = "Leave offsets out where the size is unknown."
                raise MotionError("offsets", "zeros alone", "how far the bodies are from their parents", advice)
            fields["offsets"] = offsets
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                value = value.astype(np.float32)  # always a copy of its own
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def frames(self) -> int:
        """T."""
        return len(self.root_translation)

    @property
    def length(self) -> float:
        """Seconds from the first to the last frame."""
        return (self.frames - 1) / self.fps


def without_repeats(clip: Clip) -> Clip:
    """``clip`` at the rate at which it really moves, where every pose stands there k times in a row; else ``clip``.

    Motions are brought from 30 to 60 frames per second by showing every frame twice. Their velocities would be zero
    and twice too high in turns. Of each run of k equal frames the first is kept (the last run may be cut off), and
    the rate is divided by k.
    """
    poses = np.concatenate((clip.root_translation, clip.local_rotations.reshape(clip.frames, -1)), axis=-1)
    changes = np.flatnonzero((poses[1:] != poses[:-1]).any(axis=-1)) + 1
    starts = np.concatenate(([0], changes))
    runs = np.diff(starts)
    if len(runs) == 0 or runs[0] == 1 or (runs != runs[0]).any() or clip.frames - starts[-1] > runs[0]:
        return clip
    return dataclasses.replace(
        clip,
        fps=clip.fps / int(runs[0]),
        local_rotations=clip.local_rotations[starts],
        root_translation=clip.root_translation[starts],
    )


def save_clip(path: str | os.PathLike, clip: Clip) -> None:
    """Write ``clip`` to ``path``, whole or not at all.

    Args:
        path: the file, ``.npz`` by custom.
        clip: what to keep.

    Raises:
        OSError: the disk is full, read-only, gone. An old file is intact and no temporary file stays.
    """
    fields = {field.name: getattr(clip, field.name) for field in dataclasses.fields(clip)}
    arrays = {key: np.asarray(value) for key, value in fields.items() if value is not None}

    def write(file: BinaryIO) -> None:
        np.savez_compressed(file, allow_pickle=False, format=np.asarray(FORMAT), **arrays)

    write_whole(path, write)


def load_clip(path: str | os.PathLike) -> Clip:
    """Read what :func:`save_clip` wrote. Nothing in the file can run code or fill the memory.

    Raises:
        MotionError: for everything that can be wrong with the file; names the field.
    """
    content = read_bytes(path)
    with read_from(path):
        arrays = _arrays(content)
        version = arrays.pop("format")
        if version.shape != () or version.dtype.kind not in "iu" or not 1 <= int(version) <= FORMAT:
            advice = "A newer manybody wrote it: update manybody to load it."
            raise MotionError("format", shown(version.tolist()), f"1 to {FORMAT}", advice)
        values: dict[str, Any] = {key: value.item() if value.shape == () else value for key, value in arrays.items()}
        clip = Clip(**values)
        if (np.abs(clip.local_rotations[..., 3]) > TURNED).mean() > 0.5:
            given = "most bodies half a turn about z from their parents"
            raise MotionError("local_rotations", given, "quaternions wxyz", "Are these xyzw? Put w first.")
        return clip


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an archive, after its table of contents and every array's header have been checked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            if "format" not in entries:
                refuse_keys(sorted(entries))
            for key in _REQUIRED:
                if key not in entries:
                    given = f"only {', '.join(sorted(map(shown, entries))[:12]) or 'an empty archive'}"
                    raise MotionError(key, given, f"'{key}'", "Is it a motion clip of another program?")
            for key in entries:
                if key not in _KEYS:
                    raise MotionError(shown(key), "an unknown array", f"only {', '.join(_KEYS)}", "Remove it.")
            size = sum(entry.file_size for entry in entries.values())
            if size > MAX_BYTES:
                raise MotionError("file", f"{size} bytes unpacked", f"at most {MAX_BYTES}", "Cut it into clips.")
            return {key: _array(key, archive.read(entry)) for key, entry in entries.items()}
    except MotionError:
        raise
    except Exception as error:  # zipfile raises a dozen types on damaged input
        given = f"a damaged file ({type(error).__name__}: {shown(str(error))})"
        raise MotionError("file", given, "an intact NumPy archive", "Fetch or write it again.") from None


def _array(key: str, content: bytes) -> np.ndarray:
    """One ``.npy`` of the archive. Its length is checked against its header before anything is allocated."""
    stream = io.BytesIO(content)
    shape, fortran, dtype = read_array_header(stream, key, "a NumPy array", "Write the file again.")
    if dtype.kind not in "fiuU":
        raise MotionError(key, f"an array of {dtype}", "numbers or text", "Pickled objects are never read.")
    expected = math.prod(shape) * dtype.itemsize
    if expected != len(content) - stream.tell():
        given = f"{len(content) - stream.tell()} bytes"
        raise MotionError(key, given, f"{expected} for shape {shape}", "The file is damaged.")
    if dtype.itemsize == 0:
        raise MotionError(key, "an empty text", "a text", "Write one.")
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    try:
        flat.tolist() if dtype.kind == "U" else None
    except ValueError:
        raise MotionError(key, "bytes that are no characters", "a text", "The file is damaged.") from None
    return flat.reshape(shape, order="F" if fortran else "C")


def _floats(field: str, value: Any, shape: tuple[int | None, ...], words: str, limit: float = np.inf) -> np.ndarray:
    """``value`` as float64 of ``shape``, None for any size above zero; finite in float32, at most ``limit``."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise TypeError
    except (TypeError, ValueError):
        raise MotionError(field, shown(value), f"numbers of shape {words}") from None
    fits = array.ndim == len(shape) and all(
        size > 0 and want in (None, size) for size, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise MotionError(field, f"shape {array.shape}", words, "T frames, B bodies, the same in all fields.")
    array = array.astype(np.float64)
    wrong = ~(np.abs(array) <= np.finfo(np.float32).max)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise MotionError(field, f"{array[place]} at {list(place)}", "finite numbers", "Repair or cut the clip.")
    if (np.abs(array) > limit).any():
        place = tuple(int(i) for i in np.argwhere(np.abs(array) > limit)[0])
        advice = "Lengths are in m; repair or cut the clip."
        raise MotionError(field, f"{array[place]:.6g} at {list(place)}", f"at most {limit:g}", advice)
    return array


def _unit(field: str, quats: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Quaternions (T, B, 4), scaled to length 1."""
    norms = np.linalg.norm(quats, axis=-1, keepdims=True)
    wrong = np.abs(norms[..., 0] - 1) > UNIT_TOLERANCE
    if wrong.any():
        frame, body = (int(i) for i in np.argwhere(wrong)[0])
        given = f"a quaternion of length {norms[frame, body, 0]:.4g} in frame {frame}, body {names[body]!r}"
        raise MotionError(field, given, "length 1", "Are these quaternions in wxyz order? Normalise them.")
    unit: np.ndarray = quats / norms
    return unit


def _rate(fps: Any) -> float:
    try:
        rate = float(fps)
    except (TypeError, ValueError):
        rate = math.nan
    low, high = RATES
    if isinstance(fps, str | bool) or not low <= rate <= high:
        raise MotionError("fps", shown(fps), f"{low:g} to {high:g} frames per second")
    return rate


def _names(names: Any, bodies: int) -> tuple[str, ...]:
    if isinstance(names, str) or np.ndim(names) != 1:
        raise MotionError("body_names", shown(names), f"{bodies} names")
    result = tuple(str(name) if isinstance(name, str) else name for name in names)
    for place, name in enumerate(result):
        if not isinstance(name, str) or not name.strip():
            raise MotionError(f"body_names[{place}]", shown(name), "a name")
        if name in result[:place]:
            raise MotionError(f"body_names[{place}]", f"{shown(name)} again", "each name once")
    if len(result) != bodies:
        raise MotionError("body_names", f"{len(result)} names", f"{bodies}, as local_rotations has bodies")
    return result


def _parents(parents: Any, bodies: int) -> tuple[int, ...]:
    array = np.asarray(parents)
    if array.dtype.kind not in "iu" or array.shape != (bodies,):
        given = f"shape {array.shape} of {array.dtype}"
        raise MotionError("parents", given, f"{bodies} whole numbers, one for each body")
    for body, parent in enumerate(array):
        if not (parent == -1 if body == 0 else 0 <= parent < body):
            expected = "-1, the root" if body == 0 else f"0 to {body - 1}"
            advice = "Order the bodies so that parents stand before their children; one root."
            raise MotionError(f"parents[{body}]", str(parent), expected, advice)
    return tuple(int(parent) for parent in array)


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise MotionError(field, shown(value), "a text", "Say who made the motion and what may be done with it.")
    return str(value)
