"""The NumPy formulas say what those of ``functional`` say; the ground is where the soles say."""

import dataclasses

import numpy as np
import pytest
import torch
from toy_motion import make_clip

from manybody.functional import rotations
from manybody.functional.kinematics import forward_kinematics
from manybody.motion.clip import load_clip
from manybody.motion.errors import MotionError
from manybody.motion.kinematics import (
    about,
    between,
    body_poses,
    conjugate,
    grounded,
    is_of,
    lowest_sole,
    multiply,
    rotate,
)
from manybody.motion.shipped import find_motion
from manybody.motion.skeletons import AMP_HUMANOID


def test_rotations_are_those_of_functional():
    rng = np.random.default_rng(0)
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in rng.normal(size=(2, 5, 4)))
    v = rng.normal(size=(5, 3))
    p, q, u = (torch.tensor(x) for x in (a, b, v))
    np.testing.assert_allclose(multiply(a, b), rotations.quat_multiply(p, q), atol=1e-12)
    np.testing.assert_allclose(conjugate(a), rotations.quat_conjugate(p), atol=1e-12)
    np.testing.assert_allclose(rotate(a, v), rotations.quat_rotate(p, u), atol=1e-12)
    np.testing.assert_allclose(about(1, 0.8), rotations.quat_exp(torch.tensor([0.0, 0.8, 0.0])), atol=1e-7)


def test_bodies_are_where_functional_says():
    clip = make_clip()
    given = (torch.tensor(x).double() for x in (clip.offsets, clip.root_translation, clip.local_rotations))
    expected = forward_kinematics(clip.parents, *given)
    for ours, theirs in zip(body_poses(clip), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    with pytest.raises(MotionError, match="offsets: found none"):
        body_poses(make_clip(offsets=None))


@pytest.mark.parametrize("target", [(0, 2, 0), (1, 1, 1), (0, 0, 5), (0, 0, -1)])
def test_the_turn_between_two_directions(target):
    # (0, 0, -3) turned has the length 3 and the direction of the target; the way back onto itself is no turn.
    down, unit = np.array([0.0, 0.0, -3.0]), np.array(target) / np.linalg.norm(target)
    np.testing.assert_allclose(rotate(between(down, np.array(target, float)), down), 3 * unit, atol=1e-9)


def test_soles_and_ground():
    walk = load_clip(find_motion("walk"))
    sunk = dataclasses.replace(walk, root_translation=walk.root_translation - np.float32([0, 0, 0.08]))
    assert lowest_sole(walk, AMP_HUMANOID).min() == pytest.approx(0, abs=1e-6)  # the clip is made so
    assert lowest_sole(sunk, AMP_HUMANOID).min() == pytest.approx(-0.08, abs=1e-6)
    np.testing.assert_allclose(
        grounded(sunk, AMP_HUMANOID).root_translation, walk.root_translation, atol=1e-6
    )
    assert is_of(walk, AMP_HUMANOID) and not is_of(make_clip(), AMP_HUMANOID)
