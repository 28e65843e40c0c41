"""Clips that this project makes itself: whole cycles of the gaits in :mod:`manybody.motion.gaits`."""

import math
import os
from pathlib import Path

import torch
from torch import Tensor

from manybody.functional.rotations import quat_about, quat_conjugate, quat_multiply, quat_rotate
from manybody.motion.clip import Clip, save_clip
from manybody.motion.gait_leg import leg_rotations
from manybody.motion.gaits import GAITS, Gait
from manybody.motion.skeletons import AMP_HUMANOID

FPS = 60
GRAVITY = 9.81
LICENCE = "CC0-1.0: synthesised by manybody.motion.synthesis from published figures of human gait"


def synthesise(name: str) -> Clip:
    """The clip of a gait for :data:`~manybody.motion.skeletons.AMP_HUMANOID`: whole cycles, its last pose the first.

    The pelvis moves first; the standing foot rolls over the ground without sliding and the leg reaches for it; in
    swing the leg's angles follow splines. Left is right, mirrored, half a cycle later (at once if the feet go
    together).

    Args:
        name: one of :data:`~manybody.motion.gaits.GAITS`.

    Raises:
        ValueError: no such gait.
    """
    if name not in GAITS:
        raise ValueError(f"gait: found {name!r}, expected one of {', '.join(GAITS)}.")
    gait = GAITS[name]
    frames = torch.arange(gait.cycle * gait.cycles + 1, dtype=torch.float64)
    place, root = _pelvis(gait, frames / gait.cycle)
    phase = frames % gait.cycle / gait.cycle
    other = phase if gait.together else (frames + gait.cycle // 2) % gait.cycle / gait.cycle
    trunk, head = _upright(gait, phase)
    right, left = _limbs(gait, phase), _mirrored(_limbs(gait, other))
    hand = quat_about(0, torch.zeros_like(phase))
    local = [root, quat_multiply(quat_conjugate(root), trunk), quat_multiply(quat_conjugate(trunk), head)]
    local += [*right[:2], hand, *left[:2], hand, *right[2:], *left[2:]]
    return Clip(
        fps=FPS,
        body_names=AMP_HUMANOID.names,
        parents=AMP_HUMANOID.parents,
        local_rotations=torch.stack(local, dim=1).numpy(),
        root_translation=place.numpy(),
        licence=LICENCE,
        offsets=AMP_HUMANOID.offsets,
    )


def write_clips(folder: str | os.PathLike) -> None:
    """Write every gait's clip to ``folder`` as ``<gait>.npz``.

    Raises:
        OSError: the folder cannot be written.
    """
    for name in GAITS:
        save_clip(Path(folder) / f"{name}.npz", synthesise(name))


def _pelvis(gait: Gait, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Places (P, 3) in m and rotations (P, 4) of the pelvis; x is 0 in the middle of the right foot's first stance."""
    since = phase - gait.duty / 2
    seconds = gait.cycle / FPS
    if gait.flies:
        ahead, up = _bounce(gait, phase)
    else:
        twice = 4 * math.pi * since
        ahead = -gait.surge * seconds / (4 * math.pi) * torch.sin(twice) - gait.recoil * torch.cos(twice)
        up = gait.bob * torch.cos(twice)
    side = -gait.sway * torch.cos(2 * math.pi * since)
    place = torch.stack((gait.speed * seconds * since + ahead, side, gait.height + up), dim=-1)
    # The hip over the swinging leg is lowest soon after that leg has left the ground.
    yaw, roll = torch.cos(2 * math.pi * phase), -torch.cos(2 * math.pi * (since + 0.08))
    return place, _pose(gait.turn * yaw, torch.full_like(phase, gait.tilt), gait.drop * roll)


def _bounce(gait: Gait, phase: Tensor) -> tuple[Tensor, Tensor]:
    """How far (P,) a body that flies and is caught is ahead of its mean motion and above its touch-down, m.

    In flight gravity alone acts. Between touch-downs D apart stands, for a time d, a force of weight * pi/2 * D/d *
    sin(pi t/d): it grows from nothing and on average carries the weight (in running, forces are near half sines:
    Alexander 1989, *Optimization and gaits in the locomotion of vertebrates*). The ground first slows the body down,
    then speeds it up: the speed changes as ``surge * cos(2 pi t/d)``.
    """
    share = 1.0 if gait.together else 0.5
    period, stance = (x * gait.cycle / FPS for x in (share, gait.duty))
    time = (phase % share) * gait.cycle / FPS
    standing, flying = time.clamp(max=stance), (time - stance).clamp(min=0)

    drift = (period - stance) / period  # the mean change of speed, in units of surge: 1 in flight, 0 on the ground
    turn = math.pi * standing / stance
    ahead = gait.surge * (stance / (2 * math.pi) * torch.sin(2 * turn) + flying - drift * (time - stance / 2))
    # The force integrated twice, then gravity and the fall at touch-down, which is as fast as the take-off.
    swell = GRAVITY * period / 2 * (standing - stance / math.pi * torch.sin(turn))
    up = swell - GRAVITY * (standing**2 + (period - stance) * standing) / 2
    return ahead, up + GRAVITY * ((period - stance) * flying - flying**2) / 2


def _upright(gait: Gait, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations (P, 4) of trunk and head against the world: the shoulders turn against the pelvis, the head not."""
    zero = torch.zeros_like(phase)
    yaw = -gait.twist * torch.cos(2 * math.pi * phase)
    return _pose(yaw, zero + gait.lean, zero), _pose(zero, zero + gait.nod, zero)


def _limbs(gait: Gait, phase: Tensor) -> tuple[Tensor, ...]:
    """Rotations (P, 4) of the right upper arm, lower arm, thigh, shin and foot, each against its parent."""
    hip_offset = torch.tensor(AMP_HUMANOID.offsets[9])

    def hip(at: Tensor) -> Tensor:
        place, rotation = _pelvis(gait, at)
        return place + quat_rotate(rotation, hip_offset.expand_as(place))

    thigh, shin, foot = leg_rotations(gait, hip, phase)
    root = _pelvis(gait, phase)[1]
    ankle = quat_multiply(quat_conjugate(quat_multiply(thigh, shin)), foot)
    swing = -torch.cos(2 * math.pi * (phase - gait.arms))
    spread = torch.full_like(phase, -gait.spread)
    pitch = -(gait.shoulder + gait.shoulder_swing * swing)
    upper = quat_multiply(
        _pose(torch.zeros_like(phase), pitch, spread),
        quat_about(2, torch.full_like(phase, math.radians(gait.inward))),
    )
    lower = quat_about(1, torch.deg2rad(-(gait.elbow + gait.elbow_swing * swing)))
    return upper, lower, quat_multiply(quat_conjugate(root), thigh), shin, ankle


def _mirrored(rotations: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The rotations (P, 4) seen in a mirror that swaps left and right: turns about x and z change their sense."""
    return tuple(rotation * rotation.new_tensor([1.0, -1.0, 1.0, -1.0]) for rotation in rotations)


def _pose(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Quaternions (P, 4) of Rz(yaw) Ry(pitch) Rx(roll), angles (P,) in degrees."""
    tilted = quat_multiply(quat_about(1, torch.deg2rad(pitch)), quat_about(0, torch.deg2rad(roll)))
    return quat_multiply(quat_about(2, torch.deg2rad(yaw)), tilted)
