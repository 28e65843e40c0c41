"""Videos of environments that draw themselves."""

import signal
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from toy import ToyEnv

pytest.importorskip("imageio_ffmpeg", reason="the media extra is not installed")

from manybody.envs import registration
from manybody.envs.registration import create_vec_env
from manybody.media.policy_video import record_video
from manybody.media.video import read_video

RED, GREEN = (250, 0, 0), (0, 250, 0)


class Drawn(gymnasium.Env):
    """Red in even steps of an episode and green in odd ones; ``fault`` says what is wrong with its pictures."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 60}  # noqa: RUF012
    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, render_mode=None, fault=""):
        self.render_mode, self.fault = render_mode, fault
        if fault == "no mode":
            self.metadata = {"render_modes": ["human"]}

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(1, np.float32), 0.0, False, self.steps == 7, {}

    def render(self):
        if self.fault == "error":
            raise gymnasium.error.DependencyNotInstalled('run `pip install "gymnasium[classic-control]"`')
        if self.fault == "shape":
            return np.zeros((3, 8, 8), np.float32)
        return np.full((5, 7, 3), GREEN if self.steps % 2 else RED, np.uint8)


gymnasium.register("Drawn-v0", Drawn, disable_env_checker=True, order_enforce=False)


class Still:
    """A player that does nothing."""

    params = SimpleNamespace(seed=1)
    player_config = SimpleNamespace(env_config={})

    def __init__(self, **env_config):
        self.config = SimpleNamespace(env_name="Drawn-v0", env_config=env_config)
        self.env = create_vec_env("Drawn-v0", 1, seed=1, **env_config)

    def run(self, on_step, quiet):
        self.env.reset()
        while not on_step(self.env.step(torch.zeros(1, 1))):
            pass


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_gymnasium_environment_is_filmed_in_its_own_pictures(vectorization, tmp_path, capsys):
    # 60 steps a second: every other one makes 30 pictures a second, 3 in 0.1 s. They show the steps 1, 3 and 5.
    # The 5 x 7 pixels are enlarged 240 // 5 = 48 times.
    path = record_video(Still(vectorization=vectorization), tmp_path / "a.mp4", 0.1)
    frames = read_video(path)
    assert len(frames) == 3 and frames[0].shape == (240, 336, 3)
    assert all(np.abs(frame.astype(int) - GREEN).max() < 16 for frame in frames)
    assert "no video" not in "".join(capsys.readouterr())


class Spread:
    """As much of a PettingZoo ``ParallelEnv`` as is needed to draw it."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def render(self):
        return np.full((240, 320, 3), RED, np.uint8)


class Drawing(ToyEnv):
    """A ``VecEnv`` that draws itself, or holds what does."""

    def __init__(self, renderer=None):
        super().__init__(1)
        if renderer is not None:
            self.renderer = renderer
        else:
            self.render = Spread("rgb_array").render


@pytest.mark.parametrize("held", [False, True])
def test_other_environments_that_draw_themselves_are_filmed_too(held, tmp_path, monkeypatch):
    # Neither tells its rate: 30 pictures a second, 3 in 0.1 s.
    def creator(num_actors, render_mode=None, **_):
        return Drawing(Spread(render_mode) if held else None)

    monkeypatch.setattr(registration, "_creators", {"drawing": creator})
    player = Still()
    player.config.env_name, player.env = "drawing", creator(1)
    player.run = lambda on_step, quiet: [on_step(player.env.step(torch.zeros(1, 2))) for _ in range(3)]
    frames = read_video(record_video(player, tmp_path / "a.mp4", 0.1))
    assert len(frames) == 3 and np.abs(frames[0].astype(int) - RED).max() < 16


@pytest.mark.parametrize(
    ("fault", "camera", "message"),
    [
        ("no mode", None, "Drawn-v0: got render modes ['human']; expected 'rgb_array' among them"),
        ("error", None, 'DependencyNotInstalled: run `pip install "gymnasium[classic-control]"`'),
        ("shape", None, "got float32 (3, 8, 8) from render(); expected a uint8 array (height, width, 3)"),
        ("", "side", "video.camera: got 'side'; expected none, because Drawn-v0 renders itself"),
    ],
)
def test_what_cannot_be_filmed_is_one_warning(fault, camera, message, tmp_path, capsys):
    assert record_video(Still(fault=fault), tmp_path / "a.mp4", 0.1, camera) is None
    err = capsys.readouterr().err
    assert err.startswith("warning: no video: ") and message in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_ctrl_c_skips_the_video_alone(tmp_path, capsys, monkeypatch):
    player = Still()
    before, step = signal.getsignal(signal.SIGINT), Drawn.step

    def interrupted(env, action):
        if env.steps == 3:
            signal.raise_signal(signal.SIGINT)
        return step(env, action)

    monkeypatch.setattr(Drawn, "step", interrupted)
    assert record_video(player, tmp_path / "a.mp4", 60) is None
    out, err = capsys.readouterr()
    assert out.endswith("no video: skipped\n") and not err
    assert not list(tmp_path.iterdir()) and signal.getsignal(signal.SIGINT) is before
