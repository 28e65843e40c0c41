import json
import math

import numpy as np
import pytest
import torch

from manybody.motion.errors import MotionError
from manybody.motion.importers import read_motion
from manybody.motion.skeletons import body_poses

STAND = [1.0, 0.0, 0.0, 0.0]


def frame(duration=0.05, position=(0.0, 0.9, 0.0), root=STAND, right_knee=0.0, left_elbow=0.0):
    joints = [*STAND, *STAND]  # chest, neck
    joints += [*STAND, right_knee, *STAND, *STAND, 0.0]
    joints += [*STAND, 0.0, *STAND, *STAND, left_elbow]
    return [duration, *position, *root, *joints]


def load(tmp_path, frames, name="m.txt"):
    path = tmp_path / name
    path.write_text(frames if isinstance(frames, str) else json.dumps({"Loop": "wrap", "Frames": frames}))
    return read_motion(path)


def first_pose(clip):
    return body_poses(clip).positions[0].float()


def test_a_standing_figure_stands_upright(tmp_path):
    # y up at 0.9 becomes z up; the right hip, 0.084887 to z, lies at -y; the head's base 0.236151 + 0.223894 above.
    clip = load(tmp_path, [frame(), frame(position=(0.1, 0.9, 0.2)), frame(duration=0.0)])
    assert clip.fps == pytest.approx(20.0)
    np.testing.assert_allclose(clip.root_translation[1], [0.1, -0.2, 0.9], atol=1e-6)
    bodies = first_pose(clip)
    place = dict(zip(clip.body_names, bodies.tolist(), strict=True))
    assert place["right_hip"] == pytest.approx([0.0, -0.084887, 0.9], abs=1e-6)
    assert place["neck"] == pytest.approx([0.0, 0.0, 0.9 + 0.460045], abs=1e-6)
    assert place["left_ankle"] == pytest.approx([0.0, 0.084887, 0.9 - 0.421546 - 0.40987], abs=1e-6)


def test_a_bent_knee_takes_the_foot_back_and_a_bent_elbow_stays_in_its_column(tmp_path):
    # -90 degrees about the file's z (to the right) turn the shin, 0.40987 down, to the back: -x.
    bent = frame(right_knee=-math.pi / 2, left_elbow=0.6)
    clip = load(tmp_path, [bent, bent])
    bodies = first_pose(clip)
    foot, knee = (bodies[clip.body_names.index(name)] for name in ("right_ankle", "right_knee"))
    torch.testing.assert_close(foot - knee, torch.tensor([-0.40987, 0.0, 0.0]), atol=1e-5, rtol=0)
    elbow = clip.local_rotations[0, clip.body_names.index("left_elbow")]
    np.testing.assert_allclose(elbow, [math.cos(0.3), 0.0, -math.sin(0.3), 0.0], atol=1e-6)


def test_a_turn_about_the_file_s_up_is_a_turn_about_z(tmp_path):
    turned = frame(root=[math.cos(0.2), 0.0, math.sin(0.2), 0.0])
    clip = load(tmp_path, [turned, turned], "m.json")
    np.testing.assert_allclose(clip.local_rotations[0, 0], [math.cos(0.2), 0, 0, math.sin(0.2)], atol=1e-6)


WRONG = frame()
WRONG[7] = "x"


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ("{", "file: got .*expected JSON"),
        ("[" * 100_000, "file: got .*expected JSON"),
        ('{"Frames": [NaN, 1]}', r"Frames\[0\]: got nan; expected 44"),
        ("[]", "Frames: got None"),
        ([frame()], "Frames: got .*at least 2"),
        ([frame(), frame()[:-1]], r"Frames\[1\]: got 43 numbers; expected 44"),
        ([frame(), WRONG], r"Frames\[1\]\[7\]: got 'x'"),
        ([frame(), frame(position=(10**400, 0, 0))], r"Frames\[1\]\[1\]: got 1000"),
        ([frame(0.0), frame()], r"Frames\[0\]\[0\]: got 0.0 s; expected a duration above 0"),
        ([frame(1e-200), frame()], "fps: got .*expected 1 to 1000"),
        ([frame(1e29), frame()], "fps: got .*expected 1 to 1000"),
        (
            [*[frame()] * 3, frame(0.04), frame(), frame()],
            r"Frames\[3\]\[0\]: got 0.04 s; expected 0.05 s.*resample",
        ),
        ([frame(), frame(root=[0.0, 0, 0, 0])], "length 0 in frame 1, body 'root'"),
    ],
)
def test_a_broken_file_says_where(tmp_path, frames, reason):
    with pytest.raises(MotionError, match=rf"m\.txt: .*{reason}"):
        load(tmp_path, frames)


def test_other_bytes_than_text_are_refused(tmp_path):
    (tmp_path / "m.txt").write_bytes(b"{\n\xff")
    with pytest.raises(MotionError, match="byte 0xff in line 2"):
        read_motion(tmp_path / "m.txt")
