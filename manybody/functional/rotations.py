"""Rotations: unit quaternions in wxyz order (MuJoCo's), rotation matrices, roll-pitch-yaw."""

import math

import torch
from torch import Tensor


def quat_to_matrix(quat: Tensor) -> Tensor:
    """Rotation matrix (..., 3, 3) of a unit quaternion ``quat`` (..., 4) wxyz: body axes in its columns.

    R = I + 2 w [v]x + 2 [v]x^2 for q = (w, v), written out. The result is a view of nine contiguous batches,
    one for each entry, so that taking entries, rows or columns of a large batch stays fast.
    """
    w, x, y, z = quat.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    xy, xz, yz = x * y, x * z, y * z
    wx, wy, wz = w * x, w * y, w * z
    rows = (
        1 - 2 * (yy + zz), 2 * (xy - wz), 2 * (xz + wy),
        2 * (xy + wz), 1 - 2 * (xx + zz), 2 * (yz - wx),
        2 * (xz - wy), 2 * (yz + wx), 1 - 2 * (xx + yy),
    )  # fmt: skip
    return torch.stack(rows).unflatten(0, (3, 3)).movedim((0, 1), (-2, -1))


def to_body_frame(matrix: Tensor, vector: Tensor) -> Tensor:
    """A world ``vector`` (..., 3) in the axes of the body whose rotation is ``matrix`` (..., 3, 3): R^T v."""
    x, y, z = vector.unsqueeze(-1).unbind(-2)
    return matrix[..., 0, :] * x + matrix[..., 1, :] * y + matrix[..., 2, :] * z


def matrix_to_euler(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Roll, pitch and yaw (...) in rad of ``matrix`` (..., 3, 3) = Rz(yaw) Ry(pitch) Rx(roll).

    Roll and yaw lie in [-pi, pi], pitch in [-pi/2, pi/2]. At pitch = +-pi/2 only roll -+ yaw is defined.
    """
    roll = torch.atan2(matrix[..., 2, 1], matrix[..., 2, 2])
    pitch = torch.asin((-matrix[..., 2, 0]).clamp(-1.0, 1.0))
    yaw = torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])
    return roll, pitch, yaw


def wrap_to_pi(angle: Tensor) -> Tensor:
    """The same angle (...) in rad, in [-pi, pi)."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
