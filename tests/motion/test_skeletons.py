import numpy as np
import torch
from toy_motion import make_clip

from manybody.functional.kinematics import forward_kinematics
from manybody.motion.bundled import find_motion
from manybody.motion.clip import load_clip
from manybody.motion.skeletons import AMP_HUMANOID


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
