"""Run folders: made late, locked, found again."""

import os
import re
import subprocess
import sys
import time

import pytest
import torch

from manybody.engine.checkpoint import save_checkpoint
from manybody.engine.run_folder import RunFolder, RunFolderError, check_name, find_newest


def make_run(train_dir, experiment, task="Ant", checkpoints=("Ant",)):
    folder = RunFolder.create(train_dir, "Ant", experiment)
    folder.config_file.write_text(f"seed: 3\ntask_name: {task}  # the task\ntrain:\n  task_name: other\n")
    for name in checkpoints:
        save_checkpoint(folder.nn / f"{name}.pth", {"model": {"w": torch.ones(1)}})
    folder.close()
    return folder


def test_a_new_folder_has_rl_games_name_and_parts(tmp_path):
    folder = RunFolder.create(tmp_path / "runs", "Ant")
    assert re.fullmatch(r"Ant_\d\d-\d\d-\d\d-\d\d", folder.path.name)
    assert folder.nn.is_dir() and folder.summaries.is_dir() and folder.videos.is_dir()
    assert (folder.config_file.name, folder.metrics_file.name, folder.curve_file.name) == (
        "config.yaml",
        "metrics.jsonl",
        "curve.png",
    )
    assert RunFolder.create(tmp_path / "runs", "Ant", "walk1").path == tmp_path / "runs" / "walk1"


def test_two_runs_in_one_second_get_two_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda _: "22-16-05-11")
    names = [RunFolder.create(tmp_path, "Ant").path.name for _ in range(3)]
    assert names == ["Ant_22-16-05-11", "Ant_22-16-05-11_2", "Ant_22-16-05-11_3"]


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "../x", "a\\b", "a\0b", "a\nb", "x" * 255, "ü" * 81, " x"])
def test_impossible_names_are_refused_before_anything_is_made(tmp_path, name):
    with pytest.raises(RunFolderError, match="experiment=<name>"):
        check_name(name)
    with pytest.raises(RunFolderError):
        RunFolder.create(tmp_path / "runs", name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["Läufer-1", "走る", "a b", "x" * 160])
def test_unusual_names_work(tmp_path, name):
    folder = make_run(tmp_path, name)
    assert RunFolder.resolve(None, tmp_path)[1] == folder.nn / "Ant.pth"


@pytest.mark.slow
def test_only_one_process_writes_a_folder(tmp_path):
    folder = RunFolder.create(tmp_path, "Ant", "walk1")
    script = f"""
from manybody.engine.run_folder import RunFolder, RunFolderError
path, train_dir = {str(folder.path)!r}, {str(tmp_path)!r}
for take, arguments in ((RunFolder.resume, (path,)), (RunFolder.create, (train_dir, 'Ant', 'walk1'))):
    try:
        take(*arguments)
    except RunFolderError as error:
        print(error)
RunFolder.open(path)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert len(lines) == 2 and all(f"process {os.getpid()} is writing here" in line for line in lines)
    folder.close()
    RunFolder.resume(folder.path).close()


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_gone(tmp_path):
    script = f"""
import os, signal
from manybody.engine.run_folder import RunFolder
folder = RunFolder.create({str(tmp_path)!r}, 'Ant', 'walk1')
open(folder.nn / '.saving-0123', 'w').close()
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    folder = RunFolder.resume(tmp_path / "walk1")
    assert list(folder.nn.iterdir()) == []  # and so is what it had half saved


def test_a_named_run_is_not_overwritten(tmp_path):
    make_run(tmp_path, "walk1")
    with pytest.raises(RunFolderError, match="got a folder that contains a run"):
        RunFolder.create(tmp_path, "Ant", "walk1")
    RunFolder.resume(tmp_path / "walk1").close()  # the refusal keeps no lock
    make_run(tmp_path, "empty", checkpoints=())
    RunFolder.create(tmp_path, "Ant", "empty").close()


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    for train_dir, experiment in (
        (tmp_path / "file", ""),
        (tmp_path, "file"),
        (tmp_path / "file" / "x", "a"),
    ):
        with pytest.raises(RunFolderError, match=r"cannot be written|expected a folder"):
            RunFolder.create(train_dir, "Ant", experiment)


def test_the_newest_run_of_a_task_is_found(tmp_path):
    for age, (name, task) in enumerate([("c", "Ant"), ("a", "Cartpole"), ("b", "Ant"), ("d", "'Humanoid'")]):
        folder = make_run(tmp_path, name, task)
        os.utime(folder.nn / "Ant.pth", (10_000 - age, 10_000 - age))
    make_run(tmp_path, "unfinished", checkpoints=())
    assert find_newest(tmp_path).name == "c"
    assert find_newest(tmp_path, "Ant").name == "c"
    assert find_newest(tmp_path, "Cartpole").name == "a"
    assert find_newest(tmp_path, "Humanoid").name == "d"
    (tmp_path / "c" / "config.yaml").write_bytes(b"\xff\xfe broken: [")
    assert find_newest(tmp_path, "Ant").name == "b"
    with pytest.raises(RunFolderError, match="no run of Shadow"):
        find_newest(tmp_path, "Shadow")
    with pytest.raises(RunFolderError, match="Train one first"):
        find_newest(tmp_path / "absent")


def test_resolve_takes_a_folder_a_file_or_nothing(tmp_path):
    names = ("last_Ant_ep_9_rew_2.0", "Ant", "Ant_ep_7_rew_3.0", "last_Ant_ep_10_rew_1.0")
    folder = make_run(tmp_path, "walk1", checkpoints=names)
    best, last = folder.nn / "Ant.pth", folder.nn / "last_Ant_ep_10_rew_1.0.pth"
    for given in (None, folder.path, str(folder.path)):
        found, checkpoint = RunFolder.resolve(given, tmp_path)
        assert (found.path, checkpoint) == (folder.path, best)
    found, checkpoint = RunFolder.resolve(last)
    assert (found.path, checkpoint) == (folder.path, last)
    assert found.newest() == last

    best.write_bytes(b"damaged")
    assert RunFolder.resolve(folder.path)[1] == last
    for name in names:
        (folder.nn / f"{name}.pth").unlink()
    with pytest.raises(RunFolderError, match="no intact checkpoint"):
        RunFolder.resolve(folder.path)
    with pytest.raises(RunFolderError, match="does not exist"):
        RunFolder.resolve(tmp_path / "absent")
    with pytest.raises(RunFolderError, match="got a folder without nn/"):
        RunFolder.resolve(tmp_path)
