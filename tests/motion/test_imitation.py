import math

import pytest
import torch

from manybody.motion.imitation import imitation_error, still_error

CYCLE = 20


def swing(frames, speed=1.0, start=0.0, lag=0.0):
    """(frames, 2, 3): a root, and a hand 1 m away that goes around it; ``lag`` pushes it off its way (m)."""
    angle = 2 * math.pi * (speed * torch.arange(frames) + start) / CYCLE
    hand = torch.stack((angle.cos(), angle.sin(), torch.full_like(angle, lag)), dim=1)
    return torch.stack((torch.zeros_like(hand), hand), dim=1)


def test_a_motion_may_begin_anywhere_and_go_on_over_the_end():
    assert imitation_error(swing(50, start=13), swing(CYCLE)) == pytest.approx(0.0, abs=1e-6)


def test_the_distance_is_the_mean_over_bodies():
    # The hand is 0.3 m off, the root is not.
    assert imitation_error(swing(50, lag=0.3), swing(CYCLE)) == pytest.approx(0.15, abs=1e-6)


@pytest.mark.parametrize("speed", [0.5, 1.5, 2.0])
def test_a_slower_or_faster_motion_is_aligned(speed):
    # Never further from a frame of the clip than half a step, 0.16 m of the hand and 0.08 m on average.
    assert imitation_error(swing(60, speed), swing(CYCLE)) < 0.05


def test_standing_still_is_no_imitation():
    # One frame for ever would be 0. As it is, the clip goes through the half circle near the hand at half its speed and
    # through the far one at twice its speed: 4/5 of the time near, at |e^ia - 1| = 8 (1 - cos 45) / pi = 0.75 m on
    # average, and 1/5 far, at 8 cos 45 / pi = 1.80 m: 0.96 m, half of it over two bodies. Dwelling a little less than
    # half a circle is better still.
    still = swing(1).repeat(80, 1, 1)
    assert 0.4 < imitation_error(still, swing(CYCLE)) < 0.48


def test_the_mean_pose_of_a_circle_is_its_centre():
    # 1 m from the hand wherever it is, half of that over two bodies.
    assert still_error(swing(CYCLE)) == pytest.approx(0.5, abs=1e-6)
