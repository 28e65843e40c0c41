"""A motion clip and its file: frames of a skeleton at a fixed rate.

The file is a NumPy archive (``.npz``, compressed or not, without pickles) with an array for each field of
:class:`Clip`, of which ``offsets`` is optional, and with ``format``, the version of the layout.
"""

import dataclasses
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, SupportsFloat

import numpy as np

from manybody.config.errors import shown
from manybody.config.files import write_whole
from manybody.motion.errors import MotionError, read_from
from manybody.motion.files import MAX_BYTES, read_bytes
from manybody.motion.unsupported import refuse_keys

FORMAT = 1
"""Version of the layout that this code writes."""
UNIT_TOLERANCE = 1e-2
"""Maximum difference of a quaternion's length from 1: text formats round to a few digits."""
RATES = (1.0, 1000.0)
"""Lowest and highest frames per second: outside them, times and speeds lose precision."""
FARTHEST = 1e6
"""Largest coordinate, in m or in the unit of a file: above it float32 cannot represent centimetres."""
TURNED = 0.9
"""Threshold of the z component: if most quaternions exceed it, they are probably in the order xyzw."""
LICENCE_ADVICE = "State who made the motion, and how it may be used."


@dataclass(frozen=True, eq=False)
class Clip:
    """T frames of a skeleton of B bodies, validated and immutable: the arrays are read-only float32 copies.

    Raises:
        MotionError: a field has a wrong shape or an invalid value; the message names it.
    """

    fps: float
    """Frames per second, within :data:`RATES`."""
    body_names: Sequence[str]
    """B different names; the root comes first."""
    parents: Sequence[int] | np.ndarray
    """-1 for the root, the index of an earlier body for every other body."""
    local_rotations: np.ndarray
    """(T, B, 4) unit quaternions wxyz, from each body's axes to its parent's; the root's to the world's."""
    root_translation: np.ndarray
    """(T, 3) the root's origin in the world, m, z up."""
    licence: str
    """Who made the motion, and how it may be used."""
    offsets: np.ndarray | None = None
    """(B, 3) each body's origin in its parent's axes, m, the root's unused; None: size unknown."""

    def __post_init__(self) -> None:
        rotations = _floats("local_rotations", self.local_rotations, ("T", "B", 4))
        frames, bodies = rotations.shape[:2]
        if frames < 2:
            raise MotionError("local_rotations", f"{frames} frames", "at least 2", "A clip must move.")
        names = _names(self.body_names, bodies)
        if not isinstance(self.licence, str) or not self.licence.strip():
            raise MotionError("licence", shown(self.licence), "a text", LICENCE_ADVICE)
        number = isinstance(self.fps, SupportsFloat) and not isinstance(self.fps, bool) and np.ndim(self.fps) == 0
        rate, (low, high) = float(self.fps) if number else math.nan, RATES
        if not low <= rate <= high:
            raise MotionError("fps", shown(self.fps), f"{low:g} to {high:g} frames per second")
        fields: dict[str, object] = {
            "fps": rate,
            "body_names": names,
            "parents": _parents(self.parents, bodies),
            "local_rotations": _unit(rotations, names),
            "root_translation": _floats("root_translation", self.root_translation, (frames, 3)),
            "licence": str(self.licence),
        }
        if self.offsets is not None:
            offsets = _floats("offsets", self.offsets, (bodies, 3))
            if bodies > 1 and not offsets[1:].any():
                advice = "Leave offsets out if the size is unknown."
                raise MotionError("offsets", "zeros alone", "the distances of bodies from their parents", advice)
            fields["offsets"] = offsets
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                value = value.astype(np.float32)  # always a copy
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

    def select(self, frames: np.ndarray | slice, fps: float | None = None) -> "Clip":
        """Return a clip of these frames alone, at the same rate or at ``fps``."""
        return dataclasses.replace(
            self,
            fps=fps or self.fps,
            local_rotations=self.local_rotations[frames],
            root_translation=self.root_translation[frames],
        )


def without_repeats(clip: Clip) -> Clip:
    """Return ``clip`` at its true rate if it shows every pose k times in a row, else ``clip`` itself.

    Some files store a motion of 30 frames per second at 60 by repeating every frame, so that velocities alternate
    between zero and twice their value. Of each k equal frames the first is kept (the last k may be incomplete), and the
    rate is divided by k.
    """
    poses = np.concatenate((clip.root_translation, clip.local_rotations.reshape(clip.frames, -1)), axis=-1)
    changes = np.flatnonzero((poses[1:] != poses[:-1]).any(axis=-1)) + 1
    starts = np.concatenate(([0], changes))
    runs = np.diff(starts)
    if len(runs) == 0 or runs[0] == 1 or (runs != runs[0]).any() or clip.frames - starts[-1] > runs[0]:
        return clip
    return clip.select(starts, clip.fps / int(runs[0]))


def save_clip(path: str | os.PathLike, clip: Clip) -> None:
    """Write ``clip`` atomically to ``path``, by convention ``.npz``; create its folder.

    Raises:
        OSError: the disk is full or read-only. An old file is intact and no temporary file remains.
    """
    fields = {field.name: getattr(clip, field.name) for field in dataclasses.fields(clip)}
    arrays = {key: np.asarray(value) for key, value in fields.items() if value is not None}

    def write(file: BinaryIO) -> None:
        np.savez_compressed(file, allow_pickle=False, format=np.asarray(FORMAT), **arrays)

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, write)


def load_clip(path: str | os.PathLike[str]) -> Clip:
    """Read a file of :func:`save_clip`, which can neither run code nor fill the memory.

    Raises:
        MotionError: the file is damaged or of another format, or a field is invalid; the message names the field.
    """
    with read_from(path):
        return parse_clip(read_bytes(path))


def parse_clip(content: bytes) -> Clip:
    """Parse the content of a file of :func:`save_clip`; see :func:`load_clip`."""
    values = _values(content)
    version = values.pop("format")
    if type(version) is not int or not 1 <= version <= FORMAT:
        advice = "A newer manybody wrote it: update manybody to load it."
        raise MotionError("format", shown(version), f"1 to {FORMAT}", advice)
    clip = Clip(**values)
    if (np.abs(clip.local_rotations[..., 3]) > TURNED).mean() > 0.5:
        given = "most bodies half a turn about z from their parents"
        raise MotionError("local_rotations", given, "quaternions wxyz", "Are these xyzw? Put w first.")
    return clip


def _values(content: bytes) -> dict[str, Any]:
    """Read the arrays of an archive by name; text and arrays without dimensions become Python values."""
    key, values = "file", {}
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            _check_keys(arrays.files)
            size = sum(entry.file_size for entry in arrays.zip.infolist())
            if size > MAX_BYTES:
                raise MotionError("file", f"{size} bytes unpacked", f"at most {MAX_BYTES}", "Cut it into clips.")
            for key in arrays.files:
                array = np.asarray(arrays[key])
                values[key] = array.tolist() if array.ndim == 0 or array.dtype.kind == "U" else array
        return values
    except MotionError:
        raise
    except Exception as error:  # zipfile and numpy raise a dozen types on damaged input
        given = f"damaged content ({type(error).__name__}: {shown(str(error))})"
        raise MotionError(key, given, "a NumPy archive of numbers and text", "Write it again.") from None


def _check_keys(keys: Sequence[str]) -> None:
    if "format" not in keys:
        refuse_keys(sorted(keys))
    known = ("format", *(field.name for field in dataclasses.fields(Clip)))
    for key in known:
        if key not in keys and key != "offsets":
            given = f"only {', '.join(sorted(map(shown, keys))[:12]) or 'an empty archive'}"
            raise MotionError(key, given, f"'{key}'", "Is it a motion clip of another program?")
    for key in keys:
        if key not in known:
            raise MotionError(shown(key), "an unknown array", f"only {', '.join(known)}", "Remove it.")


def _floats(field: str, value: object, shape: tuple[int | str, ...]) -> np.ndarray:
    """Convert ``value`` to float64 and check its numbers and ``shape``; a letter is any size above zero."""
    shape_text = f"({', '.join(map(str, shape))})"
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.empty(0, object)
    if array.dtype.kind not in "fiu":
        raise MotionError(field, shown(value), f"numbers of shape {shape_text}")
    fits = array.ndim == len(shape) and all(
        size == expected or (isinstance(expected, str) and size > 0)
        for size, expected in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise MotionError(field, f"shape {array.shape}", shape_text, "T frames, B bodies, the same in all fields.")
    array = array.astype(np.float64)
    for index in np.argwhere(~(np.abs(array) <= FARTHEST))[:1].tolist():
        expected = f"finite numbers of at most {FARTHEST:g}"
        raise MotionError(field, f"{array[tuple(index)]:.6g} at {index}", expected, "Repair or cut the clip.")
    return array


def _unit(quats: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Scale quaternions (T, B, 4) to length 1."""
    norms = np.linalg.norm(quats, axis=-1, keepdims=True)
    for frame, body in np.argwhere(np.abs(norms[..., 0] - 1) > UNIT_TOLERANCE)[:1]:
        given = f"a quaternion of length {norms[frame, body, 0]:.4g} in frame {frame}, body {names[body]!r}"
        advice = "Are these quaternions in wxyz order? Normalise them."
        raise MotionError("local_rotations", given, "length 1", advice)
    unit: np.ndarray = quats / norms
    return unit


def _names(names: object, bodies: int) -> tuple[str, ...]:
    names = names.tolist() if isinstance(names, np.ndarray) else names
    if not isinstance(names, list | tuple) or len(names) != bodies:
        given = f"{len(names)} names" if isinstance(names, list | tuple) else shown(names)
        raise MotionError("body_names", given, f"{bodies} names, one for each body in local_rotations")
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip() or name in names[:index]:
            raise MotionError(f"body_names[{index}]", shown(name), "a name that no other body has")
    return tuple(map(str, names))


def _parents(parents: Sequence[int] | np.ndarray, bodies: int) -> tuple[int, ...]:
    array = np.asarray(parents)
    if array.dtype.kind not in "iu" or array.shape != (bodies,):
        given = f"shape {array.shape} of {array.dtype}"
        raise MotionError("parents", given, f"{bodies} whole numbers, one for each body")
    for body, parent in enumerate(array):
        if not (parent == -1 if body == 0 else 0 <= parent < body):
            expected = "-1, the root" if body == 0 else f"0 to {body - 1}"
            advice = "Order the bodies so that parents come before their children; one root."
            raise MotionError(f"parents[{body}]", str(parent), expected, advice)
    return tuple(array.tolist())
