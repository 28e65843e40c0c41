"""BVH (Biovision hierarchy) files: a skeleton and its joint angles as text."""

import math
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import torch

from manybody.config.errors import shown
from manybody.functional.rotations import quat_about, quat_multiply
from manybody.motion.clip import Clip
from manybody.motion.errors import MotionError, notice
from manybody.motion.files import NOT_STATED, quats_z_up, z_up
from manybody.motion.importers.root_bone import Figure, rigid

_CHANNELS = {f"{axis}{kind}".lower(): (kind, i) for kind in ("position", "rotation") for i, axis in enumerate("XYZ")}
"""Kind and axis by the channel's name in lower case."""
_KEYWORDS = "OFFSET, CHANNELS, JOINT, End Site or }"
_DIGIT_ROWS = 10
"""Number of rows in which digits are counted."""


@dataclass
class _Joint:
    name: str
    parent: int
    offset: list[float] = field(default_factory=list)
    channels: list[tuple[str, int]] = field(default_factory=list)


def parse_bvh(text: str, scale: float = 1.0, up: str = "y") -> Clip:
    """Parse a BVH file.

    A joint's rotation is the product of its channels' rotations from left to right, angles in degrees; the root's
    position channels are its position in the world (Meredith and Maddock 2001, *Motion capture file formats
    explained*). Position channels of other joints replace their offset and may change only in their last digits,
    because bones are rigid. Hips that move under a bone on the ground become the root
    (:func:`~manybody.motion.importers.root_bone.rigid`). End sites have no joint and are dropped. A
    :class:`~manybody.motion.errors.MotionNotice` lists the skipped parts.

    Args:
        text: the file's content.
        scale: metres in one unit of the file (0.01 for centimetres); the format does not state it.
        up: the file's upward axis, ``y`` as usual or ``z``.

    Raises:
        MotionError: the text is invalid (the message names the line), or a bone changes its length.
    """
    if not 0 < scale < math.inf:
        raise MotionError("scale", str(scale), "metres in one unit of the file, above 0")
    if up not in ("y", "z"):
        raise MotionError("up", shown(up), "'y' or 'z'")
    reader = _Reader(text)
    joints = reader.hierarchy()
    frame_time, values = reader.motion(sum(len(joint.channels) for joint in joints))
    figure, offsets = rigid(_figure(joints, values), reader.digit)
    root, rotations = figure.positions[:, 0], figure.rotations
    if up == "y":
        root, offsets, rotations = z_up(root), z_up(offsets), quats_z_up(rotations)
    return Clip(
        fps=1 / frame_time,
        body_names=figure.names,
        parents=figure.parents,
        local_rotations=rotations,
        root_translation=root * scale,
        licence=NOT_STATED,
        offsets=offsets * scale,
    )


def _figure(joints: list[_Joint], values: np.ndarray) -> Figure:
    """Compute the positions and rotations of the joints in every frame."""
    positions = np.tile([joint.offset for joint in joints], (len(values), 1, 1))
    rotations = torch.zeros(len(values), len(joints), 4, dtype=torch.float64)
    rotations[..., 0] = 1.0
    columns = iter(values.T)
    for body, joint in enumerate(joints):
        for kind, axis in joint.channels:
            if kind == "position":
                positions[:, body, axis] = next(columns)
            else:
                turn = quat_about(axis, torch.from_numpy(np.radians(next(columns))))
                rotations[:, body] = quat_multiply(rotations[:, body], turn)
    parents = [joint.parent for joint in joints]
    return Figure([joint.name for joint in joints], parents, positions, rotations.numpy())


class _Reader:
    """Reads a BVH text line by line."""

    def __init__(self, text: str) -> None:
        self.lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        self.next = 0
        self.digit = 0.0
        """The value of one unit in the last digit of the numbers that were read; 0 for whole numbers."""

    def refuse(self, expected: str, given: str = "", advice: str = "") -> NoReturn:
        """Raise MotionError about the current line, or about ``given`` in it."""
        number, tokens = self.lines[max(self.next - 1, 0)] if self.lines else (1, [])
        raise MotionError(f"line {number}", given or shown(" ".join(tokens)), expected, advice)

    def line(self, expected: str) -> list[str]:
        """Return the tokens of the next line that is not blank."""
        if self.next >= len(self.lines):
            self.refuse(expected, "the end of the file", "The file is cut off.")
        self.next += 1
        return self.lines[self.next - 1][1]

    def after(self, keyword: str) -> list[str]:
        """Return the tokens of the next line after ``keyword``, its first token."""
        first, *rest = self.line(keyword)
        if first.upper() != keyword:
            self.refuse(keyword)
        return rest

    def entry(self, name: str) -> float:
        """Return the number after ``name:`` in the next line; ignore blanks around the colon."""
        key, colon, rest = " ".join(self.line(f"{name}:")).partition(":")
        if not colon or key.lower().split() != name.lower().split():
            self.refuse(f"{name}: and a number")
        return self.numbers(rest.split(), 1)[0]

    def numbers(self, tokens: list[str], count: int) -> list[float]:
        """Convert ``tokens`` to ``count`` finite numbers."""
        if len(tokens) != count:
            self.refuse(f"{count}", f"{len(tokens)} numbers")
        try:
            result = list(map(float, tokens))
        except ValueError:
            result = [math.nan]
        if not all(map(math.isfinite, result)):
            self.refuse("finite numbers")
        return result

    def hierarchy(self) -> list[_Joint]:
        """Read all joints, parents before children."""
        self.after("HIERARCHY")
        joints: list[_Joint] = []
        path: list[int | None] = []  # the joints with an open brace; None for an end site
        keyword, rest = "JOINT", self.after("ROOT")
        while True:
            here = path[-1] if path else -1
            if keyword == "}":
                if here is not None and not joints[here].offset:
                    self.refuse("one", f"no OFFSET of {shown(joints[here].name)}")
                path.pop()
                if not path:
                    return joints
            elif keyword == "OFFSET":
                offset = self.numbers(rest, 3)
                if here is not None:
                    joints[here].offset = offset
            elif here is None:
                self.refuse("OFFSET or } of an end site")
            elif keyword == "CHANNELS":
                joints[here].channels = self.channels(rest)
            elif keyword in ("JOINT", "END"):
                path.append(len(joints) if keyword == "JOINT" else None)
                if keyword == "JOINT":
                    if not rest:
                        self.refuse("a name", "a joint without a name")
                    joints.append(_Joint(" ".join(rest), here))
                if self.line("{") != ["{"]:
                    self.refuse("{", advice="Put the brace in a separate line.")
            else:
                self.refuse(_KEYWORDS)
            keyword, *rest = self.line(_KEYWORDS)
            keyword = keyword.upper()

    def channels(self, tokens: list[str]) -> list[tuple[str, int]]:
        names = [token.lower() for token in tokens[1:]]
        if not tokens or tokens[0] != str(len(names)):
            self.refuse("the number of channels and as many names")
        for name in names:
            if name not in _CHANNELS:
                self.refuse("Xposition, Yposition, Zposition, Xrotation, Yrotation or Zrotation", shown(name))
        return [_CHANNELS[name] for name in names]

    def motion(self, channels: int) -> tuple[float, np.ndarray]:
        """Read the duration of a frame in s, and the values (T, channels)."""
        if channels == 0:
            self.refuse("at least one", "a skeleton without channels")
        self.after("MOTION")
        frames, seconds = self.entry("Frames"), self.entry("Frame Time")
        if not seconds > 0:
            self.refuse("a time of a frame above 0", f"{seconds} s")
        decimals = [len(token.partition(".")[2]) for _, row in self.lines[self.next :][:_DIGIT_ROWS] for token in row]
        self.digit = 10.0 ** -max(decimals, default=0) if any(decimals) else 0.0
        rows = [self.numbers(self.line(f"{frames:g} frames"), channels) for _ in range(len(self.lines) - self.next)]
        if abs(len(rows) - frames) > 1 or len(rows) < 2:
            expected = f"{frames:g}, the number in the header" if frames >= 2 else "at least 2"
            self.refuse(expected, f"{len(rows)} frames", "The file is cut off or edited.")
        if len(rows) != frames:  # some programs count the rest pose
            notice(f"the header counts {frames:g} frames, the file has {len(rows)}; all of these are read")
        return seconds, np.array(rows)
