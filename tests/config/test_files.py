"""Paths as people write them: with a ``~``, with variables, with blanks and quotes."""

import os
import shlex
from pathlib import Path

import pytest
import yaml
from toy import ToyEnv, toy_params

from manybody import cli, train
from manybody.compat.rl_games.torch_runner import Runner as CompatRunner
from manybody.config.files import expanded
from manybody.media.learning_curve import plot_curve
from manybody.motion.bundled import find_motion, with_absolute_paths
from manybody.play import play_run
from manybody.runner import Runner

SMALL = ["max_iterations=1", "params.torch_threads=1"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, quick):
    """A home of one's own, with a file ``toy.yaml``; the current folder is another one."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "toy.yaml").write_text(yaml.safe_dump({"params": toy_params()}))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(home))
    return home


def test_a_path_is_expanded_unless_something_is_called_so(home):
    assert expanded("~/a") == expanded("$HOME/a") == expanded("${HOME}/a") == f"{home}/a"
    assert expanded(Path("~")) == str(home) and expanded("a~/$nothing") == "a~/$nothing"
    Path("$HOME").mkdir()
    assert expanded("$HOME") == "$HOME"  # a run may be called so
    assert expanded("~/a") == f"{home}/a"


@pytest.mark.parametrize("at", ["~", "$HOME"])
def test_train_play_export_and_import_find_the_home(home, at, capsys):
    words = [*SMALL, "experiment=a", f"train_dir={at}/my runs"]
    folder = train.main(["--file", f"{at}/toy.yaml", *words]).run.folder
    assert folder.path == home / "my runs" / "a"
    resumed = train.main([f"checkpoint={at}/my runs/a", "max_iterations=2"])
    assert resumed.run.folder.path == folder.path and resumed.epoch_num == 2
    (file,) = folder.nn.glob("*_ep_2_*")
    for path, more in ((f"{at}/my runs/a", []), (f"{at}/my runs/a/nn/{file.name}", []), (None, [words[-1]])):
        assert play_run(path, ["games_num=8", *more]).games == 8
    capsys.readouterr()
    cli.main(["export", f"{at}/my runs/a", f"{at}/out.pth"])
    cli.main(["import", f"{at}/out.pth", f"{at}/in b", f"{at}/toy.yaml"])
    said = capsys.readouterr().out
    assert (home / "out.pth").is_file() and (home / "in b" / "nn" / "Toy.pth").is_file()
    assert f"manybody play '{home}/in b' | manybody train 'checkpoint={home}/in b'" in said
    assert os.listdir() == []


def test_both_runners_find_the_home(home):
    for number, runner in enumerate((Runner(), CompatRunner())):
        config = {"train_dir": "~/runs", "full_experiment_name": f"run{number}", "max_epochs": 1}
        runner.load({"params": toy_params(**config) | {"torch_threads": 1}})
        agent = runner.run({"train": True, "vec_env": ToyEnv()} if number == 0 else {"train": True})
        (file,) = (home / "runs" / f"run{number}" / "nn").iterdir()
        again = type(runner)()
        again.load({"params": toy_params(**{**config, "max_epochs": 2, "full_experiment_name": f"again{number}"})})
        start = {"train": True, "checkpoint": f"$HOME/runs/run{number}/nn/{file.name}"}
        assert again.run(start | ({"vec_env": ToyEnv()} if number == 0 else {})).epoch_num == 2
        assert str(getattr(agent, "nn_dir", file.parent)) == str(file.parent)
    assert os.listdir() == []


def test_motions_and_pictures(home):
    assert find_motion("~/walk.npz") == home / "walk.npz" and find_motion("walk").is_file()
    assert with_absolute_paths("$HOME/walk.npz") == str(home / "walk.npz")
    (home / "metrics.jsonl").write_text('{"epoch": 1, "frame": 8, "time": 1.0, "rewards/step": 2.0}\n')
    plot_curve("~/metrics.jsonl", "~/curve.png")
    assert (home / "curve.png").is_file() and os.listdir() == []


@pytest.mark.parametrize("name", ["it's $HOME (b)", "~a"])
def test_the_command_that_is_printed_can_be_pasted(home, name, capsys):
    """What an error and a finished run print, read as a shell reads it."""
    words = ["--file", "~/toy.yaml", *SMALL, f"train_dir={home}/my runs", f"experiment={name}"]
    folder = train.main(words).run.folder
    assert folder.path == home / "my runs" / name
    folder.close()
    with pytest.raises(SystemExit):
        train.main(words)
    error = capsys.readouterr().err
    pasted = error.partition("Resume the run with ")[2].rpartition(", or choose")[0]
    (word,) = shlex.split(pasted)
    assert train.main([word, "max_iterations=2"]).run.folder.path == folder.path
    capsys.readouterr()
    train.summarise(folder)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("play it again:")]
    command, *path = shlex.split(line.partition("manybody ")[2])
    assert command == "play" and play_run(*path, ["games_num=8"]).games == 8


def test_a_run_whose_name_looks_like_a_variable_keeps_its_files_together(home, monkeypatch):
    monkeypatch.setenv("ELSEWHERE", "/../elsewhere")
    folder = home / "runs" / "a$ELSEWHERE"
    folder.mkdir(parents=True)
    assert expanded(folder / "curve.png") == str(folder / "curve.png")
    assert expanded("$ELSEWHERE/x") == "/../elsewhere/x"
