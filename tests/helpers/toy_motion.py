"""Small clips made by formula."""

import numpy as np

from manybody.motion.clip import Clip

NAMES = ("hip", "thigh", "shin", "arm")
PARENTS = (-1, 0, 1, 0)
OFFSETS = ((0.0, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, -0.4), (0.2, 0.0, 0.3))


def quats(frames, bodies=4, seed=0):
    """Return unit quaternions (frames, bodies, 4); consecutive ones differ by about 0.5 rad."""
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.normal(size=(frames, bodies, 4), scale=0.25), axis=0)
    values[..., 0] += 1.5
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def fields(frames=6, seed=0, **changes):
    """Return the arguments of a valid clip with ``changes``."""
    rng = np.random.default_rng(seed)
    return {
        "fps": 10.0,
        "body_names": NAMES,
        "parents": PARENTS,
        "local_rotations": quats(frames, seed=seed),
        "root_translation": rng.normal(size=(frames, 3)),
        "licence": "made for a test",
        "offsets": np.array(OFFSETS),
    } | changes


def make_clip(frames=6, seed=0, **changes):
    return Clip(**fields(frames, seed, **changes))
