"""The table of gaits: the figures from which :mod:`manybody.motion.synthesis` makes clips."""

from dataclasses import dataclass

Keys = tuple[tuple[float, float], ...]
"""Points of a curve: phase of the cycle and value."""


@dataclass(frozen=True)
class Gait:
    """A cyclic motion. Phases count cycles from the right foot's touch-down; angles are in degrees, lengths in m.

    Every ``*_swing`` is the amplitude of a cosine or sine over the cycle; see the functions that use it.
    """

    # Time and place
    cycle: int
    """Frames, even so that half a cycle is a whole number too."""
    cycles: int
    """In the clip."""
    speed: float
    """Mean, forward, m/s."""
    duty: float
    """Share of the cycle in which a foot stands."""
    together: bool = False
    """Both feet at once, not half a cycle apart."""
    # The standing foot
    half_width: float = 0.07
    """From the middle to each ankle."""
    toe_out: float = 5.0
    plant: float = 0.0
    """How far in front of the pelvis the flat foot's ankle is in the middle of its stance."""
    strike: float = 0.0
    """Pitch of the sole at touch-down, toes down positive."""
    lift: float = 50.0
    """Pitch of the sole when it leaves the ground."""
    flat: tuple[float, float] = (0.08, 0.35)
    """Phases from and until which the sole lies flat."""
    # The swinging leg
    thigh: Keys = ()
    """Forward of the vertical."""
    knee: Keys = ()
    ankle: Keys = ()
    """Plantar flexion: zero with the foot square to the shin."""
    # The pelvis
    height: float = 0.85
    """Mean over the cycle or, if the gait flies, when it touches down."""
    bob: float = 0.0
    """Amplitude of the height; of no use to gaits that fly, whose weight and duty decide."""
    surge: float = 0.0
    """Amplitude of the forward speed, m/s: slowest over the standing foot."""
    sway: float = 0.0
    """Amplitude, towards the standing foot."""
    turn: float = 0.0
    """Amplitude of the yaw: the side of the leg that touches down is in front."""
    drop: float = 0.0
    """Amplitude of the roll: the side of the swinging leg is low."""
    tilt: float = 0.0
    """Mean pitch of the pelvis, forward."""
    # Above
    lean: float = 0.0
    """Pitch of the trunk, forward."""
    twist: float = 0.0
    """Amplitude of the trunk's yaw, against the pelvis."""
    nod: float = 0.0
    """Pitch of the head, down."""
    shoulder: float = 0.0
    """Mean of the upper arm's pitch against the trunk, forward."""
    shoulder_swing: float = 0.0
    spread: float = 8.0
    """Of the upper arms, away from the trunk."""
    inward: float = 0.0
    """Turn of the upper arms about their length, hands towards the middle."""
    elbow: float = 20.0
    elbow_swing: float = 0.0


GAITS = {
    "walk": Gait(
        cycle=64, cycles=3, speed=1.22, duty=0.61,
        half_width=0.06, toe_out=6, plant=-0.07, strike=-20, lift=57, flat=(0.07, 0.38),
        thigh=((0.735, 16), (0.92, 31)), knee=((0.70, 61), (0.92, 20)), ankle=((0.74, 4), (0.92, -2)),
        height=0.847, bob=0.02, surge=0.1, sway=0.017, turn=5, drop=4, tilt=2,
        lean=2, twist=4, nod=2, shoulder=-4, shoulder_swing=18, spread=8, inward=10, elbow=26, elbow_swing=12,
    ),
}  # fmt: skip
"""Name to gait."""
