"""The table of gaits: the figures from which :mod:`manybody.motion.synthesis` makes clips.

Where the figures come from, for a body whose legs are 0.88 m long and whose foot is a short stiff box:

* walk: the foot stands 60 to 62 % of the cycle, the knee bends to some 20 degrees when it takes the load and to 60 in
  swing, the ankle points 20 degrees down when the toes leave the ground (Perry 1992, *Gait Analysis*; Winter 1991, *The
  Biomechanics and Motor Control of Human Gait*). The pelvis turns by 4 degrees and lists by 5 to each side and moves
  by some 4.5 cm upwards and sideways in all (Saunders, Inman and Eberhart 1953, *The major determinants in normal and
  pathological gait*).
* run: the foot leaves the ground before 40 % of the cycle, the knee bends to 45 degrees under the load and to 90 in
  swing (Novacheck 1998, *The biomechanics of running*). Under the load this knee bends to 59: the body sinks as far as
  gravity and duty demand, and no arch or pad gives way.
* hop: on both feet at close to 2.2 Hz, which people prefer (Farley, Blickhan, Saito and Taylor 1991, *Hopping
  frequency in humans*).
* crouch_walk and march are of this project's own invention.

What no source fixes was set by eye, and so that the point at which the ground would have to carry the body stays near
the standing feet: a sway A of the pelvis at height h moves it by (1 + (2 pi / cycle)^2 h / g) A.
"""

from dataclasses import dataclass

Keys = tuple[tuple[float, float], ...]
"""Points of a curve: phase of the cycle and value."""


@dataclass(frozen=True, kw_only=True)
class Gait:
    """A cyclic motion. Phases count cycles from the right foot's touch-down; angles are in degrees, lengths in m.

    What swings does so as a cosine or sine of the phase; :mod:`manybody.motion.synthesis` has the formulas.
    """

    cycle: int
    """Frames; even, so that half a cycle is whole too."""
    cycles: int
    """In the clip."""
    speed: float
    """Mean, forward, m/s."""
    duty: float
    """Share of the cycle in which a foot stands."""
    together: bool = False
    """Both feet move at once, not half a cycle apart."""
    flies: bool = False
    """No foot stands between one touch-down and the next: weight and duty decide how the pelvis bounces."""

    half_width: float
    """From the middle to the ankle of each standing foot."""
    toe_out: float
    plant: float
    """How far in front of the pelvis the flat foot's ankle is in the middle of its stance."""
    strike: float
    """Pitch of the sole at touch-down; positive: toes down."""
    lift: float
    """Pitch of the sole when it leaves the ground."""
    flat: tuple[float, float]
    """Phases from and until which the sole lies flat."""

    thigh: Keys
    """In swing, forward of the vertical."""
    knee: Keys
    """In swing."""
    ankle: Keys
    """In swing, toes down; zero with the foot square to the shin."""

    height: float
    """Of the pelvis, mean; if the gait flies, at touch-down."""
    bob: float = 0.0
    """Amplitude of the height: highest over the standing foot, lowest if negative. Of no effect if the gait flies."""
    surge: float = 0.0
    """Amplitude of the forward speed, m/s: slowest over the standing foot."""
    recoil: float = 0.0
    """Amplitude of the pelvis' way back from the swinging leg. Of no effect if the gait flies."""
    sway: float = 0.0
    """Amplitude of the pelvis' way towards the standing foot."""
    turn: float = 0.0
    """Amplitude of the pelvis' yaw: the side that touches down is in front."""
    drop: float = 0.0
    """Amplitude of the pelvis' roll: the swinging side is low."""
    tilt: float = 0.0
    """Pitch of the pelvis, forward."""

    lean: float
    """Pitch of the trunk, forward."""
    twist: float = 0.0
    """Amplitude of the trunk's yaw, against the pelvis."""
    nod: float = 0.0
    """Pitch of the head, down."""
    shoulder: float
    """Mean pitch of the upper arm against the trunk, forward."""
    shoulder_swing: float
    """Its amplitude."""
    arms: float = 0.0
    """Phase at which the arm is farthest back."""
    spread: float
    """Of the upper arm, away from the trunk."""
    inward: float
    """Turn of the upper arm about its length, the hand towards the middle."""
    elbow: float
    """Mean bend."""
    elbow_swing: float
    """Its amplitude: bent most with the arm in front."""


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
"""Name to gait."""
