"""Files of other programs: each is called by its name, and the message says what can be read."""

import pickle
import pickletools

import numpy as np
import pytest

from manybody.motion import unsupported
from manybody.motion.errors import MotionError
from manybody.motion.importers import FORMATS, read_motion

ROBOT, BODY = "Motions of robots cannot be read yet.", "Export it as .bvh."
ARCHIVES = {
    "AMASS, poses of an SMPL+H body": ("poses trans betas gender mocap_framerate dmpls", BODY),
    "AMASS, poses of an SMPL-X body": (
        "poses trans betas gender mocap_frame_rate surface_model_type pose_body root_orient pose_hand",
        BODY,
    ),
    "SMPL-X, poses of a body": ("pose_body root_orient trans betas", BODY),
    "Isaac Lab, an AMP motion of a robot": (
        "fps dof_names body_names dof_positions dof_velocities body_positions body_rotations",
        ROBOT,
    ),
    "mjlab or BeyondMimic, a motion of a robot to track": (
        "fps joint_pos joint_vel body_pos_w body_quat_w",
        ROBOT,
    ),
}


def refusal(path):
    with pytest.raises(MotionError) as error:
        read_motion(path)
    text = str(error.value)
    assert text.startswith(f"{path}: file: got ") and f"expected {unsupported.READABLE}. " in text
    return text


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_are_recognised_by_their_arrays(tmp_path, name):
    keys, advice = ARCHIVES[name]
    path = tmp_path / "a.npz"
    np.savez(path, **{key: np.zeros(2) for key in keys.split()})
    said = refusal(path)
    assert f"the format {name} (" in said and said.endswith(advice)


def test_an_unknown_archive_names_what_is_missing(tmp_path):
    np.savez(tmp_path / "a.npz", poses=np.zeros(2))
    with pytest.raises(MotionError, match="format: got only 'poses'; expected 'format'"):
        read_motion(tmp_path / "a.npz")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_recognised_and_not_read(tmp_path, protocol, monkeypatch):
    monkeypatch.setattr(pickle, "loads", None)
    monkeypatch.setattr(pickletools, "genops", None)
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"loop_mode": 1, "fps": 30, "frames": [[0.0] * 34] * 2000}, protocol))
    assert "the format MimicKit, a motion of joint angles ('fps', 'frames', 'loop_mode')" in refusal(path)
    path.write_bytes(pickle.dumps({"root_pos": 0, "root_rot": 0, "dof_pos": 0, "fps": 30}, protocol))
    assert "the format GMR" in refusal(path)
    path.write_bytes(pickle.dumps({"frames_per_second": 0, "xfps": 1}, protocol))
    assert "a pickle of unknown content" in refusal(path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (",".join(["0.5"] * 36), "joint angles of Unitree's G1 (29 joints)"),  # 3 + 4 + 29
        (",".join(["0"] * 26) + "\r", "joint angles of Unitree's H1 (19 joints)"),  # 3 + 4 + 19
        ("1,2,3", "a table of 3 columns"),
        ("time,x,y,z,a,b,c", "a table with the columns 'time', 'x', 'y', 'z', 'a', 'b' ..."),
    ],
)
def test_tables_are_recognised_by_their_columns(tmp_path, row, said):
    path = tmp_path / "a.csv"
    path.write_text(f"{row}\n{row}\n")
    assert said in refusal(path)


def test_arrays_of_features_are_recognised(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 263), np.float32))
    assert "the format HumanML3D, features of a body (263 a frame)" in refusal(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array({"poses": np.zeros(3), "trans": np.zeros(3)}), allow_pickle=True)
    assert "the format SMPL, poses of a body ('poses', 'trans')" in refusal(tmp_path / "b.npy")


def test_every_format_that_is_read_is_in_the_sentence():
    assert all(ending in unsupported.READABLE for ending in FORMATS)


@pytest.mark.parametrize("name", ["a.pkl", "a.csv"])
def test_a_missing_file_is_missing(tmp_path, name):
    with pytest.raises(MotionError, match="file: got no such file"):
        read_motion(tmp_path / name)
