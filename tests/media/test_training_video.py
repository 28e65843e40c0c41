"""``capture_video=True``: which steps are filmed, and what happens where that fails."""

from types import SimpleNamespace

import pytest
import torch
from toy import ToyEnv

from manybody.media import training_video
from manybody.media.renderer import VideoError
from manybody.media.training_video import VideoObserver
from manybody.tasks import make


def observed(tmp_path, env, steps, frequency, length):
    observer = VideoObserver(frequency, length)
    observer.after_init(SimpleNamespace(vec_env=env, run=SimpleNamespace(folder=SimpleNamespace(videos=tmp_path))))
    for _ in range(steps):
        observer.process_infos({}, torch.zeros(1, dtype=torch.bool))
    for thread in observer.threads:
        thread.join()


@pytest.fixture
def env():
    return make("Cartpole", num_envs=1)


def test_the_first_steps_of_every_period_are_filmed(env, tmp_path, monkeypatch):
    films = {}
    monkeypatch.setattr(
        training_video,
        "record_in_subprocess",
        lambda model, qpos, path, fps, camera: films.update({path: (qpos.shape, fps, camera)}),
    )
    observed(tmp_path, env, steps=12, frequency=5, length=2)
    # Steps 0 and 1, 5 and 6, 10 and 11 of Cartpole's two coordinates.
    film = ((2, 2), pytest.approx(1 / env.dt), "track")
    assert films == {tmp_path / f"step_{step}.mp4": film for step in (0, 5, 10)}


def test_a_video_that_fails_is_a_warning(env, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise VideoError("no library")

    monkeypatch.setattr(training_video, "record_in_subprocess", fail)
    observed(tmp_path, env, steps=1, frequency=5, length=1)
    assert capsys.readouterr().err == "warning: no video: no library\n"


def test_another_environment_is_not_filmed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training_video, "record_in_subprocess", lambda *_, **__: pytest.fail("filmed"))
    observed(tmp_path, ToyEnv(1), steps=3, frequency=1, length=1)
    assert "ToyEnv is not a MuJoCo task; nothing is filmed" in capsys.readouterr().err
