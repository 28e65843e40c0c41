"""Synthesise motion clips: the table of gaits, and the code that converts a gait to a clip.

The bundled clips are ``save_clip(path, synthesise(name))``.

Sources of the figures, for a body whose legs are 0.88 m long and whose foot is a short stiff box:

* walk: the foot stands 60 to 62 % of the cycle, the knee bends by about 20 degrees when it takes the load and by 60 in
  swing, the ankle points 20 degrees down when the toes leave the ground (Perry 1992, *Gait Analysis*; Winter 1991, *The
  Biomechanics and Motor Control of Human Gait*). The pelvis turns by 4 degrees and lists by 5 to each side and moves
  by about 4.5 cm upwards and sideways in all (Saunders, Inman and Eberhart 1953, *The major determinants in normal and
  pathological gait*).
* run: the foot leaves the ground before 40 % of the cycle, the knee bends by 45 degrees under the load and by 90 in
  swing (Novacheck 1998, *The biomechanics of running*). Here it bends by 59 under the load: gravity and duty decide how
  far the body sinks, and the foot has no arch that gives way.
* hop: on both feet at close to 2.2 Hz, which people prefer (Farley, Blickhan, Saito and Taylor 1991, *Hopping
  frequency in humans*).
* crouch_walk and march have no source.

All other figures were chosen by eye, so that the centre of pressure stays near the standing feet: a sway A of the
pelvis at height h moves it by (1 + (2 pi / cycle)^2 h / g) A.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from manybody.functional.rotations import quat_about, quat_conjugate, quat_multiply, quat_rotate
from manybody.motion.clip import Clip
from manybody.motion.skeletons import AMP_HUMANOID

FPS = 60
GRAVITY = 9.81
LICENCE = "CC0-1.0: synthesised by manybody.motion.synthesis from published figures of human gait"

_SOLE = AMP_HUMANOID.sole_corners()
_HEEL, _TOE, _DEPTH = float(_SOLE[0, 0]), float(_SOLE[2, 0]), -float(_SOLE[0, 2])
_THIGH, _SHIN = (-float(AMP_HUMANOID.offsets[body, 2]) for body in (10, 11))
_STEP = 1e-4
"""Step of the phase for finite differences, cycles."""

Keys = tuple[tuple[float, float], ...]
"""Points of a curve: phase of the cycle and value."""


@dataclass(frozen=True, kw_only=True)
class Gait:
    """A cyclic motion. Phases count cycles from the right foot's touch-down; angles are in degrees, lengths in m.

    Amplitudes belong to a cosine or sine of the phase; the functions below have the formulas.
    """

    cycle: int  # frames; even, so that half a cycle is whole too
    cycles: int  # in the clip
    speed: float  # mean, forward, m/s
    duty: float  # share of the cycle in which a foot stands
    together: bool = False  # both feet move at once, not half a cycle apart
    flies: bool = False  # no foot stands between two touch-downs; weight and duty decide how the pelvis bounces

    half_width: float  # from the middle to the ankle of each standing foot
    toe_out: float
    plant: float  # distance of the flat foot's ankle in front of the pelvis in the middle of its stance
    strike: float  # pitch of the sole at touch-down; positive: toes down
    lift: float  # pitch of the sole when it leaves the ground
    flat: tuple[float, float]  # phases from and until which the sole is flat

    thigh: Keys  # in swing, forward of the vertical
    knee: Keys  # in swing
    ankle: Keys  # in swing, toes down; zero with the foot square to the shin

    height: float  # of the pelvis, mean; if the gait flies, at touch-down
    bob: float = 0.0  # amplitude of the height, highest over the standing foot, lowest if negative; unless it flies
    surge: float = 0.0  # amplitude of the forward speed, m/s: slowest over the standing foot
    recoil: float = 0.0  # amplitude of the pelvis away from the swinging leg; unless it flies
    sway: float = 0.0  # amplitude of the pelvis towards the standing foot
    turn: float = 0.0  # amplitude of the pelvis' yaw: the side that touches down is in front
    drop: float = 0.0  # amplitude of the pelvis' roll: the swinging side is low
    tilt: float = 0.0  # pitch of the pelvis, forward

    lean: float  # pitch of the trunk, forward
    twist: float = 0.0  # amplitude of the trunk's yaw, against the pelvis
    nod: float = 0.0  # pitch of the head, down
    shoulder: float  # mean pitch of the upper arm against the trunk, forward
    shoulder_swing: float  # its amplitude
    arms: float = 0.0  # phase at which the arm is farthest back
    spread: float  # of the upper arm, away from the trunk
    inward: float  # turn of the upper arm about its length, the hand towards the middle
    elbow: float  # mean bend
    elbow_swing: float  # its amplitude: bent most with the arm in front


GAITS = {
    "walk": Gait(
        cycle=64, cycles=3, speed=1.22, duty=0.61,
        half_width=0.06, toe_out=6, plant=-0.07, strike=-20, lift=57, flat=(0.07, 0.38),
        thigh=((0.735, 16), (0.92, 31.8)), knee=((0.70, 61), (0.92, 20)), ankle=((0.74, 4), (0.92, -2)),
        height=0.847, bob=0.02, surge=0.1, sway=0.017, turn=5, drop=4, tilt=2,
        lean=2, twist=4, nod=2, shoulder=-4, shoulder_swing=18, spread=8, inward=10, elbow=26, elbow_swing=12,
    ),
    "run": Gait(
        cycle=42, cycles=5, speed=2.9, duty=0.35, flies=True,
        half_width=0.04, toe_out=5, plant=-0.095, strike=-8, lift=44, flat=(0.04, 0.20),
        thigh=((0.54, -3), (0.81, 41)), knee=((0.61, 90), (0.845, 50)), ankle=((0.54, 2), (0.845, -9)),
        height=0.823, surge=0.11, sway=0.01, turn=6, drop=4, tilt=5,
        lean=8, twist=9, nod=2, shoulder=-10, shoulder_swing=32, spread=12, inward=25, elbow=88, elbow_swing=12,
    ),
    "crouch_walk": Gait(
        cycle=72, cycles=3, speed=0.7, duty=0.64,
        half_width=0.08, toe_out=8, plant=0.03, strike=-5, lift=42, flat=(0.06, 0.34),
        thigh=((0.76, 33), (0.93, 53)), knee=((0.75, 88), (0.93, 64)), ankle=((0.78, -8), (0.93, -12)),
        height=0.745, bob=0.01, surge=0.06, sway=0.022, turn=4, drop=2, tilt=10,
        lean=24, twist=4, nod=5, shoulder=12, shoulder_swing=12, spread=14, inward=15, elbow=60, elbow_swing=8,
    ),
    "march": Gait(
        cycle=72, cycles=3, speed=0, duty=0.55,
        half_width=0.075, toe_out=5, plant=-0.03, strike=20, lift=30, flat=(0.11, 0.46),
        thigh=((0.79, 74),), knee=((0.78, 86),), ankle=((0.79, 8),),
        height=0.862, bob=-0.008, recoil=0.017, sway=0.022, drop=2,
        lean=1, twist=3, shoulder=0, shoulder_swing=28, arms=-0.21, spread=8, inward=10, elbow=60, elbow_swing=15,
    ),
    "hop": Gait(
        cycle=28, cycles=6, speed=0.3, duty=0.62, together=True, flies=True,
        half_width=0.09, toe_out=6, plant=-0.05, strike=25, lift=32, flat=(0.24, 0.38),
        thigh=((0.81, 20),), knee=((0.81, 40),), ankle=((0.81, 20),),
        height=0.90, surge=0.03, tilt=4,
        lean=6, nod=2, shoulder=5, shoulder_swing=14, arms=0.25, spread=14, inward=20, elbow=65, elbow_swing=8,
    ),
}  # fmt: skip


def synthesise(name: str) -> Clip:
    """Create the clip of a gait of :data:`GAITS` for :data:`~manybody.motion.skeletons.AMP_HUMANOID`.

    The clip has whole cycles, so its first and last frames are equal. The gait defines the path of the pelvis. The
    standing foot rolls over the ground without sliding, and the leg connects it to the pelvis; in swing the leg's
    angles follow splines. The left side mirrors the right one half a cycle later, or at the same time if the feet move
    together.
    """
    gait = GAITS[name]
    frames = torch.arange(gait.cycle * gait.cycles + 1, dtype=torch.float64)
    position, root = _pelvis(gait, frames / gait.cycle)
    phase = frames % gait.cycle / gait.cycle
    other = phase if gait.together else (frames + gait.cycle // 2) % gait.cycle / gait.cycle
    zero = torch.zeros_like(phase)
    # Trunk and head in the world: the shoulders rotate opposite to the pelvis.
    trunk = _pose(-gait.twist * torch.cos(2 * math.pi * phase), zero + gait.lean, zero)
    head = _pose(zero, zero + gait.nod, zero)
    right, left = _limbs(gait, phase), _limbs(gait, other)
    left = [rotation * rotation.new_tensor([1.0, -1.0, 1.0, -1.0]) for rotation in left]  # turns about x and z mirrored
    hand = quat_about(0, zero)
    local = [root, quat_multiply(quat_conjugate(root), trunk), quat_multiply(quat_conjugate(trunk), head)]
    local += [*right[:2], hand, *left[:2], hand, *right[2:], *left[2:]]
    return Clip(
        fps=FPS,
        body_names=AMP_HUMANOID.names,
        parents=AMP_HUMANOID.parents,
        local_rotations=torch.stack(local, dim=1).numpy(),
        root_translation=position.numpy(),
        licence=LICENCE,
        offsets=AMP_HUMANOID.offsets,
    )


def _pelvis(gait: Gait, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Compute positions (P, 3) in m and rotations (P, 4) of the pelvis; x is 0 in the middle of the right stance."""
    since = phase - gait.duty / 2
    seconds = gait.cycle / FPS
    if gait.flies:
        ahead, up = _bounce(gait, phase)
    else:
        twice = 4 * math.pi * since
        ahead = -gait.surge * seconds / (4 * math.pi) * torch.sin(twice) - gait.recoil * torch.cos(twice)
        up = gait.bob * torch.cos(twice)
    side = -gait.sway * torch.cos(2 * math.pi * since)
    position = torch.stack((gait.speed * seconds * since + ahead, side, gait.height + up), dim=-1)
    # The hip of the swinging leg is lowest soon after that leg has left the ground.
    yaw, roll = torch.cos(2 * math.pi * phase), -torch.cos(2 * math.pi * (since + 0.08))
    return position, _pose(gait.turn * yaw, torch.full_like(phase, gait.tilt), gait.drop * roll)


def _bounce(gait: Gait, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the distances (P,) of a bouncing body ahead of its mean motion and above its touch-down height, m.

    In flight only gravity acts. In a stance of duration d, of a period D, the ground pushes with the force
    weight * pi/2 * D/d * sin(pi t/d), which carries the weight on average (in running, forces are near half sines:
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


def _limbs(gait: Gait, phase: Tensor) -> list[Tensor]:
    """Compute rotations (P, 4) of right upper arm, lower arm, thigh, shin and foot, each relative to its parent."""
    swing = -torch.cos(2 * math.pi * (phase - gait.arms))
    spread = torch.full_like(phase, -gait.spread)
    pitch = -(gait.shoulder + gait.shoulder_swing * swing)
    inward = quat_about(2, torch.full_like(phase, math.radians(gait.inward)))
    upper = quat_multiply(_pose(torch.zeros_like(phase), pitch, spread), inward)
    lower = quat_about(1, torch.deg2rad(-(gait.elbow + gait.elbow_swing * swing)))

    flexion, knee, ankle, across = _leg(gait, phase).unbind(-1)
    down = _THIGH * torch.cos(flexion) + _SHIN * torch.cos(flexion - knee)
    heading = quat_about(2, torch.full_like(phase, -math.radians(gait.toe_out)))
    aside = quat_about(0, torch.asin(across / down))
    thigh = quat_multiply(heading, quat_multiply(aside, quat_about(1, -flexion)))  # against the world, as the foot is
    shin, foot = quat_about(1, knee), quat_multiply(heading, quat_about(1, knee + ankle - flexion))
    root = _pelvis(gait, phase)[1]
    against_shin = quat_multiply(quat_conjugate(quat_multiply(thigh, shin)), foot)
    return [upper, lower, quat_multiply(quat_conjugate(root), thigh), shin, against_shin]


def _pose(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Compute the quaternions (P, 4) of Rz(yaw) Ry(pitch) Rx(roll), angles (P,) in degrees."""
    tilted = quat_multiply(quat_about(1, torch.deg2rad(pitch)), quat_about(0, torch.deg2rad(roll)))
    return quat_multiply(quat_about(2, torch.deg2rad(yaw)), tilted)


def clamped_spline(keys: Keys, slopes: tuple[float, float], at: Tensor) -> Tensor:
    """Evaluate the cubic spline through ``keys``, with these slopes at its two ends, at ``at`` (P,).

    h_{i-1} M_{i-1} + 2 (h_{i-1} + h_i) M_i + h_i M_{i+1} = 6 (d_i - d_{i-1}) with intervals h, slopes d of the chords
    and second derivatives M; the slopes at the ends replace the missing chords (de Boor 1978, *A Practical Guide to
    Splines*).
    """
    x, y = torch.tensor(keys, dtype=torch.float64).T.contiguous()
    h, end = x.diff(), x.new_zeros(1)
    chords = torch.cat((x.new_tensor(slopes[:1]), y.diff() / h, x.new_tensor(slopes[1:])))
    system = torch.diag(2 * (torch.cat((end, h)) + torch.cat((h, end)))) + torch.diag(h, 1) + torch.diag(h, -1)
    curve = torch.linalg.solve(system, 6 * chords.diff())
    i = (torch.searchsorted(x, at, right=True) - 1).clamp(0, len(h) - 1)
    a, b = (x[i + 1] - at) / h[i], (at - x[i]) / h[i]
    return a * y[i] + b * y[i + 1] + ((a**3 - a) * curve[i] + (b**3 - b) * curve[i + 1]) * h[i] ** 2 / 6


def _leg(gait: Gait, phase: Tensor) -> Tensor:
    """Return the pose of the right leg, four numbers (P, 4), at phases (P,) in [0, 1) since the foot's touch-down.

    They are ``thigh`` (forward of the vertical), ``knee`` (bend), ``ankle`` (toes down from perpendicular to the shin),
    all rad, and ``across``, the distance of the ankle to the left of the hip, m, perpendicular to the foot's heading.
    Up to ``duty`` the foot stands and rolls; in swing, splines lead from take-off to touch-down.
    """
    ends = torch.tensor([0.0, _STEP, gait.duty - _STEP, gait.duty], dtype=torch.float64)
    touch, after, before, lift = _standing(gait, ends)
    middle = [tuple((x, math.radians(y)) for x, y in keys) for keys in (gait.thigh, gait.knee, gait.ankle)]
    curves = [
        clamped_spline(
            ((gait.duty, float(lift[i])), *keys, (1.0, float(touch[i]))),
            (float(lift[i] - before[i]) / _STEP, float(after[i] - touch[i]) / _STEP),
            phase,
        )
        for i, keys in enumerate((*middle, ()))
    ]
    standing = _standing(gait, phase.clamp(max=gait.duty))
    return torch.where(phase[:, None] < gait.duty, standing, torch.stack(curves, dim=-1))


def _standing(gait: Gait, phase: Tensor) -> Tensor:
    """Compute the four numbers (P, 4) for the ankle of the planted sole, by the law of cosines."""
    down, up = 1 - phase / gait.flat[0], (phase - gait.flat[1]) / (gait.duty - gait.flat[1])
    pitch = math.radians(gait.strike) * down.clamp(min=0) ** 2 + math.radians(gait.lift) * up.clamp(min=0) ** 2
    # The sole rolls about its toe edge when it points down, about its heel edge when it points up.
    pivot = torch.where(pitch > 0, _TOE, _HEEL)
    along = pivot - pivot * torch.cos(pitch) + _DEPTH * torch.sin(pitch)
    height = pivot * torch.sin(pitch) + _DEPTH * torch.cos(pitch)

    pelvis, rotation = _pelvis(gait, phase)
    hip = pelvis + quat_rotate(rotation, torch.tensor(AMP_HUMANOID.offsets[9]).expand_as(pelvis))
    heading = -math.radians(gait.toe_out)
    x, y = gait.plant - hip[:, 0], -gait.half_width - hip[:, 1]
    forward = x * math.cos(heading) + y * math.sin(heading) + along
    across = y * math.cos(heading) - x * math.sin(heading)
    down = torch.hypot(hip[:, 2] - height, across)

    squared = forward**2 + down**2
    excess = squared.amax().sqrt() - (_THIGH + _SHIN)
    if excess >= 0:
        raise ValueError(f"the leg is {float(excess):.3f} m too short: lower the pelvis or shorten the step")
    knee = torch.acos((squared - _THIGH**2 - _SHIN**2) / (2 * _THIGH * _SHIN))
    thigh = torch.atan2(forward, down) + torch.atan2(_SHIN * torch.sin(knee), _THIGH + _SHIN * torch.cos(knee))
    return torch.stack((thigh, knee, pitch - knee + thigh, across), dim=-1)
