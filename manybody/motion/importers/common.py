"""Conversions that several importers need."""

import numpy as np

NOT_STATED = "not stated in the imported file"
"""Licence of a clip whose format has none."""


def z_up(vectors: np.ndarray) -> np.ndarray:
    """Turn vectors (..., 3) with y up by a quarter turn about x: (x, y, z) becomes (x, -z, y)."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.stack((x, -z, y), axis=-1)


def quats_z_up(quats: np.ndarray) -> np.ndarray:
    """Turn the axes of rotations (..., 4) wxyz as :func:`z_up` does."""
    return np.concatenate((quats[..., :1], z_up(quats[..., 1:])), axis=-1)
