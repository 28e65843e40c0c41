"""What the importers share."""

import numpy as np

NOT_STATED = "not stated in the imported file"
"""Licence text where a format has no place for one."""


def z_up(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) given with y up, after a quarter turn about x: (x, y, z) becomes (x, -z, y)."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.stack((x, -z, y), axis=-1)


def quats_z_up(quats: np.ndarray) -> np.ndarray:
    """Rotations (..., 4) wxyz between frames that are all turned as by :func:`z_up`: their axes turn along."""
    return np.concatenate((quats[..., :1], z_up(quats[..., 1:])), axis=-1)
