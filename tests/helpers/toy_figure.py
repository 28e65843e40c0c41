"""The motion of the AMP humanoid on another skeleton, like those of BVH files, and the BVH text of a clip."""

import math

import numpy as np
import torch

from manybody.functional.rotations import (
    quat_about,
    quat_conjugate,
    quat_multiply,
    quat_rotate,
    quat_to_matrix,
)
from manybody.motion.clip import Clip
from manybody.motion.skeletons import body_poses

SCALE = 130.0
"""The figure is 1.3 times as tall as the humanoid, in centimetres."""
FACING = quat_about(2, torch.tensor(-math.pi / 2, dtype=torch.float64))
"""Rotates the humanoid's forward direction, +x, to the figure's, -y: +z in a file with y up."""


def bones():
    """Yield each bone's name, parent, and the humanoid's bodies that have its rotation and its position."""
    yield from (("Hips", "", "pelvis", "pelvis"), ("Spine", "Hips", "pelvis", "waist"))
    yield from (("Spine1", "Spine", "torso", "torso"), ("Neck", "Spine1", "torso", "neck"))
    yield "Head", "Neck", "head", "head"
    for side in ("Right", "Left"):
        yield f"{side}Shoulder", "Spine1", "torso", "neck"
        limb = {"Arm": "upper_arm", "ForeArm": "lower_arm", "Hand": "hand"}
        limb |= {"UpLeg": "thigh", "Leg": "shin", "Foot": "foot"}
        parent = {"Arm": f"{side}Shoulder", "UpLeg": "Hips"}
        before = ""
        for name, body in limb.items():
            yield f"{side}{name}", parent.get(name, before), *(f"{side.lower()}_{body}",) * 2
            before = f"{side}{name}"


def to_t_pose(body):
    """Return the rotation of a humanoid's body from hanging arms to the T-pose, arms along +-y."""
    side = {"right": -1, "left": 1}.get(body.partition("_")[0], 0)
    angle = side * math.pi / 2 if body.endswith(("arm", "hand")) else 0.0
    return quat_about(0, torch.tensor(angle, dtype=torch.float64))


def as_figure(clip, prefix="mixamorig:"):
    """Transfer ``clip``, of the AMP humanoid, to a figure with more joints whose rest pose is a T-pose."""
    places, turns = body_poses(clip)
    rest = {clip.body_names[0]: torch.zeros(3, dtype=torch.float64)}
    for body, parent, offset in zip(clip.body_names[1:], clip.parents[1:], torch.tensor(clip.offsets[1:]), strict=True):
        before = clip.body_names[parent]
        rest[body] = rest[before] + quat_rotate(to_t_pose(before), offset)
    rest |= {"waist": rest["torso"] / 2, "neck": (rest["torso"] + rest["head"]) / 2}

    names, before, bodies, at = zip(*bones(), strict=True)
    parents = [names.index(name) if name else -1 for name in before]
    world = [
        quat_multiply(
            quat_multiply(FACING, turns[:, clip.body_names.index(body)]),
            quat_conjugate(quat_multiply(FACING, to_t_pose(body))),
        )
        for body in bodies
    ]
    local = [quat_multiply(quat_conjugate(world[p]), world[b]) if b else world[0] for b, p in enumerate(parents)]
    offsets = [rest[at[b]] - rest[at[max(p, 0)]] for b, p in enumerate(parents)]
    return Clip(
        fps=clip.fps,
        body_names=[prefix + name for name in names],
        parents=parents,
        local_rotations=torch.stack(local, dim=1).numpy(),
        root_translation=quat_rotate(FACING, places[:, 0]).numpy() * SCALE,
        licence=clip.licence,
        offsets=quat_rotate(FACING, torch.stack(offsets)).numpy() * SCALE,
    )


def bvh(clip):
    """Return the BVH text of ``clip``, y up, in the clip's unit of length; angles in the order z, x, y."""
    lines, order = ["HIERARCHY"], []

    def joint(body):
        x, y, z = clip.offsets[body]
        lines.extend((f"{'JOINT' if order else 'ROOT'} {clip.body_names[body]}", "{", f"OFFSET {x} {z} {-y}"))
        places = "3" if order else "6 Xposition Yposition Zposition"
        lines.append(f"CHANNELS {places} Zrotation Xrotation Yrotation")
        order.append(body)
        for child in [child for child, parent in enumerate(clip.parents) if parent == body]:
            joint(child)
        lines.append("}")

    joint(0)
    x, y, z = clip.root_translation.T
    columns = [x, z, -y]
    for body in order:
        w, x, y, z = clip.local_rotations[:, body].astype(float).T
        columns += zxy(np.stack((w, x, z, -y), axis=-1))
    lines += ["MOTION", f"Frames: {clip.frames}", f"Frame Time: {1 / clip.fps:.8f}"]
    lines += [" ".join(f"{value:.5f}" for value in row) for row in np.stack(columns, axis=1)]
    return "\n".join(lines) + "\n"


def zxy(quats):
    """Return a, b, c (T,) of Rz(a) Rx(b) Ry(c) in degrees.

    The last row is (-cos b sin c, sin b, cos b cos c), the middle column (-sin a cos b, cos a cos b, sin b).
    """
    rows = quat_to_matrix(torch.from_numpy(quats)).numpy()
    a = np.arctan2(-rows[:, 0, 1], rows[:, 1, 1])
    b = np.arcsin(np.clip(rows[:, 2, 1], -1, 1))
    c = np.arctan2(-rows[:, 2, 0], rows[:, 2, 2])
    return [np.degrees(angle) for angle in (a, b, c)]
