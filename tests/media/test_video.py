import contextlib
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mujoco
import numpy as np
import pytest

pytest.importorskip("imageio_ffmpeg", reason="the media extra is not installed")

from manybody.media import renderer, video
from manybody.media.motion import contact_sheet
from manybody.media.renderer import VideoError, camera_path
from manybody.media.video import media_package, record_in_subprocess, render_video

BALL = """
<mujoco>
  <worldbody>
    <light pos="0 0 3"/>
    <geom type="plane" size="5 5 .1" rgba=".2 .3 .8 1"/>
    <body pos="0 0 0"><freejoint/><geom type="sphere" size=".25" rgba="1 0 0 1"/></body>
    {camera}
  </worldbody>
</mujoco>
"""
SIZE = (64, 48)


def ball(camera: str = "") -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(BALL.format(camera=camera))


def moves(x: np.ndarray, z: float = 0.25) -> np.ndarray:
    """(K, 7) positions of a ball at (x, 0, z)."""
    qpos = np.zeros((len(x), 7))
    qpos[:, 0], qpos[:, 2], qpos[:, 3] = x, z, 1.0
    return qpos


def red(frame: np.ndarray) -> np.ndarray:
    """(height, width) bool: the pixels of the ball."""
    r, g, b = frame.astype(int).transpose(2, 0, 1)
    return (r > 60) & (r > 2 * g) & (r > 2 * b)


def test_video_has_every_frame_and_the_ball_in_the_middle(gl, tmp_path):
    path = render_video(ball(), moves(np.zeros(5)), tmp_path / "videos" / "a.mp4", 30, SIZE)
    frames = video.read_video(path)
    assert len(frames) == 5 and frames[0].shape == (48, 64, 3)
    rows, columns = np.nonzero(red(frames[2]))
    assert abs(columns.mean() - 31.5) < 4 and abs(rows.mean() - 23.5) < 5
    assert [file.name for file in path.parent.iterdir()] == ["a.mp4"]  # no temporary file is left


def test_video_is_h264_that_browsers_play(gl, tmp_path):
    import imageio_ffmpeg

    path = render_video(ball(), moves(np.zeros(2)), tmp_path / "a.mp4", 30, SIZE)
    about = next(imageio_ffmpeg.read_frames(str(path)))
    assert about["codec"] == "h264" and about["pix_fmt"].startswith("yuv420p") and about["fps"] == 30
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # index first: plays while it loads


def test_several_environments_are_tiles(gl, tmp_path):
    # Two balls, side by side: columns = ceil(sqrt(2)) = 2, rows = 1, so each half of the picture shows one.
    qpos = np.stack([moves(np.zeros(2)), moves(np.zeros(2))])
    frame = video.read_video(render_video(ball(), qpos, tmp_path / "a.mp4", 30, SIZE))[1]
    assert red(frame[:, :32]).any() and red(frame[:, 32:]).any() and not red(frame[:, 30:34]).any()


def test_a_camera_of_the_model_is_used(gl, tmp_path):
    model = ball('<camera name="away" pos="0 -9 .2" xyaxes="-1 0 0 0 0 1"/>')  # looks along -y: away from the ball
    frames = video.read_video(render_video(model, moves(np.zeros(2)), tmp_path / "a.mp4", 30, SIZE, "away"))
    assert not red(frames[0]).any()


def test_title_and_return_are_drawn(gl, tmp_path):
    model, qpos, size = ball(), moves(np.zeros(2)), (128, 96)
    plain = video.read_video(render_video(model, qpos, tmp_path / "a.mp4", 30, size))[0]
    path = render_video(model, qpos, tmp_path / "b.mp4", 30, size, title="Ball", returns=np.array([0.0, 1234.0]))
    titled = video.read_video(path)[0]
    changed = np.abs(titled.astype(int) - plain.astype(int)).max(axis=2) > 40
    assert changed[:24, :64].any() and not changed[32:64].any()


def test_each_tile_has_its_label(gl, tmp_path):
    qpos, size = np.stack([moves(np.zeros(2))] * 2), (256, 96)
    plain, named = (
        video.read_video(render_video(ball(), qpos, tmp_path / "a.mp4", 30, size, labels=labels))[0].astype(int)
        for labels in ((), ("", "policy"))
    )
    changed = np.abs(named - plain).max(axis=2) > 40
    assert changed[:32, 128:192].any() and not changed[:, :120].any()


def test_record_in_subprocess_makes_the_same_video(gl, tmp_path):
    film = ball(), moves(np.zeros(3)), tmp_path / "a.mp4", 30
    path = record_in_subprocess(*film, size=SIZE, labels=["ball"])
    assert path == tmp_path / "a.mp4" and len(video.read_video(path)) == 3


@pytest.mark.parametrize(
    ("budget", "every"),
    # 10 pictures of 1/128 s take 0.078125 s, 1.25 and 5 times the last two; the first picture does not count.
    [(float("inf"), 1), (0.1, 1), (0.0625, 2), (0.015625, 5), (0.001, 6)],  # 60 / 6 is 10 a second
)
def test_a_slow_renderer_draws_fewer_pictures(budget, every, monkeypatch):
    clock = [0.0]

    def draw():
        clock[0] += 0.25 if clock[0] == 0 else 1 / 128

    monkeypatch.setattr(video.time, "monotonic", lambda: clock[0])
    assert video._every(draw, 10, 60.0, budget) == every


def test_fewer_pictures_are_a_video_of_the_same_length(gl, tmp_path, monkeypatch):
    # 9 frames at 30 a second; of every 4 one is drawn: 0, 4 and 8, at 7.5 a second.
    monkeypatch.setattr(video, "_every", lambda *_: 4)
    done: list[int] = []
    path = render_video(ball(), moves(np.zeros(9)), tmp_path / "a.mp4", 30, SIZE, progress=done.append)
    assert done == [4, 4, 1] and len(video.read_video(path)) == 3
    assert video.frame_rate(path) == pytest.approx(7.5)


def test_whoever_watches_a_rendering_sees_its_frames_and_may_end_it(gl, tmp_path):
    seen: list[int] = []

    def watch(done: int) -> None:
        seen.append(done)
        if done > 3:
            raise VideoError("skipped")

    with pytest.raises(VideoError, match="skipped"):
        record_in_subprocess(ball(), moves(np.zeros(2_000)), tmp_path / "a.mp4", 30, size=SIZE, watch=watch)
    assert list(tmp_path.iterdir()) == []
    assert seen == sorted(seen) and 3 < seen[-1] < 2_000 and seen[0] == 0


@pytest.mark.parametrize(
    ("visual", "azimuth", "elevation", "fixed"),
    [
        ("", renderer.CAMERA_AZIMUTH, renderer.CAMERA_ELEVATION, None),
        ('<visual><global azimuth="10" elevation="-70"/></visual>', 10.0, -70.0, None),
        ('<visual><global cameraid="1"/></visual>', None, None, 1),
    ],
)
def test_the_default_view_of_a_model_is_honoured(visual, azimuth, elevation, fixed):
    cameras = '<camera name="top" pos="0 0 5"/><camera name="side" pos="0 -5 1" xyaxes="1 0 0 0 0 1"/>'
    model = mujoco.MjModel.from_xml_string(BALL.format(camera=cameras).replace("<worldbody>", f"{visual}<worldbody>"))
    (view,) = renderer.views(model, moves(np.zeros(1)), 30, "track", SIZE)
    if fixed is None:
        assert (view.azimuth, view.elevation) == (azimuth, elevation)
    else:
        assert view.type == mujoco.mjtCamera.mjCAMERA_FIXED and view.fixedcamid == fixed
    (view,) = renderer.views(model, moves(np.zeros(1)), 30, "top", SIZE)
    assert view.type == mujoco.mjtCamera.mjCAMERA_FIXED and view.fixedcamid == 0


def failing(tmp_path: Path, **options) -> str:
    qpos = options.pop("qpos", moves(np.zeros(3)))
    with pytest.raises(VideoError) as error:
        record_in_subprocess(ball(), qpos, tmp_path / "a.mp4", 30, size=SIZE, **options)
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []
    return str(error.value)


@pytest.mark.skipif(platform.system() != "Linux", reason="osmesa is a Linux library")
def test_missing_gl_is_one_message_that_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setenv("PYOPENGL_PLATFORM", "egl")  # which mujoco.osmesa refuses, installed or not
    message = failing(tmp_path)
    assert message.startswith("OpenGL (osmesa)") and "unset PYOPENGL_PLATFORM" in message


@pytest.mark.skipif(platform.system() != "Linux", reason="glfw finds a display elsewhere")
def test_glfw_without_a_display_is_one_message_that_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    message = failing(tmp_path)
    assert message.startswith("OpenGL (glfw)")
    assert "needs a display" in message and "unset MUJOCO_GL" in message and "libegl1" in message


@pytest.mark.parametrize(("backend", "word"), [("egl", "libegl1"), ("osmesa", "libosmesa6")])
def test_a_backend_that_does_not_start_names_the_package(monkeypatch, backend, word):
    monkeypatch.delenv("PYOPENGL_PLATFORM", raising=False)
    assert word in renderer._remedy(backend)


@pytest.mark.parametrize("value", ["nonsense", "disable"])
def test_a_setting_that_gives_no_pictures_is_named(monkeypatch, value):
    monkeypatch.setenv("MUJOCO_GL", value)
    with pytest.raises(VideoError, match=f"MUJOCO_GL: got '{value}'; expected one of egl, osmesa, glfw, cgl"):
        renderer.gl_backend()


def test_no_gl_library_at_all(monkeypatch):
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(renderer.platform, "system", lambda: "Linux")
    monkeypatch.setattr(renderer.ctypes, "CDLL", missing)
    with pytest.raises(VideoError, match=r"libEGL nor libOSMesa.*apt-get install libegl1"):
        renderer.gl_backend()


def test_osmesa_is_the_second_choice(monkeypatch):
    def only_osmesa(name: str) -> None:
        if "OSMesa" not in name:
            raise OSError(name)

    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(renderer.platform, "system", lambda: "Linux")
    monkeypatch.setattr(renderer.ctypes, "CDLL", only_osmesa)
    assert renderer.gl_backend() == "osmesa"


def test_missing_package_says_what_to_install():
    with pytest.raises(VideoError, match=r"pip install 'manybody\[media\]'"):
        media_package("imageio_that_is_not_there")


def test_a_slow_rendering_is_stopped(tmp_path):
    assert "longer than 0.01 s" in failing(tmp_path, time_limit=0.01)


def test_a_crash_is_a_message(monkeypatch, tmp_path):
    crash = [sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"]
    popen = subprocess.Popen
    monkeypatch.setattr(video.subprocess, "Popen", lambda _, **options: popen(crash, **options))
    message = failing(tmp_path)
    assert "crashed (SIGSEGV)" in message and "libegl1" in message and "manybody[media]" in message


FILM = """
import sys
from pathlib import Path
import mujoco, numpy as np
from manybody.cli.interrupts import exit_on_signal
from manybody.media import video
model = mujoco.MjModel.from_xml_string(sys.argv[3])
with exit_on_signal():
    getattr(video, sys.argv[1])(model, np.zeros((20_000, 7)), Path(sys.argv[2]), 30, size=(64, 48))
"""


@pytest.mark.parametrize("how", ["record_in_subprocess", "render_video"])
def test_an_interrupt_ends_the_rendering_and_leaves_nothing(gl, tmp_path, how):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "TMPDIR": str(tmp_path),
    }
    (tmp_path / "out").mkdir()
    whole = str(tmp_path / "out" / "a.mp4")
    command = [sys.executable, "-c", FILM, how, whole, BALL.format(camera="")]
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        wait_until(lambda: any((tmp_path / "out").iterdir()))
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    wait_until(lambda: not any((tmp_path / "out").iterdir()) and len(list(tmp_path.iterdir())) == 1)
    wait_until(lambda: not any(whole[:-4].encode() in line for line in command_lines()))


def wait_until(done: Callable[[], bool]) -> None:
    for _ in range(600):
        if done():
            return
        time.sleep(0.05)
    raise AssertionError("waited for 30 s")


def command_lines() -> Iterator[bytes]:
    """Of all processes."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield file.read_bytes()


def test_a_picture_that_cannot_be_put_there_leaves_nothing_beside(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OSError, match=r"a\.png"):
        contact_sheet([np.zeros((4, 6, 3), np.uint8)], tmp_path / "a.png", 1)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_a_wrong_argument_is_a_message_too(tmp_path):
    assert "(frames, 7)" in failing(tmp_path, qpos=np.zeros((3, 6)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qpos": np.zeros((3, 6))}, r"\(frames, 7\)"),
        ({"qpos": np.zeros((0, 7))}, "at least one frame"),
        ({"qpos": np.full((2, 7), np.nan)}, r"qpos\[0, 0, 0\]: got nan"),
        ({"size": (65, 48)}, "two even numbers"),
        ({"camera": "front"}, "camera: got 'front'; expected 'track'"),
    ],
)
def test_what_cannot_be_rendered_is_refused(change, message, tmp_path):
    arguments = {"qpos": moves(np.zeros(2)), "path": tmp_path / "a.mp4", "fps": 30, "size": SIZE} | change
    with pytest.raises(ValueError, match=message):
        render_video(ball(), **arguments)
    assert list(tmp_path.iterdir()) == []


def test_camera_stands_still_for_a_robot_that_stays():
    # The ball's radius is 0.25; it travels 0.4 <= 2 * 0.25, so the camera looks at the middle, x = 0.2, and
    # its distance covers 0.25 + 0.4 / 2 = 0.45 m: 1.25 * 0.45 / tan(45° / 2) = 1.358 m.
    lookat, distance = camera_path(ball(), moves(np.linspace(0, 0.4, 5)), fps=30)
    np.testing.assert_allclose(lookat, np.tile([0.2, 0, 0.25], (5, 1)), atol=1e-9)
    assert distance == pytest.approx(1.25 * 0.45 / np.tan(np.radians(22.5)))


def test_camera_follows_smoothly_and_cuts_at_a_reset():
    # Out 3 m in 30 frames, then back at the start: the camera never looks at a place between the two.
    x = np.concatenate([np.linspace(0, 3, 31), np.zeros(20)])
    lookat, _ = camera_path(ball(), moves(x), fps=30)
    assert lookat[15, 0] == pytest.approx(1.5)  # the mean of a straight line is its middle
    assert lookat[30, 0] > 2.4 and abs(lookat[31, 0]) < 1e-9


def test_contact_sheet_is_in_reading_order(tmp_path):
    from PIL import Image

    # Frame i is grey of value i; two rows of two.
    frames = [np.full((4, 6, 3), i, np.uint8) for i in range(4)]
    sheet = np.asarray(Image.open(contact_sheet(frames, tmp_path / "new" / "a.png", 2)))
    assert sheet.shape == (8, 12, 3)
    assert [sheet[0, 0, 0], sheet[0, 6, 0], sheet[4, 0, 0], sheet[4, 6, 0]] == [0, 1, 2, 3]
