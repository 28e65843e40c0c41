"""``manybody import`` and ``manybody export``: what they write, and what they refuse without a trace."""

import os
from pathlib import Path

import pytest
import torch
import yaml
from toy import toy_params

from manybody import cli
from manybody.algos.a2c import A2CAgent
from manybody.config import parse_params
from manybody.engine.checkpoint import FORMAT_KEY, load_checkpoint, save_checkpoint
from manybody.engine.run_folder import RunFolder
from manybody.envs.registration import create_vec_env
from manybody.play import play_run

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def trained():
    """An agent after two epochs, its file ours.pth, and RL Games' YAML toy.yaml."""
    params = toy_params(max_epochs=4)
    with open("toy.yaml", "w") as file:
        yaml.safe_dump({"params": params}, file)
    agent = A2CAgent("run", parse_params(params), vec_env=create_vec_env("toy", 8))
    agent.start_training()
    for _ in range(2):
        agent.update_epoch()
        agent.train_epoch()
    save_checkpoint("ours.pth", agent.get_full_state_weights())
    return agent


@pytest.fixture
def run(capsys):
    """``run(words)``: what the command says; ``code`` is what it ends with."""

    def call(*words, code=0):
        try:
            cli.main(words)
            ended = 0
        except SystemExit as stop:
            ended = stop.code
        out, err = capsys.readouterr()
        assert ended == code and "Traceback" not in out + err, (ended, out, err)
        return err if code else out

    return call


def refused(run, *words):
    """The one line that a command says which changes nothing in this folder."""
    before = {name: os.stat(name).st_mtime_ns for name in os.listdir(".")}
    line = run(*words, code=2)
    assert {name: os.stat(name).st_mtime_ns for name in os.listdir(".")} == before
    assert line.startswith("error: ") and line.count("\n") == 1
    return line


def test_out_and_home_again(run, trained):
    said = run("export", "ours.pth", "theirs.pth")
    assert said == "theirs.pth: epoch 2, frame 128, best mean return none yet, for RL Games\n"
    exported = torch.load("theirs.pth", weights_only=True)
    assert exported.keys() == {"model", "epoch", "frame", "optimizer", "last_mean_rewards", "env_state"}
    assert type(exported["optimizer"]["param_groups"][0]["lr"]) is float
    assert "theirs_manybody.pth: epoch 2, frame 128" in run("import", "theirs.pth")
    home = load_checkpoint("theirs_manybody.pth")
    assert home[FORMAT_KEY] == 1 and "algo" not in home
    for name, value in trained.model.state_dict().items():
        assert torch.equal(home["model"][name], value)


def test_a_whole_run_folder(run, trained):
    run("export", "ours.pth", "theirs.pth")
    said = run("import", "theirs.pth", "moved/run", "toy.yaml", "params.config.gamma=0.9", "max_iterations=3")
    assert "moved/run: epoch 2" in said and "manybody play moved/run" in said
    assert sorted(os.listdir("moved/run")) == ["config.yaml", "nn"] and os.listdir("moved") == ["run"]
    assert os.listdir("moved/run/nn") == ["Toy.pth"]
    with open("moved/run/config.yaml") as file:
        config = yaml.safe_load(file)["params"]["config"]
    assert (config["gamma"], config["max_epochs"], config["num_actors"]) == (0.9, 3, 8)
    assert play_run("moved/run", ["games_num=8"]).games == 8
    run("train", "checkpoint=moved/run")
    (last,) = Path("moved/run/nn").glob("last_Toy_ep_3_*.pth")
    assert "again.pth: epoch 3" in run("export", str(last), "again.pth")
    assert "again.pth: epoch 2" in run("export", "moved/run", "again.pth")  # the best so far: the one that came


def test_the_name_of_an_imported_run_does_not_matter(run, trained):
    run("export", "ours.pth", "theirs.pth")
    run("import", "theirs.pth", "walk", "toy.yaml", "params.config.name=last_walk_ep_1_rew_2")
    folder = RunFolder.open("walk")
    assert folder.best() == folder.nn / "last_walk_ep_1_rew_2.pth"
    error = refused(run, "import", "theirs.pth", "run", "toy.yaml", "params.config.name=a/b")
    assert "run name 'a/b': a name cannot contain a path separator" in error and "params.config.name=<name>" in error


def test_the_configuration_of_a_run_of_isaacgymenvs(run, trained, monkeypatch):
    """Interpolations are resolved as there, and the task is this library's of that name."""
    from manybody.envs import registration
    from manybody.launch import rl_games_checkpoint

    params = toy_params(name="${resolve_default:Toy,${....experiment}}", num_actors="${....task.env.numEnvs}")
    params["config"]["env_name"] = "rlgpu"
    tree = {
        "task_name": "Cartpole",
        "experiment": "",
        "task": {"env": {"numEnvs": 8}},
        "train": {"params": params},
    }
    with open("config.yaml", "w") as file:
        yaml.safe_dump(tree, file)
    registration.register("Cartpole", lambda num_actors, **_: create_vec_env("toy", num_actors))
    assert "Cartpole" in rl_games_checkpoint.TASKS
    run("export", "ours.pth", "theirs.pth")
    run("import", "theirs.pth", "run", "config.yaml")
    with open("run/config.yaml") as file:
        config = yaml.safe_load(file)["params"]["config"]
    assert (config["env_name"], config["name"], config["num_actors"]) == ("Cartpole", "Toy", 8)


def test_what_is_refused(run, trained):
    run("export", "ours.pth", "theirs.pth")
    assert "ours.pth: algo: got 'a2c_continuous' of manybody" in refused(run, "import", "ours.pth", "x.pth")
    assert "is the file to read" in refused(run, "import", "theirs.pth", "theirs.pth")
    assert "ends in .pth" in refused(run, "export", "theirs.pth", "x.zip")
    assert "folder that does not exist" in refused(run, "export", "theirs.pth", "nowhere/x.pth")
    assert "without a CONFIG.yaml" in refused(run, "import", "theirs.pth", "gamma=3")
    assert "a run folder" in refused(run, "import", "theirs.pth", "x.pth", "toy.yaml")
    assert "3 paths" in refused(run, "import", "theirs.pth", "a", "b")
    assert "nothing.pth: file: got No such file" in refused(run, "import", "nothing.pth", "x.pth")
    assert "nothing: got a path that does not exist" in refused(run, "export", "nothing")
    assert "nothing.yaml" in refused(run, "import", "theirs.pth", "run", "nothing.yaml")
    assert "no environment 'Tox'" in refused(
        run, "import", "theirs.pth", "run", "toy.yaml", "params.config.env_name=Tox"
    )
    assert "invalid choice: 'onnx'" in refused(run, "export", "theirs.pth", "--format", "onnx")
    os.mkdir("run")
    Path("run/something").touch()
    assert "run exists" in refused(run, "import", "theirs.pth", "run", "toy.yaml")


def test_weights_that_do_not_fit_the_configuration_leave_nothing(run, trained):
    run("export", "ours.pth", "theirs.pth")
    before = sorted(os.listdir("."))
    words = ("import", "theirs.pth", "run", "toy.yaml", "params.network.mlp.units=[4]")
    line = run(*words, code=2)
    assert line.startswith("error: theirs.pth: model: got ") and "(16, 3), the network (4, 3)" in line
    assert sorted(os.listdir(".")) == before


@pytest.mark.parametrize("words", [("export", "theirs.pth", "old.pth"), ("import", "theirs.pth", "old.pth")])
def test_a_full_disk_leaves_the_old_file(run, trained, monkeypatch, words):
    run("export", "ours.pth", "theirs.pth")
    old = Path("old.pth")
    old.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "old.pth: cannot be written (No space left on device)" in refused(run, *words)
    assert old.read_text() == "old"


def test_help_needs_no_pytorch():
    import subprocess
    import sys

    code = """
import sys
from manybody.cli import main
try:
    main(["import", "--help"])
except SystemExit as stop:
    print(stop.code, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: manybody import CHECKPOINT.pth") and done.stdout.endswith("0 False\n")


@pytest.mark.parametrize("key", ["model", "optimizer"])
def test_non_finite_values_are_refused_by_every_command(run, trained, key):
    state = trained.get_full_state_weights()
    run("export", "ours.pth", "theirs.pth")
    theirs = torch.load("theirs.pth", weights_only=True)
    name = "a2c_network.mu.bias" if key == "model" else "exp_avg_sq"
    for given, file in ((state, "bad.pth"), (theirs, "their_bad.pth")):
        part = given["model"] if key == "model" else given["optimizer"]["state"][0]
        part[name].view(-1)[0] = float("nan")
        torch.save(given, file)
    file = ["--file", "toy.yaml"]
    told = f"{name}: got 1 of"
    for line in (
        refused(run, "export", "bad.pth", "out.pth"),
        refused(run, "train", *file, "checkpoint=bad.pth"),
    ):
        assert line.startswith("error: bad.pth: ") and told in line
    if key == "model":  # playing and importing need no moments
        assert told in refused(run, "train", *file, "test=True", "checkpoint=bad.pth")
        assert told in refused(run, "train", *file, "checkpoint=their_bad.pth")
        for words in (["out.pth"], ["run", "toy.yaml"]):
            line = refused(run, "import", "their_bad.pth", *words)
            assert line.startswith("error: their_bad.pth: ") and told in line


def test_a_best_return_that_is_not_finite_is_refused(run, trained):
    state = torch.load("ours.pth", weights_only=True)
    torch.save({**state, "last_mean_rewards": float("nan")}, "bad.pth")
    assert "bad.pth: last_mean_rewards: got nan" in refused(run, "export", "bad.pth", "out.pth")


def test_playing_an_environment_that_returns_nothing_finite(run, trained):
    """``faulty`` breaks one observation of row 3; with its one game left out, the mean is that of the others."""
    words = ["--file", "toy.yaml", "test=True", "checkpoint=ours.pth", "params.config.env_name=faulty"]
    out = run("train", *words, "games_num=40")
    assert "over 39 games, 1 game with non-finite values left out" in out and "nan" not in out
