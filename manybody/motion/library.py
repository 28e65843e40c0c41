"""The motion library: clips on one device, sampled by weight and interpolated in batches."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from manybody.config.errors import shown
from manybody.config.section import Section
from manybody.config.types import Number, Text
from manybody.config.validator import parse_whole
from manybody.config.yaml import load_yaml
from manybody.functional.rotations import angular_velocity, quat_exp, quat_multiply
from manybody.motion.bundled import find_motion
from manybody.motion.clip import Clip
from manybody.motion.errors import MotionError, read_from
from manybody.motion.importers import read_motion

SIZES = 4.0
"""Maximum ratio of the sizes of a clip's skeleton and the robot: accepts a child, refuses a wrong unit of length."""


class MotionState(NamedTuple):
    """M interpolated poses of B bodies and their velocities."""

    root_position: Tensor
    """(M, 3) in the world, m."""
    root_velocity: Tensor
    """(M, 3) in the axes of the world, m/s."""
    local_rotations: Tensor
    """(M, B, 4) wxyz, from each body's axes to its parent's; the root's to the world's."""
    local_velocities: Tensor
    """(M, B, 3) rad/s, of each body relative to its parent, in the body's axes."""


class MotionLib:
    """C clips of one skeleton (the same names and parents; its size may differ), all tensors on one device.

    Between two frames the root moves in a straight line and every joint rotates about a fixed axis, both at constant
    speed (lerp and slerp). Velocities are the derivatives of this motion, constant between frames. No method waits for
    the device.

    Args:
        clips: at least one; each with ``offsets``.
        weights: C numbers of at least 0, proportional to the probability of each clip. Default: equal.
        device: the device of all tensors.

    Raises:
        MotionError: the clips do not fit together or lack a skeleton, or a weight is wrong.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        weights: Sequence[float] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if not clips:
            raise MotionError("clips", "none", "at least one")
        for index, clip in enumerate(clips):
            _check_clip(f"clips[{index}].", clip, clips[0])
        weights = [1.0] * len(clips) if weights is None else weights
        if len(weights) != len(clips) or not all(weight >= 0 for weight in weights) or not 0 < sum(weights) < math.inf:
            raise MotionError("weights", shown(weights), f"{len(clips)} numbers of at least 0, not all of them 0")

        self.source: str | Path = ""
        """The file of the first clip, or empty; all clips have its skeleton."""
        self.device = torch.device(device)
        self.body_names = tuple(clips[0].body_names)
        self.parents = tuple(clips[0].parents)
        self.fps = self._tensor([clip.fps for clip in clips])
        """(C,) frames per second."""
        self.lengths = self._tensor([clip.length for clip in clips])
        """(C,) seconds from first to last frame."""
        self.weights = self._tensor(weights) / math.fsum(weights)
        """(C,) probability of each clip."""
        frames = torch.tensor([clip.frames for clip in clips])
        self._last_pair = (frames - 2).to(self.device)
        self._starts = (frames.cumsum(0) - frames).to(self.device)
        cumulative = torch.tensor(weights, dtype=torch.float64).cumsum(0)
        self._cumulative = (cumulative / cumulative[-1]).to(self.device)

        self._offsets = torch.stack([self._tensor(clip.offsets) for clip in clips])
        moving = zip(*(_moving(clip) for clip in clips), strict=True)
        self._root, self._joints = (torch.cat(parts).to(self.device) for parts in moving)

    @classmethod
    def load(cls, source: str | Path | Sequence[str | Path], device: torch.device | str = "cpu") -> "MotionLib":
        """Load a library of clips.

        Args:
            source: one clip (a file of any known format, or the name of a bundled clip), several, or a YAML file that
                lists them: ``motions: [{file: walk, weight: 0.7}, {file: mine.npz}]``, with paths relative to that
                file; the default weight is 1.
            device: the device of all tensors.

        Raises:
            MotionError: a file is missing or damaged, or does not fit the others.
            ConfigError: the YAML file is not such a list.
        """
        sources = [source] if isinstance(source, str | os.PathLike) else source
        paths, weights = [find_motion(path) for path in sources], None
        if len(paths) == 1 and paths[0].suffix.lower() in (".yaml", ".yml"):
            paths, weights = _read_list(paths[0])
        clips = [read_motion(path) for path in paths]
        for path, clip in zip(paths, clips, strict=True):
            with read_from(path):
                _check_clip("", clip, clips[0])
        with read_from(sources[0]):
            library = cls(clips, weights, device)
        library.source = paths[0]
        return library

    def check_skeleton(self, body_names: Sequence[str], parents: Sequence[int]) -> None:
        """Raise MotionError with the differences unless the clips have bodies with these names and parents."""
        advice = "Retarget the clip: manybody motion convert."
        with read_from(self.source):
            _check_names("", self.body_names, body_names, advice)
            _check_order("parents", self.parents, parents, advice)

    def check_size(self, offsets: Tensor) -> None:
        """Raise MotionError unless the clips' skeletons have this size, up to the factor :data:`SIZES`.

        Args:
            offsets: (B, 3) each body's origin in its parent's axes, m; the root's is unused.
        """
        lengths = [one[..., 1:, :].norm(dim=-1).sum(dim=-1) for one in (self._offsets, offsets)]
        for index, ratio in enumerate((lengths[0] / lengths[1]).tolist()):  # once, when a task is made
            if not 1 / SIZES <= ratio <= SIZES:
                given = f"a skeleton {ratio:.3g} times as large as the body that is to move"
                advice = "Lengths are in m: scale offsets and root_translation of the clip."
                field = f"clips[{index}].offsets" if len(self) > 1 else "offsets"
                with read_from(self.source):
                    raise MotionError(field, given, f"one of 1/{SIZES:g} to {SIZES:g} times", advice)

    def __len__(self) -> int:
        return len(self.lengths)

    def sample(
        self, count: int, generator: torch.Generator | None = None, history: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Draw clips by weight, with replacement, and a uniformly distributed time in each.

        Args:
            count: M.
            generator: a generator on the library's device; None: torch's default.
            history: seconds at the start of each clip that are not drawn, so that earlier frames exist. The time in a
                shorter clip is its end.

        Returns:
            (M,) int64 indices of clips and (M,) seconds.
        """
        # torch.multinomial reads the weights on the host; inverting their cumulative sum does not.
        drawn = torch.rand(count, generator=generator, device=self.device, dtype=torch.float64)
        motions = torch.searchsorted(self._cumulative, drawn, right=True)
        length = self.lengths[motions]
        first = length.clamp_max(history)
        return motions, first + torch.rand(count, generator=generator, device=self.device) * (length - first)

    def state(self, motions: Tensor, times: Tensor) -> MotionState:
        """Interpolate the pose of each clip at its time.

        Args:
            motions: (M,) int64 indices of clips.
            times: (M,) seconds; before the first and after the last frame, the pose and the velocity are those of the
                frame.
        """
        fps = self.fps[motions]
        times = times.clamp_min(0.0).minimum(self.lengths[motions])
        frame = (times * fps).long().minimum(self._last_pair[motions])
        since = times - frame / fps
        row = self._starts[motions] + frame

        position, velocity = self._root[row].split((3, 3), dim=-1)
        position = position + since.unsqueeze(-1) * velocity
        # One gather, then each component in a contiguous batch, which is fastest for rotations.
        joints = self._joints[row].permute(2, 1, 0).contiguous().permute(2, 1, 0)
        rotations, turning = joints.split((4, 3), dim=-1)
        rotations = quat_multiply(rotations, quat_exp(since[:, None, None] * turning))
        return MotionState(position, velocity, rotations, turning)

    def _tensor(self, values: object) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device)


def _moving(clip: Clip) -> tuple[Tensor, Tensor]:
    """Return position and velocity (T, 6) of the root, and rotation and velocity (T, B, 7) of each body to its parent.

    Velocities lead from each frame to the next. They are computed in float64, because a division by the time between
    frames multiplies rounding errors.
    """
    position = torch.tensor(clip.root_translation, dtype=torch.float64)
    rotation = torch.tensor(clip.local_rotations, dtype=torch.float64)
    rotation = torch.nn.functional.normalize(rotation, dim=-1)
    velocity = (position[1:] - position[:-1]) * clip.fps
    turning = angular_velocity(rotation[:-1], rotation[1:], 1 / clip.fps)
    velocity, turning = (torch.cat((x, x[-1:])) for x in (velocity, turning))
    return torch.cat((position, velocity), dim=-1).float(), torch.cat((rotation, turning), dim=-1).float()


def _check_clip(prefix: str, clip: Clip, first: Clip) -> None:
    """Raise MotionError unless ``clip`` has offsets and the skeleton of ``first``."""
    if clip.offsets is None:
        advice = "Positions need the skeleton's size: give the clip offsets."
        raise MotionError(f"{prefix}offsets", "none", "(B, 3) numbers", advice)
    advice = "All clips of a library share the skeleton of the first; retarget or split them."
    _check_names(prefix, clip.body_names, first.body_names, advice)
    _check_order(f"{prefix}parents", tuple(clip.parents), tuple(first.parents), advice)


def _check_names(prefix: str, names: Sequence[str], expected: Sequence[str], advice: str) -> None:
    unknown = [name for name in names if name not in expected]
    missing = [name for name in expected if name not in names]
    if unknown or missing:
        raise MotionError(f"{prefix}body_names", _few(unknown), _few(missing), advice)
    _check_order(f"{prefix}body_names", names, expected, advice)


def _check_order(field: str, values: Sequence[object], expected: Sequence[object], advice: str) -> None:
    for index, (value, other) in enumerate(zip(values, expected, strict=True)):
        if value != other:
            raise MotionError(f"{field}[{index}]", shown(value), shown(other), advice)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(map(shown, names[:4])) + more or "no other body"


class _Listed(Section):
    """A clip in a list of clips."""

    file: Text
    weight: Annotated[Number, Field(ge=0)] = 1.0


class _ClipList(Section):
    """A YAML file that lists clips."""

    motions: tuple[_Listed, ...]


def _read_list(path: Path) -> tuple[list[Path], list[float]]:
    """Read files and weights of a YAML list of clips."""
    clips = parse_whole(_ClipList, load_yaml(path))
    with read_from(path):
        files = [find_motion(clip.file, path.parent) for clip in clips.motions]
    return files, [clip.weight for clip in clips.motions]
