"""The command as a person runs it: a process of its own, signals, exit codes, a full disk."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from toy_env import differences, task_params

from manybody import cli
from manybody.engine.checkpoint import load_checkpoint
from manybody.engine.run_folder import RunFolder

EPOCHS = 25
SMALL = [
    *(
        "task=Cartpole",
        "num_envs=64",
        f"max_iterations={EPOCHS}",
        "num_threads=1",
        "train.params.torch_threads=1",
    ),
    *("train.params.config.minibatch_size=1024", "train.params.config.score_to_win=10000", "video=False"),
]
COMMAND = "from manybody.cli import main; main()"
RUNNER = """
import json, sys
from manybody.runner import Runner
runner = Runner()
runner.load(json.loads(sys.argv[1]))
runner.run({"train": True})
"""


@pytest.fixture
def start(tmp_path):
    """``start(code, *arguments)``: a Python process in an empty folder; killed when the test ends."""
    processes = []

    def launch(code, *arguments):
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", code, *map(str, arguments)],
                cwd=tmp_path,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield launch
    for process in processes:
        process.kill()
        process.communicate()


def epochs(folder):
    file = folder / "metrics.jsonl"
    return [json.loads(line)["epoch"] for line in file.read_text().splitlines()] if file.exists() else []


def wait_for(condition, process, seconds=120):
    """Until ``condition()`` holds; the process must not have ended."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


def stop(process, number):
    """Send a signal; exit code, seconds until the process ended, and what it said."""
    started = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, time.monotonic() - started, out, err


@pytest.fixture(scope="module")
def uninterrupted_run(tmp_path_factory):
    """The folder of the run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("cli")
    command = [sys.executable, "-c", COMMAND, "train", *SMALL, "experiment=whole"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return folder / "runs" / "whole"


@pytest.fixture(scope="module")
def uninterrupted(uninterrupted_run):
    """Its final checkpoint."""
    (file,) = (uninterrupted_run / "nn").glob(f"last_whole_ep_{EPOCHS}_*.pth")
    return load_checkpoint(file)


def test_sigint_saves_and_the_run_goes_on_to_the_same_end(tmp_path, start, uninterrupted):
    process = start(COMMAND, "train", *SMALL, "experiment=run")
    folder = tmp_path / "run"
    folder = tmp_path / "runs" / "run"
    wait_for(lambda: len(epochs(folder)) >= 3, process)
    process.send_signal(signal.SIGUSR1)  # saves and goes on
    wait_for(lambda: list(folder.glob("nn/last_*.pth")), process)
    done = len(epochs(folder))
    wait_for(lambda: len(epochs(folder)) > done, process)
    code, seconds, out, err = stop(process, signal.SIGINT)
    assert code == 130 and seconds < 10
    assert "SIGINT: stopping after this epoch, with a checkpoint." in err and "Traceback" not in out + err
    reached = epochs(folder)[-1]
    assert reached < EPOCHS and epochs(folder) == list(range(1, reached + 1))
    assert load_checkpoint(RunFolder.open(folder).newest())["epoch"] == reached
    assert not list(folder.glob("nn/.saving-*"))

    again = start(COMMAND, "train", "checkpoint=runs/run")
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    (file,) = folder.glob(f"nn/last_run_ep_{EPOCHS}_*.pth")
    assert differences(load_checkpoint(file), uninterrupted) == ["/elapsed"]
    assert epochs(folder) == list(range(1, EPOCHS + 1))


def test_sigterm_through_a_runner_in_a_script(tmp_path, start):
    config = task_params("Cartpole", 64, tmp_path, max_epochs=100_000, full_experiment_name="run")
    process = start(RUNNER, json.dumps(config))
    folder = tmp_path / "run"
    wait_for(lambda: len(epochs(folder)) >= 2, process)
    code, seconds, out, err = stop(process, signal.SIGTERM)
    assert code == 143 and seconds < 10
    assert "SIGTERM: stopping after this epoch" in err and "Traceback" not in out + err
    newest = RunFolder.open(folder).newest()
    assert re.fullmatch(r"last_Cartpole_ep_\d+_rew_.*\.pth", newest.name)
    assert load_checkpoint(newest)["epoch"] == epochs(folder)[-1]


def test_a_second_sigint_ends_at_once(tmp_path, start):
    long = "train.params.config.mini_epochs=100000"  # an epoch of many minutes
    process = start(COMMAND, "train", *SMALL, long, "experiment=run")
    line = ""
    while "64 environments" not in line:  # training has begun
        line = process.stdout.readline()
        assert line, process.communicate()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None  # the first one waits for the epoch
    code, seconds, out, err = stop(process, signal.SIGINT)
    assert code == 130 and seconds < 3 and "Traceback" not in out + err
    assert not list(tmp_path.glob("runs/run/nn/*.pth"))


def test_a_signal_before_training_ends_the_process_with_one_line(tmp_path, start):
    """From the first line on, at whatever it is importing or building."""
    waits = {0.0: signal.SIGINT, 0.2: signal.SIGTERM, 0.7: signal.SIGINT, 1.5: signal.SIGINT}
    begun = [(start(COMMAND, "train", *SMALL, f"experiment=run{i}"), wait) for i, wait in enumerate(waits)]
    for process, wait in begun:
        assert process.stdout.readline() == "manybody: loading ...\n"
        time.sleep(wait)
        code, _, out, err = stop(process, waits[wait])
        # PyGLFW, which mujoco imports, asks a short-lived process for its version; that one may find us gone.
        err = re.sub(r'Traceback .*\n  File "<string>", line \d+, in <module>\nBrokenPipeError: .*\n', "", err)
        assert code == 128 + waits[wait] and "Traceback" not in out + err
        line = {signal.SIGINT: "error: interrupted\n", signal.SIGTERM: "error: terminated\n"}[waits[wait]]
        assert err == line or "Started to train" in out  # a fast machine


def test_sigterm_ends_playing_with_one_line(start, uninterrupted_run):
    process = start(COMMAND, "play", uninterrupted_run, "num_envs=1", "games_num=1000000")
    while "playing" not in (line := process.stdout.readline()):
        assert line, process.communicate()
    code, seconds, _, err = stop(process, signal.SIGTERM)
    assert (code, err) == (143, "error: terminated\n") and seconds < 3


def test_a_disk_that_fills_up_is_one_warning(tmp_path, start):
    # Files may not grow beyond 20 kB: a checkpoint of Cartpole has some 60 kB, the configuration 3 kB.
    code = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    """
    words = [*SMALL, "max_iterations=6", "train.params.config.save_frequency=1", "experiment=run"]
    process = start(textwrap.dedent(code) + COMMAND, "train", *words, "train.params.config.save_best_after=0")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "MAX EPOCHS NUM!" in out and "Traceback" not in out + err
    assert err.count("Training continues") == 1 and err.count("could not save") == 2  # once more at the end
    assert "there is no checkpoint" in err
    assert list(tmp_path.glob("runs/run/nn/*")) == []  # no half file


def test_a_wrong_command_is_told_in_words_and_leaves_nothing(tmp_path, start):
    process = start(
        "from manybody.cli import main; main()",
        "train",
        "task=Ant",
        "numenvs=3",
        "train.params.config.gama=1",
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "Traceback" not in out + err
    assert "numenvs: unknown key; did you mean 'num_envs'?" in err
    assert "train.params.config.gama: unknown key; did you mean 'gamma'?" in err
    assert list(tmp_path.iterdir()) == []


# --- in this process -------------------------------------------------------------------------------------------------


def test_usage_and_version(capsys):
    from manybody import __version__

    cli.main([])
    usage = capsys.readouterr().out
    for text in ("manybody train", "manybody play", "manybody tasks", "Exit codes", "130 and 143"):
        assert text in usage
    for words in (["help"], ["--help"], ["train", "--help"]):
        cli.main(words)
        assert capsys.readouterr().out == usage
    cli.main(["--version"])
    assert capsys.readouterr().out == f"{__version__}\n"


def test_tasks_are_listed_with_their_sizes(capsys):
    cli.main(["tasks"])
    listed = capsys.readouterr().out
    assert "HumanoidAMPHands" in listed
    lines = [line.split() for line in listed.splitlines()]
    sizes = {line[0]: line[1:3] for line in lines[1:] if line}
    assert sizes | {"Ant": ["60", "8"], "Cartpole": ["4", "1"], "Humanoid": ["108", "21"]} == sizes


def test_a_task_is_described_by_its_name(capsys):
    cli.main(["tasks", "Ant"])
    described = capsys.readouterr().out
    assert "HumanoidAMPHands" not in described
    for text in ("Ant", "60", "reward"):
        assert text in described
    with pytest.raises(SystemExit) as stop:
        cli.main(["tasks", "Antt"])
    assert stop.value.code == 2 and "did you mean 'Ant'?" in capsys.readouterr().err


def test_python_m_manybody_is_the_command(tmp_path):
    done = subprocess.run([sys.executable, "-m", "manybody", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout)


def test_names_of_tasks_are_not_formatted(capsys, monkeypatch):
    from manybody import tasks

    monkeypatch.setattr(tasks, "TASKS", {"[red]:x:{a}": tasks.TASKS["Ant"]})
    cli.main(["tasks"])
    assert "[red]:x:{a}" in capsys.readouterr().out


def test_an_unknown_command_exits_with_2(capsys):
    with pytest.raises(SystemExit) as error:
        cli.main(["trian"])
    assert error.value.code == 2
    assert (
        "no command 'trian'; expected train, play, compare, import, export, tasks or motion" in capsys.readouterr().err
    )
