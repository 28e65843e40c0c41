"""The humanoid's bodies and soles, where the bodies of a clip are, and the ground under them."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from toy_motion import make_clip

from manybody.functional.kinematics import forward_kinematics
from manybody.motion.bundled import find_motion
from manybody.motion.clip import load_clip
from manybody.motion.errors import MotionError
from manybody.motion.skeletons import AMP_HUMANOID, body_poses


def test_the_humanoid_stands_on_its_soles_with_its_arms_hanging():
    still = torch.tensor([1.0, 0, 0, 0]).expand(15, 4)
    places = forward_kinematics(
        AMP_HUMANOID.parents, torch.tensor(AMP_HUMANOID.offsets).float(), torch.zeros(3), still
    ).positions
    at = dict(zip(AMP_HUMANOID.names, places.numpy(), strict=True))
    # 0.421546 + 0.40987 to the ankle, 0.05 more to the sole; 0.236151 + 0.2435 - 0.274788 - 0.258947 to the hand
    np.testing.assert_allclose(at["left_foot"], [0, 0.084887, -0.831416], atol=1e-6)
    np.testing.assert_allclose(at["left_hand"], [-0.02405, 0.18311, -0.054084], atol=1e-6)
    soles = at["right_foot"] + AMP_HUMANOID.sole_corners()
    np.testing.assert_allclose(soles[:, 2], -0.881416, atol=1e-6)
    np.testing.assert_allclose(soles[:, 0], [-0.0435, -0.0435, 0.1335, 0.1335])


def test_right_and_left_mirror_each_other():
    for name, offset in zip(AMP_HUMANOID.names, AMP_HUMANOID.offsets, strict=True):
        if name.startswith("right_"):
            other = AMP_HUMANOID.offsets[AMP_HUMANOID.names.index(name.replace("right_", "left_"))]
            np.testing.assert_array_equal(other, offset * [1, -1, 1])


def test_hinges_and_feet_are_bodies():
    assert {*AMP_HUMANOID.hinges, *AMP_HUMANOID.feet} <= {*AMP_HUMANOID.names}
    assert all(low < high for low, high in AMP_HUMANOID.hinges.values())


def test_it_knows_its_clips():
    assert AMP_HUMANOID.fits(load_clip(find_motion("walk"))) and not AMP_HUMANOID.fits(make_clip())


def test_bodies_are_where_the_joints_put_them():
    # The hip turns by 90 degrees about z: the thigh, 0.1 m to its left, is then 0.1 m behind it in x.
    turns = np.zeros((2, 4, 4))
    turns[..., 0] = 1.0
    turns[1, 0] = [math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]
    places = np.array([[0.0, 0.0, 1.0], [2.0, 0.0, 1.0]])
    positions, rotations = body_poses(make_clip(2, local_rotations=turns, root_translation=places))
    assert positions.dtype == torch.float64
    np.testing.assert_allclose(positions[:, 1], [[0, 0.1, 1], [1.9, 0, 1]], atol=1e-7)
    np.testing.assert_allclose(rotations[1], turns[[1], 0].repeat(4, axis=0), atol=1e-7)


def test_a_clip_without_a_size_has_no_places():
    with pytest.raises(MotionError, match="offsets: got none"):
        body_poses(make_clip(offsets=None))


def test_soles_and_ground():
    walk = load_clip(find_motion("walk"))
    sunk = dataclasses.replace(walk, root_translation=walk.root_translation - np.float32([0, 0, 0.08]))
    assert AMP_HUMANOID.soles(walk)[..., 2].min() == pytest.approx(0, abs=1e-6)  # the clip is made so
    assert AMP_HUMANOID.soles(sunk)[..., 2].min() == pytest.approx(-0.08, abs=1e-6)
    np.testing.assert_allclose(AMP_HUMANOID.grounded(sunk).root_translation, walk.root_translation, atol=1e-6)


def test_corners_of_soles():
    # At rest, the pelvis at 1 m: the ankle 0.421546 + 0.40987 below, the sole 0.05 below that; the heel at 0.045 -
    # 0.0885 in x, the right foot's outer edge at -0.084887 - 0.045 in y.
    rest = np.zeros((2, 15, 4))
    rest[..., 0] = 1.0
    root = np.array([[0.0, 0.0, 1.0], [0.5, 0.0, 1.0]])
    walk = load_clip(find_motion("walk"))
    corners = AMP_HUMANOID.soles(dataclasses.replace(walk, local_rotations=rest, root_translation=root))
    assert corners.shape == (2, 8, 3)
    expected = [[x - 0.0435, -0.129887, 0.118584] for x in (0.0, 0.5)]
    np.testing.assert_allclose(corners[:, 0], expected, atol=1e-6)


def test_one_deep_step_does_not_lift_the_whole_clip():
    walk = load_clip(find_motion("walk"))
    dips = walk.root_translation.copy()
    dips[50:60, 2] -= 0.06  # a twentieth of the frames
    lifted = AMP_HUMANOID.grounded(dataclasses.replace(walk, root_translation=dips))
    np.testing.assert_allclose(lifted.root_translation, dips, atol=1e-4)


def test_a_figure_on_its_hands_does_not_make_the_height_of_its_feet_the_ground():
    # Turned over by half a turn about x in 60 of the walk's 193 frames, more than a fifth, the hands at most 0.1 m
    # above the ground. The lowest corner of a sole is then at 1 m or more, and the fifth lowest would be on its way.
    walk = load_clip(find_motion("walk"))
    turns, places = walk.local_rotations.copy(), walk.root_translation.copy()
    turns[:170, 0] = [0.0, 1.0, 0.0, 0.0]
    hands_up = dataclasses.replace(walk, local_rotations=turns)
    lowest = float(body_poses(hands_up).positions[:170, :, 2].min())
    places[:170, 2] -= lowest
    clip = dataclasses.replace(walk, local_rotations=turns, root_translation=places)
    assert AMP_HUMANOID.soles(clip)[..., 2].amin(dim=1).quantile(0.2) > 0.5
    assert AMP_HUMANOID.ground(clip) == (pytest.approx(0.0, abs=1e-6), False)
    np.testing.assert_allclose(AMP_HUMANOID.grounded(clip).root_translation, places, atol=1e-6)
    assert AMP_HUMANOID.ground(walk) == (pytest.approx(0.0, abs=1e-6), True)
