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
from manybody.motion.errors import MotionError, read_from, shown
from manybody.motion.files import read_text
from manybody.motion.importers.axes import NOT_STATED, quats_z_up, z_up

_CHANNELS = {
    f"{axis}{kind}".lower(): (kind, i) for kind in ("position", "rotation") for i, axis in enumerate("XYZ")
}
"""Channel's name in small letters to its kind and axis."""
_RIGID = 0.01
"""How far a joint may move against its parent, as a part of its distance, and still count as fixed."""


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
    Where other joints have position channels too, these take the place of their offset and must not change: bones
    are rigid here. End sites have no joint and are dropped.

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
        root, offsets, rotations = _poses(joints, values)
        if up == "y":
            root, offsets, rotations = z_up(root), z_up(offsets), quats_z_up(rotations)
        return Clip(
            fps=1 / frame_time,
            body_names=[joint.name for joint in joints],
            parents=[joint.parent for joint in joints],
            local_rotations=rotations,
            root_translation=root * scale,
            licence=licence,
            offsets=offsets * scale,
        )


def _poses(joints: list[_Joint], values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The root's positions (T, 3), offsets (B, 3) and local rotations (T, B, 4) in the file's axes and units."""
    offsets = np.array([joint.offset for joint in joints])
    rotations = torch.zeros(len(values), len(joints), 4, dtype=torch.float64)
    rotations[..., 0] = 1.0
    root, column = np.tile(offsets[0], (len(values), 1)), 0
    for body, joint in enumerate(joints):
        place = np.tile(offsets[body], (len(values), 1))
        for kind, axis in joint.channels:
            if kind == "position":
                place[:, axis] = values[:, column]
            else:
                turn = quat_about(axis, torch.from_numpy(np.radians(values[:, column])))
                rotations[:, body] = quat_multiply(rotations[:, body], turn)
            column += 1
        if body == 0:
            root = place
        else:
            offsets[body] = _rigid(joint.name, place)
    return root, offsets, rotations.numpy()


def _rigid(name: str, place: np.ndarray) -> np.ndarray:
    """The middle of a joint's places (T, 3) against its parent."""
    middle: np.ndarray = place.mean(axis=0)
    moved = np.linalg.norm(place - middle, axis=-1)
    if moved.max() > _RIGID * max(float(np.linalg.norm(middle)), 1e-6):
        given = f"a bone that stretches by {moved.max():.4g} in frame {int(moved.argmax())}"
        raise MotionError(
            f"joint {shown(name)}", given, "rigid bones", "Export the motion without stretching."
        )
    return middle


class _Reader:
    """Words and numbers of the text with their line."""

    def __init__(self, text: str) -> None:
        self.lines = [
            (number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()
        ]
        self.next = 0

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
            self.refuse(
                shown(" ".join(self.lines[self.next - 1][1])), "{", "Put the brace in a line of its own."
            )

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
        words = self.keyword("FRAMES:")
        (frames,) = self.numbers(words, 1)
        words = self.keyword("FRAME")
        if not words or words[0].lower() != "time:":
            self.refuse(shown(" ".join(words)), "Frame Time: and seconds")
        (seconds,) = self.numbers(words[1:], 1)
        if not seconds > 0:
            self.refuse(f"{seconds} s", "a time of a frame above 0")
        rows = [
            self.numbers(self.line(f"{frames:g} frames"), channels)
            for _ in range(len(self.lines) - self.next)
        ]
        if len(rows) != frames:
            self.refuse(
                f"{len(rows)} frames", f"{frames:g}, as the file says", "The file is cut off or edited."
            )
        if len(rows) < 2:
            self.refuse(f"{len(rows)} frames", "at least 2", "A clip must move.")
        return seconds, np.array(rows)
