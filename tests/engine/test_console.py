"""What is printed: RL Games' lines off a terminal, a dashboard of any size on one."""

import io
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest
from rich.console import Console

from manybody.engine import console
from manybody.engine.console import Display, EpochReport, fps_line
from manybody.engine.dashboard import Dashboard


def report(epoch=7, max_epochs=500, max_frames=-1, reward=3215.4, **changes):
    figures = {
        "epoch": epoch,
        "max_epochs": max_epochs,
        "frame": epoch * 65536,
        "max_frames": max_frames,
        "frames": 65536,
        "seconds": 2.0 * epoch,
        "physics_time": 0.5,
        "inference_time": 0.125,
        "update_time": 0.375,
        "reward": reward,
        "episode_length": None if reward is None else 998.0,
        "best_reward": None if reward is None else 3301.2,
        "scalars": {"kl": 0.0081, "last_lr": 3e-4, "a_loss": -0.012, "c_loss": 1.25, "bounds_loss": 0.0},
    }
    return EpochReport(**{**figures, **changes})


def drawn(dashboard, width=80, height=24, notice=""):
    screen = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    dashboard.notice = notice
    screen.print(dashboard.render(width, height))
    return screen.file.getvalue()


# plain lines


@pytest.mark.parametrize(
    ("max_epochs", "max_frames", "end"),
    [
        (-1, -1, "epoch: 7 frames: 458752"),
        (500, -1, "epoch: 7/500 frames: 458752"),
        (-1, 1_000_000, "epoch: 7 frames: 458752/1000000"),
        (500, 1_000_000, "epoch: 7/500 frames: 458752/1000000"),
    ],
)
def test_the_speed_line_is_rl_games(max_epochs, max_frames, end):
    # 65536 / 0.5 = 131072; / (0.5 + 0.125) = 104857.6; / (0.5 + 0.125 + 0.375) = 65536
    line = fps_line(report(max_epochs=max_epochs, max_frames=max_frames))
    assert line == f"fps step: 131072 fps step and policy inference: 104858 fps total: 65536 {end}"


@pytest.mark.slow
def test_the_speed_line_equals_rl_games_own(capsys):
    a2c_common = pytest.importorskip("rl_games.common.a2c_common")
    for max_epochs in (-1, 500):
        for max_frames in (-1, 10**9):
            a2c_common.print_statistics(True, 65536, 0.5, 0.625, 1.0, 7, max_epochs, 458752, max_frames)
            assert capsys.readouterr().out.strip() == fps_line(report(max_epochs=max_epochs, max_frames=max_frames))


def test_a_step_without_time_divides_by_nothing():
    assert "fps total:" in fps_line(report(physics_time=0.0, inference_time=0.0, update_time=0.0))


def test_off_a_terminal_plain_lines_are_printed(capsys):
    with Display() as display:
        display.start("Ant")
        display.epoch(report(reward=None))
        display.epoch(report())
    title, first, second, reward = capsys.readouterr().out.splitlines()
    assert (title, first, second) == ("Ant", fps_line(report()), fps_line(report()))
    assert reward == "reward: 3215.40 episode length: 998.0 best: 3301.20"


def test_print_stats_false_is_silent(capsys):
    with Display(print_stats=False) as display:
        display.start("Ant")
        display.epoch(report())
    assert capsys.readouterr() == ("", "")


def test_warnings_go_to_standard_error(capsys):
    console.say("=> saving checkpoint 'x'")
    console.warn("disk full")
    assert capsys.readouterr() == ("=> saving checkpoint 'x'\n", "warning: disk full\n")


@pytest.mark.parametrize("terminal", [False, True])
def test_rl_games_lines_are_printed_for_scripts_and_logged_on_a_terminal(terminal, monkeypatch, capsys, caplog):
    monkeypatch.setattr(console, "is_terminal", lambda: terminal)
    with caplog.at_level("INFO", logger="manybody"):
        console.log("=> saving checkpoint 'x'")
    assert capsys.readouterr().out == ("" if terminal else "=> saving checkpoint 'x'\n")
    assert caplog.messages == (["=> saving checkpoint 'x'"] if terminal else [])


def test_a_reader_that_went_away_or_cannot_read_letters_does_not_stop_training(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    console.say("hello")
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    console.say("Läufer")
    assert plain.buffer.getvalue() == b"L\\xe4ufer\n"
    monkeypatch.setattr(sys, "stdout", None)  # as under pythonw
    console.say("hello")
    Display().start("Ant")


# the dashboard


def test_the_dashboard_shows_every_figure():
    dashboard = Dashboard("Ant")
    assert "Ant" in drawn(dashboard) and "building" in drawn(dashboard)
    dashboard.add(report(reward=None))
    assert "first episode has not ended" in drawn(dashboard)
    for epoch in range(8, 300):
        dashboard.add(report(epoch, reward=10.0 * epoch))
    picture = drawn(dashboard)
    for text in (
        r"return +2,990",  # 10 x 299
        r"best +3,301",
        r"length +998\.0",
        r"epoch +299",
        r"frames +19\.6M",  # 299 x 65536 = 19,595,264
        r"frames/s +65,536",
        r"physics 131k/s 50%",
        r"inference 524k/s 12%",  # 65536 / 0.125
        r"learning 175k/s 38%",  # 65536 / 0.375 = 174,763
        r"KL +0\.0081",
        r"learning rate 3\.00e-04",
        r"actor loss +-0\.0120",
        r"bounds loss +0\.0000",
        r"60% +epoch 299 of 500 +6:42 left",  # 299 / 500; 201 epochs of 2 s
    ):
        assert re.search(text, picture), text
    assert "▁" in picture and "█" in picture


SETTINGS = {"e_clip": 0.2, "lr_mul": 1.0, "entropy_coef": 0.0}
TERMS = {
    "Episode/rew_forward": 1.5,
    "Episode/rew_alive_and_upright": 0.25,
    "speed": 2.0,
    "unstable_envs": 0.0,
}


def test_the_dashboard_shows_the_tasks_own_terms_and_no_constants():
    dashboard = Dashboard("Ant")
    for epoch in (1, 2):
        dashboard.add(report(epoch, scalars={"kl": 0.01, **SETTINGS}, terms=TERMS))
    picture = drawn(dashboard, 80)
    for text in (
        r"KL +0\.0100",
        r"rew forward +1\.5000",
        r"rew alive and upright +0\.2500",
        r"speed +2\.0000",
    ):
        assert re.search(text, picture), text
    assert all(text not in picture for text in ("e clip", "lr mul", "entropy coef", "unstable", "Episode"))
    dashboard.add(report(3, scalars={"kl": 0.01, **SETTINGS, "e_clip": 0.1}, terms={**TERMS, "unstable_envs": 3.0}))
    picture = drawn(dashboard, 80)
    assert re.search(r"e clip +0\.1000", picture) and re.search(r"unstable envs +3\.0000", picture)
    assert "lr mul" not in picture


def test_terms_that_do_not_fit_are_counted():
    # 60 x 18: 54 columns and 15 lines inside. Head 3, speed 3, progress 2, three blank lines: 4 lines of 2 cells.
    terms = {f"Episode/term_number_{number:02d}_long": float(number) for number in range(30)}
    dashboard = Dashboard("Ant")
    dashboard.add(report(scalars={"kl": 0.01}, terms=terms))
    picture = drawn(dashboard, 60, 18)
    assert re.search(r"KL +0\.0100", picture) and "+24 more" in picture  # 31 - 7
    assert re.search(r"term number … +5\.0000", picture) and "6.0000" not in picture
    assert re.search("frames/s", picture) and re.search("epoch 7 of 500", picture)


def test_terms_of_one_name_are_told_apart():
    dashboard = Dashboard("Ant")
    dashboard.add(report(scalars={}, terms={"Episode_Reward/time_out": 1.0, "Episode_End/time_out": 2.0}))
    picture = drawn(dashboard, 120)
    assert "Episode Reward/time out" in picture and "Episode End/time out" in picture


@pytest.mark.parametrize("height", [3, 5, 10, 16, 24, 40])
@pytest.mark.parametrize("width", [1, 8, 20, 39, 60, 80, 120, 250])
def test_the_dashboard_fits_every_terminal(width, height):
    dashboard = Dashboard("Ant with a title that is rather long for a narrow terminal")
    building = drawn(dashboard, width, height)
    dashboard.add(report(max_frames=10**9))
    running = drawn(dashboard, width, height, notice="SIGINT: stopping")
    for picture in (building, running):
        lines = picture.splitlines()
        assert len(lines) <= height and all(len(line) <= width for line in lines)
    assert "return" in running or width < 39 or height < 5


@pytest.mark.parametrize("rewards", [[5.0], [5.0, 5.0], [-3.0, 2.0], [1e9, -1e9], [0.0] * 1000])
def test_the_curve_takes_any_values(rewards):
    dashboard = Dashboard("Ant")
    for reward in rewards:
        dashboard.add(report(reward=reward))
    assert "▁" in drawn(dashboard)


def test_without_a_limit_there_is_no_bar():
    dashboard = Dashboard("Ant")
    dashboard.add(report(max_epochs=-1))
    assert "no limit set; Ctrl-C" in drawn(dashboard)


# a real terminal

DRIVER = """
import time
from manybody.engine import console
from manybody.engine.console import Display, EpochReport
from manybody.engine.signals import graceful_stop
with graceful_stop(), Display() as display:
    display.start("Ant on cpu")
    time.sleep(0.3)
    display.epoch(EpochReport(7, 500, 458752, -1, 65536, 12.0, 0.5, 0.125, 0.375, 3215.4, 998.0, 3301.2))
    console.say("=> saving checkpoint 'runs/[bold]/:x:.pth'")
    print("somebody else's line")
    time.sleep(0.5)
    MODE
"""


def on_a_terminal(mode, until, then=lambda process: None):
    """Run ``DRIVER`` on a pseudo-terminal; call ``then`` once ``until`` is seen. Gives output, exit code."""
    master, slave = pty.openpty()
    environment = {
        **os.environ,
        "TERM": "xterm-256color",
        "COLUMNS": "80",
        "LINES": "24",
        "PYTHONIOENCODING": "utf-8",
    }
    command = [sys.executable, "-c", DRIVER.replace("MODE", mode)]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    seen, deadline = b"", time.monotonic() + 20
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            try:
                seen += os.read(master, 65536)
            except OSError:  # the process ended
                break
        if until and until.encode() in seen:
            then(process)
            until = ""
    os.close(master)
    return seen.decode(errors="replace"), process.wait(timeout=5)


def test_on_a_terminal_the_display_is_live_and_gives_the_cursor_back():
    output, code = on_a_terminal("raise RuntimeError('physics exploded')", "")
    assert code == 1 and "physics exploded" in output
    assert output.index("building") < output.index("3,215")
    assert "=> saving checkpoint 'runs/[bold]/:x:.pth'" in output and "somebody else's line" in output
    assert output.rindex("\x1b[?25l") < output.rindex("\x1b[?25h")  # hidden, then shown again


def test_a_second_signal_shows_the_cursor_before_it_ends():
    def interrupt(process):
        process.send_signal(2)
        time.sleep(0.6)
        process.send_signal(2)

    output, code = on_a_terminal("time.sleep(30)", "3,215", interrupt)
    assert code == 130 and "SIGINT: stopping after this epoch" in output
    assert output.rindex("\x1b[?25l") < output.rindex("\x1b[?25h")
