"""BVH (Biovision hierarchy) files: a skeleton and its joint angles as text."""

import math
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import torch

from manybody.functional.rotations import quat_about, quat_multiply
from manybody.motion.clip import Clip
from manybody.motion.errors import MotionError, notice, read_from, shown
from manybody.motion.files import read_text
from manybody.motion.importers.common import NOT_STATED, quats_z_up, z_up
from manybody.motion.importers.root_bone import Figure, rigid

_CHANNELS = {f"{axis}{kind}".lower(): (kind, i) for kind in ("position", "rotation") for i, axis in enumerate("XYZ")}
"""Channel's name in small letters to its kind and axis."""
_ROWS = 10
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
    Where other joints have position channels too, these take the place of their offset and must not change but in
    their last digits: bones are rigid here. Hips that move under a bone on the ground become the root
    (:func:`~manybody.motion.importers.root_bone.rigid`). End sites have no joint and are dropped. What was passed over
    is a :class:`~manybody.motion.errors.MotionNotice`.

    Args:
        path: the file.
        scale: metres in one unit of the file (0.01 for centimetres); the format does not say.
        up: the file's upward axis, ``y`` as usual or ``z``.
        licence: who made the motion and what may be done with it; the file does not say.

    Raises:
        MotionError: the text breaks the format, with its line; a bone changes its length; a number makes no sense.
    """
    if not 0 < scale < math.inf:
        raise MotionError("scale", str(scale), "metres in one unit of the file, above 0")
    if up not in ("y", "z"):
        raise MotionError("up", shown(up), "'y' or 'z'")
    text = read_text(path)
    with read_from(path):
        reader = _Reader(text)
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
    """The joints with their places and rotations in every frame."""
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
    """Words and numbers of the text with their line."""

    def __init__(self, text: str) -> None:
        self.lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        self.next = 0
        self.digit = 0.0
        """What one unit in the last digit of the numbers is worth, once they are read; 0 for whole numbers."""

    def refuse(self, given: str, expected: str, advice: str = "") -> NoReturn:
        number = self.lines[max(self.next - 1, 0)][0] if self.lines else 1
        raise MotionError(f"line {number}", given, expected, advice)

    def line(self, expected: str) -> list[str]:
        """The words of the next line that is not blank."""
        if self.next >= len(self.lines):
            self.refuse("the end of the file", expected, "The file is cut off.")
        self.next += 1
        return self.lines[self.next - 1][1]

    def keyword(self, word: str) -> list[str]:
        """What follows ``word`` in the next line, which must begin with it."""
        words = self.line(word)
        if words[0].upper() != word:
            self.refuse(shown(" ".join(words)), word)
        return words[1:]

    def entry(self, name: str) -> list[str]:
        """What follows ``name:`` in the next line, which must begin with it; blanks about the colon do not matter."""
        line = " ".join(self.line(f"{name}:"))
        key, colon, rest = line.partition(":")
        if not colon or key.lower().split() != name.lower().split():
            self.refuse(shown(line), f"{name}: and a number")
        return rest.split()

    def numbers(self, words: list[str], count: int) -> list[float]:
        """``count`` finite numbers."""
        if len(words) != count:
            self.refuse(f"{len(words)} numbers", f"{count}")
        try:
            result = list(map(float, words))
        except ValueError:
            result = [math.nan]
        if not all(map(math.isfinite, result)):
            self.refuse(shown(" ".join(words)), "finite numbers")
        return result

    def hierarchy(self) -> list[_Joint]:
        """All joints, parents before children."""
        if self.keyword("HIERARCHY"):
            self.refuse("words after HIERARCHY", "an end of the line")
        joints = [_Joint(self.joint_name(self.keyword("ROOT")), -1)]
        self.opening()
        path: list[int | None] = [0]  # the joints that are open; None for an end site
        while path:
            words = self.line("OFFSET, CHANNELS, JOINT, End Site or }")
            here, word = path[-1], words[0].upper()
            if word == "}":
                self.closed(None if here is None else joints[here])
                path.pop()
            elif word == "OFFSET":
                offset = self.numbers(words[1:], 3)
                if here is not None:
                    joints[here].offset = offset
            elif here is None:
                self.refuse(shown(" ".join(words)), "OFFSET or } of an end site")
            elif word == "CHANNELS":
                joints[here].channels = self.channels(words[1:])
            elif word == "JOINT":
                joints.append(_Joint(self.joint_name(words[1:]), here))
                path.append(len(joints) - 1)
                self.opening()
            elif word == "END":
                path.append(None)
                self.opening()
            else:
                self.refuse(shown(" ".join(words)), "OFFSET, CHANNELS, JOINT, End Site or }")
        for name, count in Counter(joint.name for joint in joints).items():
            if count > 1:
                self.refuse(f"{count} joints of the name {shown(name)}", "each name once", "Rename them.")
        return joints

    def joint_name(self, words: list[str]) -> str:
        if not words:
            self.refuse("a joint without a name", "a name")
        return " ".join(words)

    def opening(self) -> None:
        if self.line("{") != ["{"]:
            self.refuse(shown(" ".join(self.lines[self.next - 1][1])), "{", "Put the brace in a line of its own.")

    def closed(self, joint: _Joint | None) -> None:
        if joint is not None and not joint.offset:
            self.refuse(f"no OFFSET of {shown(joint.name)}", "one")

    def channels(self, words: list[str]) -> list[tuple[str, int]]:
        names = [word.lower() for word in words[1:]]
        if not words or words[0] != str(len(names)):
            self.refuse(shown(" ".join(words)), "the number of channels and as many names")
        for name, word in zip(names, words[1:], strict=True):
            if name not in _CHANNELS:
                self.refuse(shown(word), "Xposition, Yposition, Zposition, Xrotation, Yrotation or Zrotation")
        return [_CHANNELS[name] for name in names]

    def motion(self, channels: int) -> tuple[float, np.ndarray]:
        """Seconds of a frame, and the values (T, channels)."""
        if channels == 0:
            self.refuse("a skeleton without channels", "at least one")
        self.keyword("MOTION")
        (frames,) = self.numbers(self.entry("Frames"), 1)
        (seconds,) = self.numbers(self.entry("Frame Time"), 1)
        if not seconds > 0:
            self.refuse(f"{seconds} s", "a time of a frame above 0")
        decimals = [len(word.partition(".")[2]) for _, words in self.lines[self.next :][:_ROWS] for word in words]
        self.digit = 10.0 ** -max(decimals, default=0) if any(decimals) else 0.0
        rows = [self.numbers(self.line(f"{frames:g} frames"), channels) for _ in range(len(self.lines) - self.next)]
        if abs(len(rows) - frames) > 1:
            self.refuse(f"{len(rows)} frames", f"{frames:g}, as the file says", "The file is cut off or edited.")
        if len(rows) != frames:  # some programs count the rest pose
            notice(f"its header counts {frames:g} frames; {len(rows)} are there and read")
        if len(rows) < 2:
            self.refuse(f"{len(rows)} frames", "at least 2", "A clip must move.")
        return seconds, np.array(rows)
