"""What another figure tells of a motion of the humanoid comes back as that motion."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from toy_figure import as_figure, bvh
from toy_motion import make_clip, quats

from manybody.config.errors import ConfigError, ManybodyError
from manybody.functional.rotations import quat_about, quat_multiply, quat_rotate
from manybody.motion.bundled import find_motion
from manybody.motion.clip import Clip, load_clip
from manybody.motion.errors import MotionError
from manybody.motion.importers import read_motion
from manybody.motion.joint_maps import joint_map, load_joint_map
from manybody.motion.retarget import _hinged, retarget
from manybody.motion.skeletons import AMP_HUMANOID, STANCE

DOWN = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)


def about(axis, angle):
    return quat_about(axis, torch.as_tensor(angle, dtype=torch.float64))


def walk():
    return load_clip(find_motion("walk"))


def assert_same(clip, expected, tolerance):
    """The same motion; a quaternion and its negative are the same rotation."""
    assert (clip.body_names, clip.parents) == (expected.body_names, expected.parents)
    cosine = np.abs((clip.local_rotations * expected.local_rotations).sum(axis=-1))
    assert np.degrees(2 * np.arccos(np.clip(cosine, 0, 1))).max() < math.degrees(tolerance)
    np.testing.assert_allclose(clip.root_translation, expected.root_translation, atol=tolerance)


def test_a_clip_of_ours_stays_as_it_is():
    assert_same(retarget(walk()), walk(), 1e-3)


def test_a_taller_figure_in_centimetres_with_a_t_pose_and_other_joints():
    # It faces -y at rest, so its walk along -y becomes one along +x; 130 becomes 1 by the length of the legs.
    figure = as_figure(walk())
    assert len(figure.body_names) == 19 and figure.root_translation[-1, 1] < -300
    assert_same(retarget(figure), walk(), 1e-3)


def test_a_bvh_file_of_it(tmp_path):
    path = tmp_path / "walk.bvh"
    path.write_text(bvh(as_figure(walk())))
    clip = retarget(read_motion(path))
    assert clip.fps == pytest.approx(60) and clip.offsets.tolist() == walk().offsets.tolist()
    assert_same(clip, walk(), 2e-3)


def test_deepmimic(tmp_path):
    # Its z points to the right, our y to the left: a knee bent by -0.4 about z is one bent by 0.4 about y.
    still = [1.0, 0.0, 0.0, 0.0]
    frame = [
        0.05,
        0,
        0.9,
        0,
        *still,
        *still,
        *still,
        *still,
        -0.4,
        *still,
        *still,
        0.3,
        *still,
        0,
        *still,
        *still,
        0,
    ]
    path = tmp_path / "m.txt"
    path.write_text(json.dumps({"Loop": "none", "Frames": [frame, frame]}))
    clip = retarget(read_motion(path))
    turns = dict(zip(clip.body_names, clip.local_rotations[0], strict=True))
    np.testing.assert_allclose(turns.pop("right_shin"), about(1, 0.4), atol=1e-6)
    np.testing.assert_allclose(turns.pop("right_lower_arm"), about(1, -0.3), atol=1e-6)
    np.testing.assert_allclose(list(turns.values()), [still] * 13, atol=1e-6)


def test_the_ground_and_the_hinges():
    figure = as_figure(walk())
    turns = quat_multiply(torch.tensor(figure.local_rotations), about(0, 0.1))
    clip = retarget(dataclasses.replace(figure, local_rotations=turns.numpy()))
    assert AMP_HUMANOID.soles(clip)[..., 2].amin(dim=1).quantile(STANCE) == pytest.approx(0, abs=1e-6)
    for name, (low, high) in AMP_HUMANOID.hinges.items():
        w, x, y, z = clip.local_rotations[:, AMP_HUMANOID.names.index(name)].T
        np.testing.assert_allclose((x, z), 0, atol=1e-6)
        angles = 2 * np.arctan2(y, w)
        angles = (angles + math.pi) % (2 * math.pi) - math.pi
        assert low - 1e-5 <= angles.min() and angles.max() <= high + 1e-5
    hands = [AMP_HUMANOID.names.index(name) for name in ("right_hand", "left_hand")]
    np.testing.assert_allclose(np.abs(clip.local_rotations[:, hands, 0]), 1, atol=1e-6)


@pytest.mark.parametrize(("limits", "bend"), [((0.0, 2.8), 1), ((-2.8, 0.0), -1)])
def test_a_limb_that_bends_out_of_its_plane_is_twisted_into_it(limits, bend):
    # The lower part bends by 0.5 to 1.5 rad about an axis 40 degrees away from y, then turns about its own length.
    time = torch.linspace(0, 1, 9)
    upper = torch.tensor(quats(9, 1)[:, 0])
    seen = quat_multiply(quat_multiply(about(2, 0.7), about(1, bend * (0.5 + time))), about(2, time))
    lower = quat_multiply(upper, seen)
    new_upper, new_lower = _hinged(upper, lower, limits)
    near = {"atol": 1e-9, "rtol": 0}
    torch.testing.assert_close(quat_rotate(new_upper, DOWN), quat_rotate(upper, DOWN), **near)
    torch.testing.assert_close(quat_rotate(new_lower, DOWN), quat_rotate(lower, DOWN), **near)
    torch.testing.assert_close(new_upper, quat_multiply(upper, about(2, 0.7)), **near)


def test_a_straight_limb_keeps_the_plane_in_which_it_bends():
    # 40 degrees of twist, and the knee goes from bent through straight to 0.05 rad beyond, where it stops.
    angles = torch.tensor([1.0, 0.5, 0.1, 0.0, -0.05], dtype=torch.float64)
    upper = about(0, torch.zeros(5))
    new_upper, new_lower = _hinged(upper, quat_multiply(about(2, 0.7), about(1, angles)), (0.0, 2.8))
    near = {"atol": 1e-9, "rtol": 0}
    torch.testing.assert_close(new_upper, about(2, torch.full((5,), 0.7, dtype=torch.float64)), **near)
    torch.testing.assert_close(new_lower, quat_multiply(about(2, 0.7), about(1, angles.clamp(min=0))), **near)


@pytest.mark.parametrize(("limits", "bend"), [((0.0, 2.8), 1), ((-2.8, 0.0), -1)])
@pytest.mark.parametrize("bent", [1.0, 0.0])
def test_an_overstretched_limb_is_straight_and_not_turned_about_its_length(limits, bend, bent):
    # Up to 15 degrees too far, with and without frames that tell where the limb bends.
    angles = bend * torch.deg2rad(torch.tensor([60.0 * bent, 20 * bent, 0, -5, -9.7, -15], dtype=torch.float64))
    upper = about(0, torch.zeros(6))
    new_upper, new_lower = _hinged(upper, about(1, angles), limits)
    near = {"atol": 1e-9, "rtol": 0}
    torch.testing.assert_close(new_upper, upper, **near)
    torch.testing.assert_close(new_lower, about(1, angles.clamp(*limits)), **near)


def test_a_frame_can_be_the_rest_pose():
    # All bones of the file lie along x, as in LAFAN1: only in frame 0 does the figure stand.
    turns = walk().local_rotations.copy()
    turns[0] = [1.0, 0.0, 0.0, 0.0]
    figure = as_figure(dataclasses.replace(walk(), local_rotations=turns))
    lying = relabelled(figure)
    with pytest.raises(MotionError, match=r"rest pose: .* expected a figure that stands upright.*--rest"):
        retarget(lying)
    with pytest.raises(MotionError, match="rest frame: got 193; expected 0 to 192"):
        retarget(lying, rest_frame=193)
    again = retarget(lying, rest_frame=0)
    np.testing.assert_allclose(again.local_rotations[1:], retarget(figure).local_rotations[1:], atol=1e-5)


def relabelled(figure):
    """The same motion, with each body's axes turned by 90 degrees about y: up becomes x."""
    turn = about(1, math.pi / 2)
    back = about(1, -math.pi / 2)
    theirs = torch.tensor(figure.local_rotations)
    local = quat_multiply(quat_multiply(turn, theirs), back)
    local[:, 0] = quat_multiply(theirs[:, 0], back)
    offsets = quat_rotate(turn, torch.tensor(figure.offsets))
    return dataclasses.replace(figure, local_rotations=local.numpy(), offsets=offsets.numpy())


def test_names_in_use():
    lafan = ["Hips", "LeftUpLeg", "LeftLeg", "LeftFoot", "LeftToe", "RightUpLeg", "RightLeg", "RightFoot"]
    lafan += ["Spine", "Spine1", "Spine2", "Neck", "Head"]
    lafan += [f"{side}{part}" for side in ("Left", "Right") for part in ("Shoulder", "Arm", "ForeArm", "Hand")]
    found = joint_map(lafan)
    assert [found[x] for x in ("torso", "head", "left_upper_arm", "right_shin")] == [
        "Spine2",
        "Head",
        "LeftArm",
        "RightLeg",
    ]
    smpl = ["Pelvis", "Spine1", "Spine3", "Neck", "Head"]
    smpl += [f"{s}_{part}" for s in "LR" for part in ("Hip", "Knee", "Ankle", "Collar", "Shoulder", "Elbow", "Wrist")]
    found = joint_map(smpl)
    assert [found[x] for x in ("torso", "left_upper_arm", "right_thigh")] == ["Spine3", "L_Shoulder", "R_Hip"]
    assert joint_map(AMP_HUMANOID.names) == {name: name for name in AMP_HUMANOID.names}


@pytest.mark.parametrize(
    ("root", "torso", "limbs"),
    [
        (
            "Bip01",
            "Bip01 Spine1",
            "Bip01 L UpperArm, Bip01 L Forearm, Bip01 L Thigh, Bip01 L Calf, Bip01 L Foot",
        ),
        (
            "Character1_Hips",
            "Character1_Spine2",
            "Character1_LeftArm, Character1_LeftForeArm, Character1_LeftUpLeg, Character1_LeftLeg, Character1_LeftFoot",
        ),
        ("pelvis", "spine_03", "upperarm_l, lowerarm_l, thigh_l, calf_l, foot_l"),
    ],
)
def test_names_with_a_prefix_or_with_the_side_behind(root, torso, limbs):
    """Biped, MotionBuilder, Unreal's mannequin."""
    prefix = torso[: torso.lower().index("spine")]
    pelvis = f"{prefix}Pelvis" if root == "Bip01" else root
    right = limbs.replace("Left", "Right").replace(" L ", " R ").replace("_l", "_r")
    names = [root, pelvis, f"{prefix}spine", torso, f"{prefix}Head", *limbs.split(", "), *right.split(", ")]
    found = joint_map(names)
    assert [found[x] for x in ("pelvis", "torso", "head")] == [pelvis, torso, f"{prefix}Head"]
    parts = ("upper_arm", "lower_arm", "thigh", "shin", "foot")
    assert ", ".join(found[f"left_{part}"] for part in parts) == limbs
    assert ", ".join(found[f"right_{part}"] for part in parts) == right


LIMBS = {"Shoulder": "Collar", "Arm": "Shoulder", "ForeArm": "Elbow", "Hand": "Wrist"}
LIMBS |= {"UpLeg": "Hip", "Leg": "Knee", "Foot": "Ankle"}
SMPL = {"Hips": "Pelvis", "Spine": "Spine1", "Spine1": "Spine3"} | {
    f"{side}{ours}": f"{side[0]}_{theirs}" for side in ("Left", "Right") for ours, theirs in LIMBS.items()
}
"""Joint of the toy figure to its name in SMPL."""


def test_smpl_whose_foot_is_the_joint_of_the_toes_and_whose_hand_that_of_the_knuckles():
    figure = as_figure(walk(), prefix="")
    names = [SMPL.get(name, name) for name in figure.body_names]
    ends = {"L_Ankle": "L_Foot", "R_Ankle": "R_Foot", "L_Wrist": "L_Hand", "R_Wrist": "R_Hand"}
    forward, still = [0.0, -18.0, -7.0], np.tile([1.0, 0.0, 0.0, 0.0], (figure.frames, len(ends), 1))
    figure = dataclasses.replace(
        figure,
        body_names=names + list(ends.values()),
        parents=[*figure.parents, *(names.index(before) for before in ends)],
        local_rotations=np.concatenate((figure.local_rotations, still), axis=1),
        offsets=np.concatenate((figure.offsets, [forward] * len(ends))),
    )
    assert_same(retarget(figure), walk(), 1e-3)


def test_a_map_of_one_s_own(tmp_path):
    figure = as_figure(walk())
    names = ["knee" if name.endswith("LeftLeg") else name for name in figure.body_names]
    figure = dataclasses.replace(figure, body_names=names)
    with pytest.raises(
        MotionError, match=r"no joint for left_shin; expected .*mixamorig:LeftFoot.*'left_shin: <joint>'"
    ):
        retarget(figure)
    path = tmp_path / "map.yaml"
    path.write_text("left_shin: knee\n")
    assert_same(retarget(figure, names=load_joint_map(path)), walk(), 1e-3)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"tail": "Spine"}, "'tail': got an unknown body; expected one of pelvis, torso"),
        (
            {"left_foot": "mixamorig:RightFoot"},
            "left_foot: got .*, the joint of right_foot; expected another",
        ),
        ({"head": "mixamorig:Hips"}, "head: got 'mixamorig:Hips', the joint of pelvis; expected another"),
        (
            {"left_foot": "mixamorig:RightFoot", "right_foot": "mixamorig:LeftFoot"},
            "right_foot: got 'mixamorig:LeftFoot'; expected one below 'mixamorig:RightLeg', the joint of right_",
        ),
        (
            {"torso": "mixamorig:Hips", "pelvis": "mixamorig:Spine"},
            "torso: got 'mixamorig:Hips'; expected one not above 'mixamorig:Spine', the joint of pelvis",
        ),
        (
            {"torso": "mixamorig:Head", "head": "mixamorig:Spine1"},
            "head: got 'mixamorig:Spine1'; expected one not above 'mixamorig:Head', the joint of torso",
        ),
        ({"torso": "Spin"}, "torso: got 'Spin'; expected one of the clip's joints: mixamorig:Hips"),
    ],
)
def test_a_wrong_map_is_told(names, message):
    with pytest.raises(MotionError, match=message):
        retarget(as_figure(walk()), names=names)


@pytest.mark.parametrize(
    "text", ["- a\n- b\n", "head: Hips\nhead: Hip\n", "torso: [1, 2]\n", "torso: {\n", "torso: 3\n"]
)
def test_a_file_that_is_no_map_is_told(text, tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text(text)
    with pytest.raises(ManybodyError, match=r"map\.yaml"):
        joint_map(["Hips"], load_joint_map(path))


def test_a_map_that_is_missing_or_empty_is_told(tmp_path):
    path = tmp_path / "map.yaml"
    with pytest.raises(ConfigError, match=r"map\.yaml: no such file"):
        load_joint_map(path)
    path.write_text("")
    with pytest.raises(ConfigError, match=r"map\.yaml: the file is empty"):
        load_joint_map(path)


def test_a_clip_of_something_else_is_told():
    with pytest.raises(MotionError, match=r"no joint for pelvis, .*clip's joints: hip2, thigh, shin, arm"):
        retarget(make_clip(body_names=("hip2", "thigh", "shin", "arm")))
    figure = as_figure(walk())
    without = {field.name: getattr(figure, field.name) for field in dataclasses.fields(figure)} | {"offsets": None}
    with pytest.raises(MotionError, match="offsets: got none"):
        retarget(Clip(**without))
