"""BVH (Biovision hierarchy) files: a skeleton and its joint angles as text."""

import math
import os
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import torch

from manybody.config.errors import shown
from manybody.functional.rotations import quat_about, quat_multiply
from manybody.motion.clip import Clip
from manybody.motion.errors import MotionError, notice, read_from
from manybody.motion.files import read_text
from manybody.motion.importers.common import NOT_STATED, quats_z_up, z_up
from manybody.motion.importers.root_bone import Figure, rigid

_CHANNELS = {f"{axis}{kind}".lower(): (kind, i) for kind in ("position", "rotation") for i, axis in enumerate("XYZ")}
"""Channel's name in small letters to its kind and axis."""
_KEYWORDS = "OFFSET, CHANNELS, JOINT, End Site or }"
_DIGIT_ROWS = 10
"""Rows of numbers whose digits are counted."""


@dataclass
class _Joint:
    name: str
    parent: int
    offset: list[float] = field(default_factory=list)
    channels: list[tuple[str, int]] = field(default_factory=list)


def load_bvh(path: str | os.PathLike, scale: float = 1.0, up: str = "y", licence: str = NOT_STATED) -> Clip:
    """Read a BVH file.

    A joint's rotation is the product of its channels' rotations from left to right, angles in degrees; the root's
    position channels are its place in the world (Meredith and Maddock 2001, *Motion capture file formats explained*).
    Where other joints have position channels too, these replace their offset and may change in their last digits only:
    bones are rigid here. Hips that move under a bone on the ground become the root
    (:func:`~manybody.motion.importers.root_bone.rigid`). End sites have no joint and are dropped. A
    :class:`~manybody.motion.errors.MotionNotice` lists what was skipped.

    Args:
        path: the file.
        scale: metres in one unit of the file (0.01 for centimetres); the format does not say.
        up: the file's upward axis, ``y`` as usual or ``z``.
        licence: who made the motion, and how it may be used; the file does not say.

    Raises:
        MotionError: the text breaks the format (names the line), a bone changes its length, or a number is wrong.
    """
    if not 0 < scale < math.inf:
        raise MotionError("scale", str(scale), "metres in one unit of the file, above 0")
    if up not in ("y", "z"):
        raise MotionError("up", shown(up), "'y' or 'z'")
    with read_from(path):
        reader = _Reader(read_text(path))
        joints = reader.hierarchy()
        frame_time, values = reader.motion(sum(len(joint.channels) for joint in joints))
        figure, offsets = rigid(_figure(joints, values), reader.digit)
        root, rotations = figure.places[:, 0], figure.rotations
        if up == "y":
            root, offsets, rotations = z_up(root), z_up(offsets), quats_z_up(rotations)
        return Clip(
            fps=1 / frame_time,
            body_names=figure.names,
            parents=figure.parents,
            local_rotations=rotations,
            root_translation=root * scale,
            licence=licence,
            offsets=offsets * scale,
        )


def _figure(joints: list[_Joint], values: np.ndarray) -> Figure:
    """Compute the places and rotations of the joints in every frame."""
    places = np.tile([joint.offset for joint in joints], (len(values), 1, 1))
    rotations = torch.zeros(len(values), len(joints), 4, dtype=torch.float64)
    rotations[..., 0] = 1.0
    column = 0
    for body, joint in enumerate(joints):
        for kind, axis in joint.channels:
            if kind == "position":
                places[:, body, axis] = values[:, column]
            else:
                turn = quat_about(axis, torch.from_numpy(np.radians(values[:, column])))
                rotations[:, body] = quat_multiply(rotations[:, body], turn)
            column += 1
    parents = [joint.parent for joint in joints]
    return Figure([joint.name for joint in joints], parents, places, rotations.numpy())


class _Reader:
    """Reads a BVH text line by line."""

    def __init__(self, text: str) -> None:
        self.lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        self.next = 0
        self.digit = 0.0
        """The value of one unit in the last digit of the numbers, once they are read; 0 for whole numbers."""

    def refuse(self, expected: str, given: str = "", advice: str = "") -> NoReturn:
        """Raise MotionError about the current line, or about ``given`` in it."""
        number, words = self.lines[max(self.next - 1, 0)] if self.lines else (1, [])
        raise MotionError(f"line {number}", given or shown(" ".join(words)), expected, advice)

    def line(self, expected: str) -> list[str]:
        """Return the words of the next line that is not blank."""
        if self.next >= len(self.lines):
            self.refuse(expected, "the end of the file", "The file is cut off.")
        self.next += 1
        return self.lines[self.next - 1][1]

    def expect(self, *words: str) -> list[str]:
        """Return the words after ``words`` in the next line, which must start with these."""
        line = self.line(" ".join(words))
        if [word.upper() for word in line[: len(words)]] != [word.upper() for word in words]:
            self.refuse(" ".join(words))
        return line[len(words) :]

    def entry(self, name: str) -> float:
        """Return the number after ``name:`` in the next line; blanks about the colon do not matter."""
        key, colon, rest = " ".join(self.line(f"{name}:")).partition(":")
        if not colon or key.lower().split() != name.lower().split():
            self.refuse(f"{name}: and a number")
        return self.numbers(rest.split(), 1)[0]

    def numbers(self, words: list[str], count: int) -> list[float]:
        """Convert ``words`` to ``count`` finite numbers."""
        if len(words) != count:
            self.refuse(f"{count}", f"{len(words)} numbers")
        try:
            result = list(map(float, words))
        except ValueError:
            result = [math.nan]
        if not all(map(math.isfinite, result)):
            self.refuse("finite numbers")
        return result

    def hierarchy(self) -> list[_Joint]:
        """Read all joints, parents before children."""
        self.expect("HIERARCHY")
        joints: list[_Joint] = []
        path: list[int | None] = []  # the joints that are open; None for an end site
        words = ["JOINT", *self.expect("ROOT")]
        while True:
            here, word = path[-1] if path else -1, words[0].upper()
            if word == "}":
                if here is not None and not joints[here].offset:
                    self.refuse("one", f"no OFFSET of {shown(joints[here].name)}")
                path.pop()
                if not path:
                    return joints
            elif word == "OFFSET":
                offset = self.numbers(words[1:], 3)
                if here is not None:
                    joints[here].offset = offset
            elif here is None:
                self.refuse("OFFSET or } of an end site")
            elif word == "CHANNELS":
                joints[here].channels = self.channels(words[1:])
            elif word in ("JOINT", "END"):
                path.append(len(joints) if word == "JOINT" else None)
                if word == "JOINT":
                    if len(words) == 1:
                        self.refuse("a name", "a joint without a name")
                    joints.append(_Joint(" ".join(words[1:]), here))
                if self.line("{") != ["{"]:
                    self.refuse("{", advice="Put the brace in a line of its own.")
            else:
                self.refuse(_KEYWORDS)
            words = self.line(_KEYWORDS)

    def channels(self, words: list[str]) -> list[tuple[str, int]]:
        names = [word.lower() for word in words[1:]]
        if not words or words[0] != str(len(names)):
            self.refuse("the number of channels and as many names")
        for name in names:
            if name not in _CHANNELS:
                self.refuse("Xposition, Yposition, Zposition, Xrotation, Yrotation or Zrotation", shown(name))
        return [_CHANNELS[name] for name in names]

    def motion(self, channels: int) -> tuple[float, np.ndarray]:
        """Read the seconds of a frame, and the values (T, channels)."""
        if channels == 0:
            self.refuse("at least one", "a skeleton without channels")
        self.expect("MOTION")
        frames, seconds = self.entry("Frames"), self.entry("Frame Time")
        if not seconds > 0:
            self.refuse("a time of a frame above 0", f"{seconds} s")
        decimals = [len(word.partition(".")[2]) for _, words in self.lines[self.next :][:_DIGIT_ROWS] for word in words]
        self.digit = 10.0 ** -max(decimals, default=0) if any(decimals) else 0.0
        rows = [self.numbers(self.line(f"{frames:g} frames"), channels) for _ in range(len(self.lines) - self.next)]
        if abs(len(rows) - frames) > 1 or len(rows) < 2:
            expected = f"{frames:g}, the number in the header" if frames >= 2 else "at least 2"
            self.refuse(expected, f"{len(rows)} frames", "The file is cut off or edited.")
        if len(rows) != frames:  # some programs count the rest pose
            notice(f"the header counts {frames:g} frames, the file has {len(rows)}; all of these are read")
        return seconds, np.array(rows)
