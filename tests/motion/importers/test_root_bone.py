"""Bones above the hips: every joint stays where it is in the world."""

from pathlib import Path

import numpy as np
import pytest
import torch

from manybody.functional.kinematics import forward_kinematics
from manybody.functional.rotations import quat_exp, quat_multiply, quat_rotate
from manybody.motion.errors import MotionError, MotionNotice
from manybody.motion.importers.root_bone import Figure, rigid
from manybody.motion.skeletons import body_poses

FRAMES = 5
NAMES = ["Root", "Armature", "Hips", "Spine", "Leg", "Foot"]
PARENTS = [-1, 0, 1, 2, 2, 4]


def figure(hips=1.0, names=NAMES, parents=PARENTS, **moved) -> Figure:
    """Bones of length 1, all of them turning; the hips move against the armature by up to ``hips`` on each axis."""
    generator = torch.Generator().manual_seed(1)
    turns = torch.randn(FRAMES, len(names), 3, generator=generator, dtype=torch.float64)
    places = np.zeros((FRAMES, len(names), 3))
    places[:, 1:, 1] = 1.0
    places[:, 0] = np.arange(FRAMES)[:, None]
    for name, way in {"Hips": hips, **moved}.items():
        places[:, names.index(name)] += way * np.linspace(-1, 1, FRAMES)[:, None]
    return Figure(list(names), list(parents), places, quat_exp(turns).numpy())


def in_the_world(figure: Figure) -> dict[str, np.ndarray]:
    """Place (T, 3) of each joint, step by step from the root: p + q v, q r."""
    result, found = {}, []
    for body, parent in enumerate(figure.parents):
        place, turn = torch.from_numpy(figure.positions[:, body]), torch.from_numpy(figure.rotations[:, body])
        if parent >= 0:
            above, turned = found[parent]
            place, turn = above + quat_rotate(turned, place), quat_multiply(turned, turn)
        found.append((place, turn))
        result[figure.names[body]] = place.numpy()
    return result


@pytest.mark.parametrize("way", [1.0, 0.004])
def test_moving_hips_become_the_root_and_nothing_moves_in_the_world(way):
    # 0.004 is less than what counts as stretching, but more than noise: hips that sway are free too.
    before = figure(way)
    with pytest.warns(MotionNotice, match=r"'Hips' moves freely and is the root; skipped: 'Root', 'Armature'"):
        after, offsets = rigid(before)
    assert (after.names, after.parents) == (NAMES[2:], [-1, 0, 0, 2])
    np.testing.assert_allclose(offsets, [[0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]])
    expected = in_the_world(before)
    places = forward_kinematics(
        tuple(after.parents), *map(torch.tensor, (offsets, after.positions[:, 0], after.rotations))
    ).positions
    for body, name in enumerate(after.names):
        np.testing.assert_allclose(places[:, body], expected[name], atol=1e-9)


def test_still_hips_keep_the_bones_above_them(recwarn):
    before = figure(1e-5)
    after, offsets = rigid(before)
    assert after.names == NAMES and not recwarn.list
    np.testing.assert_allclose(offsets[1:], np.tile([0, 1, 0], (5, 1)), atol=1e-5)


def test_a_stretching_bone_is_no_root():
    # The spine carries no legs, so it cannot be the root of the figure.
    with pytest.raises(MotionError, match=r"joint 'Spine': got a bone that stretches by .* expected rigid bones"):
        rigid(figure(0.0, Spine=0.5))
    with pytest.warns(MotionNotice), pytest.raises(MotionError, match="joint 'Foot'"):
        rigid(figure(1.0, Foot=0.5))


def test_bones_beside_the_hips_are_passed_over_where_a_humanoid_hangs_on_the_hips():
    # As in Unreal: bones for inverse kinematics hang on the root and move on their own.
    sides = [f"{part}_{side}" for part in ("UpperArm", "LowerArm", "Thigh", "Shin", "Foot") for side in "lr"]
    names = ["root", "Hips", "Chest", "Head", *sides, "ik_foot_root", "ik_foot_l"]
    parents = [-1, 0, 1, 2, *[2, 2, 4, 5, 1, 1, 8, 9, 10, 11], 0, 14]
    with pytest.warns(MotionNotice, match="skipped: 'root', 'ik_foot_root', 'ik_foot_l'"):
        after, _ = rigid(figure(1.0, names, parents, ik_foot_l=2.0))
    assert after.names == names[1:-2]


FILE = """HIERARCHY
ROOT Root
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Hips
  {
    OFFSET 0 90 0
    CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
    JOINT Chest
    {
      OFFSET 0 10 0
      CHANNELS 3 Zrotation Xrotation Yrotation
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.04
10 0 0 0 0 0   0 90 0 0 0 0   0 0 0
10 0 0 0 0 90  0 90 20 0 0 0  0 0 0
"""


def test_a_file_with_a_bone_on_the_ground(tmp_path: Path):
    # y up: the root's quarter turn about y brings the hips' (0, 90, 20) to (20, 90, 0), beside (10, 0, 0).
    # z up: (x, y, z) becomes (x, -z, y).
    from manybody.motion.importers import read_motion

    (tmp_path / "m.bvh").write_text(FILE)
    with pytest.warns(MotionNotice, match=r"m\.bvh: 'Hips' moves freely"):
        clip = read_motion(tmp_path / "m.bvh", scale=0.01)
    assert (clip.body_names, clip.parents) == (("Hips", "Chest"), (-1, 0))
    np.testing.assert_allclose(body_poses(clip).positions[1], [[0.3, 0, 0.9], [0.3, 0, 1.0]], atol=1e-6)
