import math

import numpy as np
import pytest
import torch

from manybody.functional.rotations import quat_exp, quat_multiply
from manybody.motion.errors import MotionError, MotionNotice
from manybody.motion.importers import read_motion

TEXT = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Chest
  {
    OFFSET 0 10 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 5 0
    }
  }
  JOINT Left Leg
  {
    OFFSET 4 -20 1
    CHANNELS 3 Zrotation Xrotation Yrotation
  }
}
MOTION
Frames: 2
Frame Time: 0.04
1 90 3 0 0 0  0 0 0  0 0 0
1 90 7 0 0 90  10 20 30  0 0 0
"""


def load(tmp_path, text=TEXT, **options):
    path = tmp_path / "m.bvh"
    path.write_text(text)
    return read_motion(path, **options)


def test_the_skeleton_in_metres_and_z_up(tmp_path):
    # (x, y, z) in cm with y up becomes (x, -z, y) / 100.
    clip = load(tmp_path, scale=0.01)
    assert (clip.body_names, clip.parents) == (("Hips", "Chest", "Left Leg"), (-1, 0, 0))
    assert clip.fps == pytest.approx(25.0)
    np.testing.assert_allclose(clip.offsets, [[0, 0, 0], [0, 0, 0.1], [0.04, -0.01, -0.2]], atol=1e-7)
    np.testing.assert_allclose(clip.root_translation, [[0.01, -0.03, 0.9], [0.01, -0.07, 0.9]], atol=1e-6)


def test_a_turn_about_the_file_s_up_is_a_turn_about_z(tmp_path):
    half = math.sqrt(0.5)
    np.testing.assert_allclose(load(tmp_path).local_rotations[1, 0], [half, 0, 0, half], atol=1e-6)


def test_channels_multiply_from_left_to_right(tmp_path):
    def turn(axis, degrees):
        return quat_exp(math.radians(degrees) * torch.eye(3, dtype=torch.float64)[axis])

    expected = quat_multiply(quat_multiply(turn(2, 10), turn(0, 20)), turn(1, 30))
    got = load(tmp_path, up="z").local_rotations[1, 1]
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_position_channels_of_a_joint_take_the_place_of_its_offset(tmp_path):
    head = TEXT.replace("-20 1\n    CHANNELS 3", "-20 1\n    CHANNELS 6 Xposition Yposition Zposition")
    still = head.replace("0 0 0\n1", "5 -21 2 0 0 0\n1").replace("30  0 0 0\n", "30  5 -21 2 0 0 0\n")
    np.testing.assert_allclose(load(tmp_path, still, up="z").offsets[2], [5, -21, 2], atol=1e-5)
    moving = still.replace("30  5 -21 2", "30  5 -25 2")
    with pytest.raises(MotionError, match=r"joint 'Left Leg': got a bone that stretches by 2 .*rigid"):
        load(tmp_path, moving)


def test_noise_in_the_last_digits_is_no_stretching(tmp_path):
    # Two digits: a place may be off by 0.01, more than 1 % of a bone of 0.4 and of one of no length.
    channels = "CHANNELS 6 Xposition Yposition Zposition"
    noisy = TEXT.replace("OFFSET 0 10 0\n    CHANNELS 3", f"OFFSET 0 0.4 0\n    {channels}")
    noisy = noisy.replace("-20 1\n    CHANNELS 3", f"-20 1\n    {channels}")
    noisy = noisy.replace("0 0 0  0 0 0\n1", "0.00 0.40 0.00 0 0 0  0 0 0 0 0 0\n1")
    noisy = noisy.replace("10 20 30  0 0 0\n", "0.01 0.41 0.00 10 20 30  0.01 0 0 0 0 0\n")
    np.testing.assert_allclose(load(tmp_path, noisy, up="z").offsets[1:], [[0.005, 0.405, 0], [0.005, 0, 0]])


@pytest.mark.parametrize(
    ("old", "new", "frames"),
    [("Frames: 2", "Frames: 3", 2), ("Frames: 2", "Frames: 1", 2), ("Frames: 2", "Frames:2", None)],
)
def test_a_count_that_is_off_by_one_is_read_with_a_notice(tmp_path, old, new, frames, recwarn):
    assert load(tmp_path, TEXT.replace(old, new).replace("Time: 0.04", "Time:\t0.04")).frames == 2
    assert [type(warning.message) for warning in recwarn] == ([MotionNotice] if frames else [])
    assert all("m.bvh: the header counts" in str(warning.message) for warning in recwarn)


def test_the_ending_chooses_this_reader_and_line_ends_do_not_matter(tmp_path):
    (tmp_path / "m.bvh").write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert read_motion(tmp_path / "m.bvh").frames == 2


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("HIERARCHY", "HIERARCHIE", "line 1: got 'HIERARCHIE'; expected HIERARCHY"),
        ("OFFSET 0 10 0", "OFFSET 0 10", "line 8: got 2 numbers; expected 3"),
        ("OFFSET 0 10 0", "OFFSET 0 ten 0", "line 8: got 'OFFSET 0 ten 0'; expected finite numbers"),
        ("    OFFSET 0 10 0\n", "", "no OFFSET of 'Chest'"),
        ("CHANNELS 6 X", "CHANNELS 5 X", "line 5: got 'CHANNELS 5 Xposition"),
        (
            "Zrotation Xrotation Yrotation\n    End",
            "Zrotation Xrotation Wrotation\n    End",
            "line 9: got 'wrot",
        ),
        ("JOINT Chest", "JOINT", "line 6: got a joint without a name"),
        ("JOINT Chest", "JOINT Left Leg", r"body_names\[2\]: got 'Left Leg'; expected a name that no other body has"),
        ("JOINT Chest\n  {", "JOINT Chest {", "line 7: got 'OFFSET 0 10 0'; expected {"),
        ("      OFFSET 0 5 0", "      JOINT Toe", "line 12: got 'JOINT Toe'; expected OFFSET or }"),
        ("}\nMOTION", "MOTION", "line 20: got 'MOTION'; expected OFFSET, CHANNELS"),
        ("Frames: 2", "Frames: 4", "line 25: got 2 frames; expected 4"),
        ("Frames: 2", "Frames 2", "line 22: got 'Frames 2'; expected Frames: and a number"),
        ("Frames: 2", "Frames: two", "line 22: got 'Frames: two'"),
        (
            TEXT[TEXT.index("Frames: 2") :],
            "Frames: 0\nFrame Time: 0.04\n",
            "line 23: got 0 frames; expected at",
        ),
        ("Time: 0.04", "Time: 0", "line 23: got 0.0 s"),
        ("Time: 0.04", "Time: 1e-300", "fps: got .* expected 1 to 1000"),
        ("Time: 0.04", "Time: 1e300", "fps: got .* expected 1 to 1000"),
        ("30  0 0 0", "30  0 0", "line 25: got 11 numbers; expected 12"),
        ("30  0 0 0", "30  0 0 nan", "line 25: got .*expected finite numbers"),
        (TEXT[TEXT.index("  }\n}\nMOTION") :], "", "got the end of the file; expected OFFSET"),
        (TEXT[10:], "", "got the end of the file; expected ROOT"),
    ],
)
def test_a_broken_file_says_its_line(tmp_path, old, new, reason):
    assert old in TEXT
    with pytest.raises(MotionError, match=rf"m\.bvh: .*{reason}"):
        load(tmp_path, TEXT.replace(old, new, 1))


@pytest.mark.parametrize(("options", "field"), [({"scale": 0.0}, "scale"), ({"up": "x"}, "up")])
def test_a_wrong_option_is_named(tmp_path, options, field):
    with pytest.raises(MotionError) as error:
        load(tmp_path, **options)
    assert error.value.field == field
