"""Rotations: unit quaternions in wxyz order (MuJoCo's), rotation matrices, roll-pitch-yaw."""

import math

import torch
from torch import Tensor


def quat_to_matrix(quat: Tensor) -> Tensor:
    """Return the rotation matrix (..., 3, 3) of a unit quaternion ``quat`` (..., 4) wxyz: body axes in its columns.

    R = I + 2 w [v]x + 2 [v]x^2 for q = (w, v), written out. The result is a view of nine contiguous batches,
    one per entry, so that indexing entries, rows or columns of a large batch is fast.
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
    entries: Tensor = torch.stack(rows).unflatten(0, (3, 3))
    return entries.movedim((0, 1), (-2, -1))


def to_body_frame(matrix: Tensor, vector: Tensor) -> Tensor:
    """Transform a world ``vector`` (..., 3) to the axes of a body with rotation ``matrix`` (..., 3, 3): R^T v."""
    x, y, z = vector.unsqueeze(-1).unbind(-2)
    return matrix[..., 0, :] * x + matrix[..., 1, :] * y + matrix[..., 2, :] * z


def matrix_to_euler(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return roll, pitch and yaw (...) in rad of ``matrix`` (..., 3, 3) = Rz(yaw) Ry(pitch) Rx(roll).

    Roll and yaw lie in [-pi, pi], pitch in [-pi/2, pi/2]. At pitch = +-pi/2 only roll -+ yaw is defined.
    """
    roll = torch.atan2(matrix[..., 2, 1], matrix[..., 2, 2])
    pitch = torch.asin((-matrix[..., 2, 0]).clamp(-1.0, 1.0))
    yaw = torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])
    return roll, pitch, yaw


def wrap_to_pi(angle: Tensor) -> Tensor:
    """Return the equivalent angle (...) in [-pi, pi) rad."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def quat_multiply(first: Tensor, second: Tensor) -> Tensor:
    """Return the Hamilton product (..., 4) of two quaternions wxyz: rotate by ``second``, then by ``first``.

    (a, u)(b, v) = (ab - u.v, a v + b u + u x v).
    """
    a, b, c, d = first.unbind(-1)
    w, x, y, z = second.unbind(-1)
    product = (
        a * w - b * x - c * y - d * z,
        a * x + b * w + c * z - d * y,
        a * y - b * z + c * w + d * x,
        a * z + b * y - c * x + d * w,
    )
    return torch.stack(product).movedim(0, -1)


def quat_conjugate(quat: Tensor) -> Tensor:
    """Return the inverse (..., 4) of a unit quaternion ``quat`` (..., 4) wxyz."""
    w, x, y, z = quat.unbind(-1)
    return torch.stack((w, -x, -y, -z), dim=-1)


def quat_rotate(quat: Tensor, vector: Tensor) -> Tensor:
    """Rotate ``vector`` (..., 3) by a unit quaternion ``quat`` (..., 4) wxyz.

    v + w t + u x t with t = 2 u x v for q = (w, u): Rodrigues' formula in half angles. The result is a view of
    contiguous batches, one per component, which keeps a chain of rotations fast.
    """
    w, x, y, z = quat.unbind(-1)
    a, b, c = vector.unbind(-1)
    d, e, f = 2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)
    turned = (a + w * d + y * f - z * e, b + w * e + z * d - x * f, c + w * f + x * e - y * d)
    return torch.stack(turned).movedim(0, -1)


def quat_exp(vector: Tensor) -> Tensor:
    """Return the unit quaternion (..., 4) wxyz of a rotation vector (..., 3): axis times angle in rad.

    (cos(a/2), sin(a/2)/a v) with a = |v|.
    """
    x, y, z = vector.unbind(-1)
    half = (x * x + y * y + z * z).clamp_min(1e-24).sqrt() / 2  # the clamp keeps the gradient at zero finite
    scale = torch.sin(half) / (2 * half)
    return torch.stack((torch.cos(half), scale * x, scale * y, scale * z)).movedim(0, -1)


def quat_about(axis: int, angle: Tensor) -> Tensor:
    """Return the unit quaternion (..., 4) wxyz of a rotation by ``angle`` (...) rad about ``axis``: 0 x, 1 y, 2 z.

    (cos(a/2), sin(a/2) e): :func:`quat_exp` of the angle times the axis.
    """
    half = angle / 2
    vector = [torch.zeros_like(half)] * 3
    vector[axis] = torch.sin(half)
    return torch.stack((torch.cos(half), *vector)).movedim(0, -1)


def quat_between(first: Tensor, second: Tensor) -> Tensor:
    """Return the unit quaternion (..., 4) wxyz of the shortest rotation from ``first`` to ``second`` (..., 3).

    (1 + a.b, a x b), normalised, for unit vectors a and b: 1 + cos t = 2 cos(t/2)^2, sin t = 2 cos(t/2) sin(t/2). For
    opposite directions, half a turn about a perpendicular axis, y if ``first`` is z or -z. For a vector of length zero,
    the identity.
    """
    a, b = torch.broadcast_tensors(
        torch.nn.functional.normalize(first, dim=-1), torch.nn.functional.normalize(second, dim=-1)
    )
    scalar = 1 + (a * b).sum(dim=-1, keepdim=True)
    ex, ey = torch.eye(3, dtype=a.dtype, device=a.device)[:2]
    other = torch.where(a[..., :1].abs() < 0.9, ex, ey)  # not parallel to a
    opposite = scalar < 4 * torch.finfo(a.dtype).eps  # the cross product is then rounding error
    vector = torch.linalg.cross(torch.where(opposite, other, a), torch.where(opposite, a, b))
    return torch.nn.functional.normalize(torch.cat((scalar, vector), dim=-1), dim=-1)


def quat_log(quat: Tensor) -> Tensor:
    """Return the rotation vector (..., 3) in rad, at most pi long, of a unit quaternion ``quat`` (..., 4) wxyz.

    The inverse of :func:`quat_exp`. q and -q, the same rotation, have the same vector, except that the axis of a half
    turn has two signs. The angle is 2 atan2(|v|, |w|), which is accurate for small angles, unlike 2 acos(w).
    """
    w, axis = quat[..., :1], quat[..., 1:]
    sine = torch.linalg.vector_norm(axis, dim=-1, keepdim=True)
    small = sine < 1e-12
    over_sine = 2 * torch.atan2(sine, w.abs()) / torch.where(small, 1.0, sine)
    return torch.where(w < 0, -1.0, 1.0) * torch.where(small, 2.0, over_sine) * axis


def angular_velocity(first: Tensor, second: Tensor, duration: Tensor | float) -> Tensor:
    """Return the constant angular velocity (..., 3) in rad/s from ``first`` to ``second`` on the shorter way.

    log(first^-1 second) / duration, in the axes of the rotating body, like MuJoCo's free and ball joints; in the axes
    of the parent (or world) it is ``quat_rotate(first, ...)``. Both are unit quaternions (..., 4) wxyz; ``duration`` is
    a number or (..., 1), in s.
    """
    return quat_log(quat_multiply(quat_conjugate(first), second)) / duration
