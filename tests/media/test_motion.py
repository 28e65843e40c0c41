"""Clips as pictures, and a policy's motion beside the one that it imitates."""

import numpy as np
import pytest
import torch

pytest.importorskip("imageio_ffmpeg", reason="the media extra is not installed")

from PIL import Image
from toy_motion import make_clip

from manybody.media import motion, policy_video
from manybody.media.motion import clip_in_step, draw_clip, film_clip, humanoid, imitates, poses, strip_beside
from manybody.media.video import read_video, render_video
from manybody.motion.bundled import find_motion
from manybody.motion.clip import load_clip
from manybody.motion.errors import MotionError
from manybody.tasks import make


@pytest.fixture(scope="module")
def env():
    return make("HumanoidAMP", num_envs=1)


@pytest.fixture
def walk():
    return load_clip(find_motion("walk"))


def test_poses_are_those_of_the_clip(walk):
    # Frame 30 of 60 per second is the pose at 0.5 s; a knee's coordinate is the angle of its turn about y.
    _, body = humanoid()
    qpos = poses(walk, body, np.array([0.0, 0.5]))
    np.testing.assert_allclose(qpos[:, :3], walk.root_translation[[0, 30]], atol=1e-5)
    knee = body.body_names.index("right_shin")
    w, _, y, _ = walk.local_rotations[30, knee]
    assert qpos[1, body.joints[knee][0]] == pytest.approx(2 * np.arctan2(y, w), abs=1e-5)
    with pytest.raises(MotionError, match="body_names"):
        poses(make_clip(), body, np.zeros(1))


def test_a_strip_and_a_video_of_a_clip(gl, walk, tmp_path, monkeypatch):
    monkeypatch.setattr(motion, "TILE", (32, 48))
    strip = np.asarray(Image.open(draw_clip(walk, tmp_path / "a.png", 3)))
    assert strip.shape == (48, 96, 3)
    assert np.abs(strip[:, :32].astype(int) - strip[:, 32:64]).max() > 40  # another pose
    monkeypatch.setattr(motion, "FPS", 2.0)  # 3.2 s: pictures at 0, 0.5, ... 3 s
    assert len(read_video(film_clip(walk, tmp_path / "a.mp4", "walk"))) == 7


def test_the_motion_keeps_step_with_a_policy_that_follows_it(env):
    # 5 frames from 0.3 s on, then a new episode from 1.0 s on.
    rate, zero = 1 / env.dt, torch.zeros(9, dtype=torch.long)
    first, second = (round(start * rate) for start in (0.3, 1.0))
    frames = torch.tensor([*range(first, first + 5), *range(second, second + 4)])
    qpos, _ = env.body.coordinates(env.motions.state(zero, frames * env.dt))
    beside = clip_in_step(env, qpos.numpy(), np.array([0, 5]), rate)
    np.testing.assert_allclose(beside, qpos, atol=1e-3)


def test_after_its_end_the_motion_goes_on_where_it_is(env):
    # The walk is 3.2 s long. From its start on, 3.2 s later it is in the pose of its start, one lap ahead.
    length, rate = float(env.motions.lengths[0]), 1 / env.dt
    start = env.body.coordinates(env.motions.state(torch.tensor([0]), torch.tensor([0.0])))[0]
    end = env.body.coordinates(env.motions.state(torch.tensor([0]), torch.tensor([length])))[0]
    frames = round(length * rate) + 10
    beside = clip_in_step(env, start.expand(frames, -1).numpy(), np.array([0]), rate)
    steps = np.diff(beside[:, 0])
    assert beside[-10, 0] == pytest.approx(float(end[0, 0]), abs=0.1)
    assert steps.min() > 0 and steps.max() < 0.1  # no way back at the end, no leap


class Zeros:
    """A player that does nothing."""

    class config:  # noqa: N801
        name = "still"

    def __init__(self, env):
        self.env = env

    def run(self, on_step, quiet):
        self.env.reset()
        for _ in range(40):
            if on_step(self.env.step(torch.zeros(1, self.env.num_actions))):
                break


@pytest.mark.parametrize(
    ("task", "shape", "labels"),
    [("HumanoidAMP", (2, 40, 43), ("motion", "policy")), ("Cartpole", (20, 2), ())],
)
def test_a_policy_that_imitates_is_filmed_beside_the_motion(task, shape, labels, monkeypatch, tmp_path):
    # 40 steps: HumanoidAMP makes 30 a second, all of them are filmed; of Cartpole's 60 a second every other one is.
    filmed = {}
    monkeypatch.setattr(
        policy_video, "record_in_subprocess", lambda model, qpos, *_, **options: filmed.update(options, qpos=qpos)
    )
    player = Zeros(make(task, num_envs=1))
    policy_video.record_video(player, tmp_path / "a.mp4")
    assert imitates(player.env) == bool(labels)
    assert filmed["qpos"].shape == shape and filmed["labels"] == labels


def test_a_strip_of_motion_and_policy(gl, tmp_path):
    # The video's tiles are 32 wide and 48 high; in half their size 8 beside each other are 128 by 24, in two rows.
    model, body = humanoid()
    still = poses(load_clip(find_motion("walk")), body, np.zeros(9))
    video = render_video(model, np.stack((still, still)), tmp_path / "a.mp4", 30, (64, 48))
    path = strip_beside(video)
    assert path == tmp_path / "a.png" and np.asarray(Image.open(path)).shape == (48, 128, 3)
