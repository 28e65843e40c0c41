"""Motion files of other programs that are not read: their format, recognised by its keys, and what helps."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from manybody.motion.errors import MotionError, shown

READABLE = ".npz of this project, .npy of IsaacGymEnvs (SkeletonMotion), .txt or .json of DeepMimic, or .bvh"
"""What :func:`manybody.motion.importers.read_motion` reads, in words."""


class Format(NamedTuple):
    """A format that is known by name alone."""

    name: str
    keys: frozenset[str]
    """A file with all of these is of this format."""
    advice: str


_BODY = "Export it as .bvh."
_ROBOT = "Motions of robots cannot be read yet."

FORMATS = tuple(
    Format(name, frozenset(keys.split()), advice)
    for name, keys, advice in (
        ("AMASS, poses of an SMPL-X body", "poses trans pose_body root_orient", _BODY),
        ("SMPL-X, poses of a body", "pose_body root_orient", _BODY),
        ("SMPL-X, poses of a body", "body_pose global_orient", _BODY),
        ("AMASS, poses of an SMPL+H body", "poses trans mocap_framerate", _BODY),
        ("AMASS, poses of an SMPL body", "poses trans mocap_frame_rate", _BODY),
        ("SMPL, poses of a body", "poses trans", _BODY),
        ("AIST++, poses of an SMPL body", "smpl_poses smpl_trans", _BODY),
        ("Isaac Lab, an AMP motion of a robot", "dof_names dof_positions body_rotations", _ROBOT),
        ("mjlab or BeyondMimic, a motion of a robot to track", "joint_pos body_pos_w body_quat_w", _ROBOT),
        ("MimicKit, a motion of joint angles", "fps loop_mode frames", _ROBOT),
        ("GMR, a motion retargeted to a robot", "root_pos root_rot dof_pos", _ROBOT),
        ("PHC or ASAP, a motion of an SMPL body or a robot", "pose_aa root_trans_offset", _ROBOT),
        ("LocoMuJoCo, positions of a model's joints", "qpos qvel split_points", _ROBOT),
    )
)
"""The first that fits is meant."""

_ROBOTS = {36: "Unitree's G1 (29 joints)", 26: "Unitree's H1 (19 joints)", 34: "Unitree's H1-2 (27 joints)"}
"""Columns of a table without a heading: position, quaternion xyzw, joint angles, as in the retargeted LAFAN1."""

ENDINGS = {
    ".fbx": "Autodesk's FBX",
    ".c3d": "C3D, positions of markers",
    ".trc": "TRC, positions of markers",
    ".amc": "Acclaim's motion (ASF/AMC)",
    ".asf": "Acclaim's skeleton (ASF/AMC)",
    ".mvnx": "Xsens' MVNX",
    ".glb": "glTF",
    ".gltf": "glTF",
    ".pt": "a file of PyTorch",
    ".pth": "a file of PyTorch",
}
"""What an ending says."""


def refuse_keys(keys: Iterable[str]) -> None:
    """Refuse the content of a file with these keys, if they are those of a known format.

    Raises:
        MotionError: they are; names it, and what can be read.
    """
    keys = list(keys)
    for known in FORMATS:
        if known.keys <= set(keys):
            listed = ", ".join(shown(key) for key in keys if key in known.keys)
            raise MotionError("file", f"the format {known.name} ({listed})", READABLE, known.advice)


def refuse_shape(shape: tuple[int, ...]) -> None:
    """Refuse an array of this shape, if it is that of a known format. Raises MotionError."""
    if len(shape) == 2 and shape[1] in (251, 263):
        name = f"HumanML3D, features of a body ({shape[1]} a frame)"
        raise MotionError("file", f"the format {name}", READABLE, _BODY)


def refuse_pickle(content: bytes) -> None:
    """Refuse a pickle, by the words in it; it is not read, let alone run.

    Raises:
        MotionError: always.
    """
    words = {word for known in FORMATS for word in known.keys}
    refuse_keys(sorted(word for word in words if _names(content, word)))
    advice = "Only the pickles inside .npy files of IsaacGymEnvs are read, and no code in them runs."
    raise MotionError("file", "a pickle of unknown content", READABLE, advice)


def _names(content: bytes, word: str) -> bool:
    """Whether a pickle holds ``word`` as a text, in any of the protocols."""
    text = word.encode()
    size = len(text)
    forms = (b"\x8c" + bytes([size]) + text, b"X" + size.to_bytes(4, "little") + text, b"V" + text + b"\n")
    return any(form in content for form in forms)


def refuse_table(text: str) -> None:
    """Refuse a table of comma-separated values.

    Raises:
        MotionError: always; names the robot that has so many joints.
    """
    first = text.partition("\n")[0].strip().split(",")
    try:
        np.array(first, float)
    except ValueError:
        given = f"a table with the columns {', '.join(map(shown, first[:6]))}{' ...' * (len(first) > 6)}"
        raise MotionError("file", given, READABLE, "Tables cannot be read.") from None
    robot = _ROBOTS.get(len(first))
    if robot is None:
        raise MotionError("file", f"a table of {len(first)} columns", READABLE, "Tables cannot be read.")
    given = f"the format of the retargeted LAFAN1: position, quaternion and joint angles of {robot}"
    raise MotionError("file", given, READABLE, _ROBOT)
