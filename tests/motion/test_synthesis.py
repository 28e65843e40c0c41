import functools
from pathlib import Path

import numpy as np
import pytest
import torch

import manybody.motion
from manybody.functional.rotations import angular_velocity, quat_log
from manybody.motion.clip import Clip, load_clip
from manybody.motion.library import MotionLib
from manybody.motion.skeletons import AMP_HUMANOID
from manybody.motion.synthesis import GAITS, clamped_spline, synthesise

CLIPS = Path(manybody.motion.__file__).parent / "clips"
FLYING = [name for name, gait in GAITS.items() if gait.flies]
GROUND = 0.01
"""Height up to which a corner of a sole is taken to touch the ground, m."""

every_gait = pytest.mark.parametrize("name", GAITS)


@functools.cache
def bundled(name: str) -> Clip:
    return load_clip(CLIPS / f"{name}.npz")


@functools.cache
def soles(name: str) -> np.ndarray:
    """(T, 8, 3) corners of the soles in the world."""
    return AMP_HUMANOID.soles(bundled(name)).numpy()


def turning(name: str) -> np.ndarray:
    """(T, B) angular speeds and (T, B) angular accelerations of the joints, the seam of the cycle included."""
    rotations = torch.tensor(bundled(name).local_rotations[:-1]).double()
    speeds = angular_velocity(rotations, rotations.roll(-1, 0), 1 / bundled(name).fps)
    changes = (speeds.roll(-1, 0) - speeds) * bundled(name).fps
    return speeds.norm(dim=-1).numpy(), changes.norm(dim=-1).numpy()


@every_gait
def test_bundled_clips_are_what_the_code_makes(name):
    made = synthesise(name)
    np.testing.assert_allclose(bundled(name).local_rotations, made.local_rotations, atol=1e-5)
    np.testing.assert_allclose(bundled(name).root_translation, made.root_translation, atol=1e-5)
    assert bundled(name).licence.startswith("CC0-1.0")
    assert bundled(name).body_names == AMP_HUMANOID.names


def test_all_bundled_clips_are_of_the_table_and_load_into_one_library():
    files = sorted(CLIPS.glob("*.npz"))
    assert [file.stem for file in files] == sorted(GAITS)
    assert len(MotionLib.load(files)) == len(GAITS)


@every_gait
def test_whole_cycles_of_two_to_four_seconds_at_the_stated_speed(name):
    clip = bundled(name)
    assert 2 <= clip.length <= 4
    np.testing.assert_allclose(clip.local_rotations[-1], clip.local_rotations[0], atol=1e-6)
    way = clip.root_translation[-1] - clip.root_translation[0]
    np.testing.assert_allclose(way, [GAITS[name].speed * clip.length, 0, 0], atol=1e-5)


@every_gait
def test_feet_neither_sink_nor_slide(name):
    corners = soles(name)
    assert corners[..., 2].min() > -0.001
    for path in corners.swapaxes(0, 1):
        touching = path[:, 2] < GROUND
        ends = np.flatnonzero(np.diff(touching, prepend=False, append=False))
        for start, stop in ends.reshape(-1, 2):
            stance = path[start:stop, :2]
            assert np.linalg.norm(stance[:, None] - stance, axis=-1).max() < 0.02


@every_gait
def test_weight_is_carried_unless_the_gait_flies(name):
    airborne = ~(soles(name)[..., 2] < GROUND).any(axis=1)
    if name in FLYING:
        assert 0.1 < airborne.mean() < 0.5
    else:
        assert not airborne.any()


@pytest.mark.parametrize("name", FLYING)
def test_flight_obeys_gravity_and_landing_is_soft(name):
    height = bundled(name).root_translation[:, 2].astype(float)
    acceleration = np.diff(height, 2) * bundled(name).fps ** 2
    feet = soles(name)[..., 2].min(axis=1)
    flying = (feet[:-2] > 2e-3) & (feet[1:-1] > 2e-3) & (feet[2:] > 2e-3)
    assert flying.any()
    # Heights in float32 are good to 6e-8: 6e-8 * 60^2 * (1 + 2 + 1) / 2 = 4e-4.
    np.testing.assert_allclose(acceleration[flying], -9.81, atol=1e-3)
    # A half sine carries pi/2 D/d times the weight at most: for hop pi/2 / 0.62 = 2.53, for run pi/2 * 0.5 / 0.35.
    assert 0.9 * 9.81 < acceleration.max() < 1.54 * 9.81


@every_gait
def test_hinges_turn_about_y_within_their_range(name):
    for body, (low, high) in AMP_HUMANOID.hinges.items():
        turn = quat_log(torch.tensor(bundled(name).local_rotations[:, AMP_HUMANOID.names.index(body)])).numpy()
        np.testing.assert_allclose(turn[:, [0, 2]], 0, atol=1e-6)
        assert low <= turn[:, 1].min() and turn[:, 1].max() <= high


@every_gait
def test_joints_turn_smoothly_over_the_seam_too(name):
    speeds, changes = turning(name)
    assert speeds.max() < (14 if name in FLYING else 9)
    assert changes.max() < (600 if name in FLYING else 250)


@every_gait
def test_left_is_right_mirrored_half_a_cycle_later(name):
    clip, gait = bundled(name), GAITS[name]
    later = 0 if gait.together else gait.cycle // 2
    other = [
        AMP_HUMANOID.names.index(n.replace("right_", "?").replace("left_", "right_").replace("?", "left_"))
        for n in AMP_HUMANOID.names
    ]
    mirrored = clip.local_rotations[later:, other] * [1, -1, 1, -1]
    same = np.abs((mirrored * clip.local_rotations[: clip.frames - later]).sum(-1))
    np.testing.assert_allclose(same, 1, atol=1e-6)


def test_a_clamped_spline_repeats_a_cubic():
    # y = x^3 - x has y' = 3 x^2 - 1: -1 at 0, 11 at 2.
    keys = tuple((x, x**3 - x) for x in (0.0, 0.7, 1.1, 2.0))
    at = torch.linspace(0, 2, 9, dtype=torch.float64)
    torch.testing.assert_close(clamped_spline(keys, (-1.0, 11.0), at), at**3 - at)
