import math

import pytest
import torch

from manybody.config.algorithm import RewardShaperConfig
from manybody.functional.reward import RewardsShaper


@pytest.mark.parametrize(
    ("shaper", "expected"),
    [
        (RewardsShaper(), [-1.0, 0.0, 3.0]),
        (RewardsShaper(scale_value=0.5), [-0.5, 0.0, 1.5]),
        (RewardsShaper(scale_value=0.5, shift_value=1.0), [0.0, 0.5, 2.0]),  # (r + 1) * 0.5
        (RewardsShaper(scale_value=2.0, min_val=-1.0, max_val=1.0), [-1.0, 0.0, 1.0]),  # clip after scaling
        (RewardsShaper(min_val=0.5), [0.5, 0.5, 3.0]),
        (RewardsShaper(max_val=0.5), [-1.0, 0.0, 0.5]),
        (RewardsShaper(shift_value=2.0, log_val=True), [0.0, math.log(2.0), math.log(5.0)]),  # log last
    ],
)
def test_shift_scale_clip_log(run, shaper, expected):
    assert run(shaper, torch.tensor([-1.0, 0.0, 3.0])).tolist() == pytest.approx(expected)


def test_from_the_configuration():
    section = RewardShaperConfig(scale_value=0.1, shift_value=2.0, max_val=5.0)
    expected = RewardsShaper(scale_value=0.1, shift_value=2.0, max_val=5.0)
    assert RewardsShaper.from_config(section) == expected


def test_the_reward_is_not_modified_in_place():
    reward = torch.tensor([1.0])
    RewardsShaper(scale_value=9.0)(reward)
    assert reward.item() == 1.0
