"""Recognise motion files in unsupported formats, so that the error names the format."""

from collections.abc import Iterable

import numpy as np

from manybody.config.errors import shown
from manybody.motion.errors import MotionError

READABLE = ".npz of this project, .npy of IsaacGymEnvs (SkeletonMotion), .txt or .json of DeepMimic, or .bvh"
"""The formats of :func:`manybody.motion.importers.read_motion`."""

_BODY = "Export it as .bvh."
_ROBOT = "Motions of robots cannot be read yet."
_TABLE = "Tables cannot be read."

FORMATS = (
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
"""Name, keys of a file of this format, advice. The first match counts."""

_ROBOTS = {36: "Unitree's G1 (29 joints)", 26: "Unitree's H1 (19 joints)", 34: "Unitree's H1-2 (27 joints)"}
"""Robot by number of columns of a table of the retargeted LAFAN1: position, quaternion xyzw, joint angles."""

SUFFIXES = {
    ".fbx": "Autodesk's FBX",
    ".c3d": "C3D, positions of markers",
    ".trc": "TRC, positions of markers",
    ".amc": "Acclaim's motion (ASF/AMC)",
    ".asf": "Acclaim's skeleton (ASF/AMC)",
    ".mvnx": "Xsens' MVNX",
    **dict.fromkeys((".glb", ".gltf"), "glTF"),
    **dict.fromkeys((".pt", ".pth"), "a file of PyTorch"),
}


def refuse_keys(keys: Iterable[str]) -> None:
    """Raise MotionError with the name of the format that has these keys, if it is known."""
    keys = list(keys)
    for name, required, advice in FORMATS:
        if set(required.split()) <= set(keys):
            listed = ", ".join(shown(key) for key in keys if key in required.split())
            raise MotionError("file", f"the format {name} ({listed})", READABLE, advice)


def refuse_shape(shape: tuple[int, ...]) -> None:
    """Raise MotionError with the name of the format that has arrays of this shape, if it is known."""
    if len(shape) == 2 and shape[1] in (251, 263):
        name = f"HumanML3D, features of a body ({shape[1]} a frame)"
        raise MotionError("file", f"the format {name}", READABLE, _BODY)


def refuse_pickle(content: bytes) -> None:
    """Raise MotionError with the format of a pickle, if it is recognised by the texts in it; it is not unpickled."""

    def contains(word: str) -> bool:  # in any of the protocols
        text, size = word.encode(), len(word)
        forms = (b"\x8c" + bytes([size]) + text, b"X" + size.to_bytes(4, "little") + text, b"V" + text + b"\n")
        return any(form in content for form in forms)

    words = {word for _, required, _ in FORMATS for word in required.split()}
    refuse_keys(sorted(filter(contains, words)))
    advice = "Only the pickles inside .npy files of IsaacGymEnvs are read, and no code in them runs."
    raise MotionError("file", "a pickle of unknown content", READABLE, advice)


def refuse_table(text: str) -> None:
    """Raise MotionError with the robot of a table of comma-separated joint angles, if it is recognised."""
    first = text.partition("\n")[0].strip().split(",")
    try:
        np.array(first, float)
    except ValueError:
        given = f"a table with the columns {', '.join(map(shown, first[:6]))}{' ...' * (len(first) > 6)}"
        raise MotionError("file", given, READABLE, _TABLE) from None
    robot = _ROBOTS.get(len(first))
    if robot is None:
        raise MotionError("file", f"a table of {len(first)} columns", READABLE, _TABLE)
    given = f"the format of the retargeted LAFAN1: position, quaternion and joint angles of {robot}"
    raise MotionError("file", given, READABLE, _ROBOT)
