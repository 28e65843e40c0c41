"""Forward kinematics of a skeleton, for clips and simulators."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from manybody.functional.rotations import quat_multiply, quat_rotate


class BodyPose(NamedTuple):
    """World poses of B bodies."""

    positions: Tensor
    """(..., B, 3) in m."""
    rotations: Tensor
    """(..., B, 4) unit quaternions wxyz."""


def forward_kinematics(
    parents: Sequence[int], offsets: Tensor, root_position: Tensor, local_rotations: Tensor
) -> BodyPose:
    """Compute positions and rotations of all bodies of a tree.

    R_i = R_p r_i and x_i = x_p + R_p o_i for body i with parent p; the root has R_0 = r_0 at ``root_position``.

    Bodies of the same depth are computed together, which takes a third of the operations. The host knows their indices,
    so a compiled call needs no index tensors. The results are views whose components are contiguous batches.

    Args:
        parents: parent of each of the B bodies: -1 for the first, the root; an earlier body for all others.
        offsets: (..., B, 3) in m, each body's origin in its parent's axes; the root's is not used.
        root_position: (..., 3) in m.
        local_rotations: (..., B, 4) unit quaternions wxyz, from each body's axes to its parent's.
    """
    local = _by_body(local_rotations)
    positions, rotations = {0: root_position}, {0: local[0]}
    for bodies in by_depth(parents):
        turned = _together([rotations[parents[body]] for body in bodies])
        arms = _together([offsets[..., body, :].expand_as(root_position) for body in bodies])
        at = _together([positions[parents[body]] for body in bodies]) + quat_rotate(turned, arms)
        turned = quat_multiply(turned, _together([local[body] for body in bodies]))
        positions |= zip(bodies, at.unbind(0), strict=True)
        rotations |= zip(bodies, turned.unbind(0), strict=True)
    every = range(len(parents))
    return BodyPose(_joined([positions[body] for body in every]), _joined([rotations[body] for body in every]))


def by_depth(parents: Sequence[int]) -> list[list[int]]:
    """Group the bodies of a tree, without its root, by their number of ancestors."""
    depth = [0]
    for parent in parents[1:]:
        depth.append(depth[parent] + 1)
    return [[body for body, d in enumerate(depth) if d == level] for level in range(1, max(depth) + 1)]


def _together(bodies: Sequence[Tensor]) -> Tensor:
    """Stack L tensors (..., C) to (L, ..., C), a view whose components are contiguous batches."""
    return torch.stack([body.movedim(-1, 0) for body in bodies]).movedim(1, -1)


def _by_body(values: Tensor) -> tuple[Tensor, ...]:
    """Split ``values`` (..., B, C) into (..., C) of each body, views whose components are contiguous batches."""
    return values.movedim((-2, -1), (0, 1)).contiguous().movedim(1, -1).unbind(0)


def _joined(bodies: list[Tensor]) -> Tensor:
    """Invert :func:`_by_body`, keeping the order in memory."""
    return torch.stack([body.movedim(-1, 0) for body in bodies]).movedim((0, 1), (-2, -1))
