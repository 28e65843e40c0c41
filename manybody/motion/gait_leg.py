"""A leg over one cycle of a gait: planted and rolling while it stands, led by joint angles while it swings.

Phases (P,) count cycles from the foot's touch-down: up to ``duty`` the foot stands, up to 1 it swings. A leg moves in
a plane that contains the foot's heading. In it four numbers describe the leg, the last axis of shape (P, 4) below:
``thigh`` forward of the vertical, ``knee`` bent, ``ankle`` toes down from square to the shin, all rad, and ``across``,
how far left of the hip the ankle is, m. All tensors are float64.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from manybody.functional.rotations import quat_about, quat_multiply
from manybody.motion.gaits import Gait, Keys
from manybody.motion.skeletons import AMP_HUMANOID

_SOLE = AMP_HUMANOID.sole_corners()
_HEEL, _TOE, _DEPTH = float(_SOLE[0, 0]), float(_SOLE[2, 0]), -float(_SOLE[0, 2])
_THIGH, _SHIN = (-float(AMP_HUMANOID.offsets[body, 2]) for body in (10, 11))
_STEP = 1e-4
"""Cycles over which slopes are taken."""


def leg_rotations(gait: Gait, hip: Callable[[Tensor], Tensor], phase: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations (P, 4) wxyz of thigh (against the world), shin (against the thigh) and foot (against the world).

    Args:
        gait: what to do.
        hip: phases (P,) to places (P, 3) of the right hip in the world, m, x counted from where the pelvis is in the
            middle of the stance.
        phase: (P,) in [0, 1).

    Raises:
        ValueError: the planted foot is out of reach.
    """
    thigh, knee, ankle, across = _leg(gait, hip, phase).unbind(-1)
    down = _THIGH * torch.cos(thigh) + _SHIN * torch.cos(thigh - knee)
    heading = quat_about(2, torch.full_like(thigh, -math.radians(gait.toe_out)))
    upper = quat_multiply(heading, quat_multiply(quat_about(0, torch.asin(across / down)), quat_about(1, -thigh)))
    return upper, quat_about(1, knee), quat_multiply(heading, quat_about(1, knee + ankle - thigh))


def clamped_spline(keys: Keys, slopes: tuple[float, float], at: Tensor) -> Tensor:
    """The cubic spline (P,) through ``keys`` at ``at`` (P,), with given slopes at its two ends.

    h_{i-1} M_{i-1} + 2 (h_{i-1} + h_i) M_i + h_i M_{i+1} = 6 (d_i - d_{i-1}) with intervals h, slopes d of the chords
    and second derivatives M, the given slopes taking the place of the missing chords (de Boor 1978, *A Practical
    Guide to Splines*).
    """
    x, y = torch.tensor(keys, dtype=torch.float64).T.contiguous()
    h, end = x.diff(), x.new_zeros(1)
    chords = torch.cat((x.new_tensor(slopes[:1]), y.diff() / h, x.new_tensor(slopes[1:])))
    system = torch.diag(2 * (torch.cat((end, h)) + torch.cat((h, end)))) + torch.diag(h, 1) + torch.diag(h, -1)
    curve = torch.linalg.solve(system, 6 * chords.diff())
    i = (torch.searchsorted(x, at, right=True) - 1).clamp(0, len(h) - 1)
    a, b = (x[i + 1] - at) / h[i], (at - x[i]) / h[i]
    return a * y[i] + b * y[i + 1] + ((a**3 - a) * curve[i] + (b**3 - b) * curve[i + 1]) * h[i] ** 2 / 6


def _leg(gait: Gait, hip: Callable[[Tensor], Tensor], phase: Tensor) -> Tensor:
    """The four numbers (P, 4). In swing splines lead from how the foot left the ground to how it meets it again."""
    ends = torch.tensor([0.0, _STEP, gait.duty - _STEP, gait.duty], dtype=torch.float64)
    touch, after, before, lift = _standing(gait, hip, ends)
    middle = [tuple((x, math.radians(y)) for x, y in keys) for keys in (gait.thigh, gait.knee, gait.ankle)]
    curves = [
        clamped_spline(
            ((gait.duty, float(lift[i])), *keys, (1.0, float(touch[i]))),
            (float(lift[i] - before[i]) / _STEP, float(after[i] - touch[i]) / _STEP),
            phase,
        )
        for i, keys in enumerate((*middle, ()))
    ]
    standing = _standing(gait, hip, phase.clamp(max=gait.duty))
    return torch.where(phase[:, None] < gait.duty, standing, torch.stack(curves, dim=-1))


def _standing(gait: Gait, hip: Callable[[Tensor], Tensor], phase: Tensor) -> Tensor:
    """The four numbers (P, 4) that put the ankle where the planted sole has it, by the law of cosines."""
    down, up = 1 - phase / gait.flat[0], (phase - gait.flat[1]) / (gait.duty - gait.flat[1])
    pitch = math.radians(gait.strike) * down.clamp(min=0) ** 2 + math.radians(gait.lift) * up.clamp(min=0) ** 2
    # The sole rolls about its toe edge when it points down, about its heel edge when it points up.
    pivot = torch.where(pitch > 0, _TOE, _HEEL)
    along = pivot - pivot * torch.cos(pitch) + _DEPTH * torch.sin(pitch)
    height = pivot * torch.sin(pitch) + _DEPTH * torch.cos(pitch)

    place, heading = hip(phase), -math.radians(gait.toe_out)
    x, y = gait.plant - place[:, 0], -gait.half_width - place[:, 1]
    forward = x * math.cos(heading) + y * math.sin(heading) + along
    across = y * math.cos(heading) - x * math.sin(heading)
    down = torch.hypot(place[:, 2] - height, across)

    squared = forward**2 + down**2
    excess = squared.amax().sqrt() - (_THIGH + _SHIN)
    if excess >= 0:
        raise ValueError(f"the leg is {float(excess):.3f} m too short: lower the pelvis or shorten the step")
    knee = torch.acos((squared - _THIGH**2 - _SHIN**2) / (2 * _THIGH * _SHIN))
    thigh = torch.atan2(forward, down) + torch.atan2(_SHIN * torch.sin(knee), _THIGH + _SHIN * torch.cos(knee))
    return torch.stack((thigh, knee, pitch - knee + thigh, across), dim=-1)
