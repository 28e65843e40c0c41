"""Clips that this project makes itself: whole cycles of the gaits in :mod:`manybody.motion.gaits`."""

import math
import os
from pathlib import Path

import torch
from torch import Tensor

from manybody.functional.rotations import quat_conjugate, quat_multiply, quat_rotate
from manybody.motion.clip import Clip, save_clip
from manybody.motion.gait_leg import leg_rotations, turned
from manybody.motion.gaits import GAITS, Gait
from manybody.motion.skeletons import AMP_HUMANOID

FPS = 60
GRAVITY = 9.81
LICENCE = "CC0-1.0: synthesised by manybody.motion.synthesis from published figures of human gait"


def synthesise(name: str) -> Clip:
    """The clip of a gait for :data:`~manybody.motion.skeletons.AMP_HUMANOID`: whole cycles, its last pose the first.

    Left is right, mirrored, half a cycle later (at the same time where both feet move together).

    Raises:
        ValueError: no such gait.
    """
    if name not in GAITS:
        raise ValueError(f"gait: found {name!r}, expected one of {', '.join(GAITS)}.")
    gait = GAITS[name]
    frames = torch.arange(gait.cycle * gait.cycles + 1)
    place, root = pelvis(gait, frames / gait.cycle)
    phase = (frames % gait.cycle).double() / gait.cycle
    other = phase if gait.together else ((frames + gait.cycle // 2) % gait.cycle).double() / gait.cycle
    trunk, head = upright(gait, phase)
    right, left = limbs(gait, phase), mirrored(limbs(gait, other))
    hand = turned(0, torch.zeros_like(phase))
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


def pelvis(gait: Gait, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Places (P, 3) in m and rotations (P, 4) of the pelvis; x is 0 in the middle of the right foot's first stance."""
    phase = phase.double()
    since = phase - gait.duty / 2
    once, twice = 2 * math.pi * since, 4 * math.pi * since
    seconds = gait.cycle / FPS
    x = seconds * (gait.speed * since - gait.surge / (4 * math.pi) * torch.sin(twice))
    z = bounce(gait, phase) if gait.bob == 0 else gait.bob * torch.cos(twice)
    place = torch.stack((x, -gait.sway * torch.cos(once), gait.height + z), dim=-1)
    # The swinging side has dropped most just after the other foot has left the ground.
    yaw, roll = torch.cos(2 * math.pi * phase), -torch.cos(once + 0.16 * math.pi)
    return place, pose(gait.turn * yaw, torch.full_like(phase, gait.tilt), gait.drop * roll)


def bounce(gait: Gait, phase: Tensor) -> Tensor:
    """Height (P,) above that at touch-down, m, of a body that flies freely and is caught by its stance.

    Between touch-downs D apart stands a force of weight * pi/2 * D/d * sin(pi t/d) for the duration d: it begins and
    ends at zero and carries the weight on average (Alexander 1989, *Optimization and gaits in the locomotion of
    vertebrates*: running forces are close to half sines).
    """
    share = 1.0 if gait.together else 0.5
    period, stance = share * gait.cycle / FPS, gait.duty * gait.cycle / FPS
    t = (phase % share) * gait.cycle / FPS
    push = GRAVITY * math.pi / 2 * period / stance
    ground, flight = t.clamp(max=stance), (t - stance).clamp(min=0)
    start = -GRAVITY * (period - stance) / 2  # the speed of the fall
    leave = -start
    ground_speed = start + push * stance / math.pi
    z = ground_speed * ground - GRAVITY * ground**2 / 2
    z = z - push * (stance / math.pi) ** 2 * torch.sin(math.pi * ground / stance)
    return z + leave * flight - GRAVITY * flight**2 / 2


def upright(gait: Gait, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations (P, 4) of trunk and head against the world: the shoulders turn against the pelvis, the head not."""
    zero = torch.zeros_like(phase)
    yaw = -gait.twist * torch.cos(2 * math.pi * phase)
    return pose(yaw, zero + gait.lean, zero), pose(zero, zero + gait.nod, zero)


def limbs(gait: Gait, phase: Tensor) -> tuple[Tensor, ...]:
    """Rotations (P, 4) of the right upper arm, lower arm, thigh, shin and foot, each against its parent."""
    hip_offset = torch.tensor(AMP_HUMANOID.offsets[9])

    def hip(at: Tensor) -> Tensor:
        place, rotation = pelvis(gait, at)
        return place + quat_rotate(rotation, hip_offset.expand_as(place))

    thigh, shin, foot = leg_rotations(gait, hip, phase)
    root = pelvis(gait, phase)[1]
    ankle = quat_multiply(quat_conjugate(quat_multiply(thigh, shin)), foot)
    swing = -torch.cos(2 * math.pi * phase)  # back when the foot of its side touches down
    spread = torch.full_like(phase, -gait.spread)
    pitch = -(gait.shoulder + gait.shoulder_swing * swing)
    upper = quat_multiply(
        pose(torch.zeros_like(phase), pitch, spread),
        turned(2, torch.full_like(phase, math.radians(gait.inward))),
    )
    lower = turned(1, torch.deg2rad(-(gait.elbow + gait.elbow_swing * swing)))
    return upper, lower, quat_multiply(quat_conjugate(root), thigh), shin, ankle


def mirrored(rotations: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The rotations (P, 4) seen in a mirror that swaps left and right: turns about x and z change their sense."""
    return tuple(rotation * rotation.new_tensor([1.0, -1.0, 1.0, -1.0]) for rotation in rotations)


def pose(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Quaternions (P, 4) of Rz(yaw) Ry(pitch) Rx(roll), angles (P,) in degrees."""
    tilted = quat_multiply(turned(1, torch.deg2rad(pitch)), turned(0, torch.deg2rad(roll)))
    return quat_multiply(turned(2, torch.deg2rad(yaw)), tilted)
