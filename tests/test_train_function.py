"""``manybody.train(...)``: training from Python, with the files of the command line."""

import pytest
import torch

import manybody
from manybody.config import ConfigError
from manybody.tasks import TASKS
from manybody.tasks.cartpole import Cartpole

pytestmark = pytest.mark.slow  # whole commands

SMALL = {"num_envs": 16, "max_iterations": 1, "video": False}
MINI = ("train.params.config.minibatch_size=128", "train.params.torch_threads=1")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("manybody.tasks.TASKS", dict(TASKS))
    return tmp_path


def test_a_run_from_python_equals_a_run_of_the_command_line(folder):
    from manybody.train import main

    agent = manybody.train("Cartpole", *MINI, **SMALL, experiment="a")
    overrides = [f"{key}={value}" for key, value in SMALL.items()]
    other = main(["task=Cartpole", *MINI, *overrides, "experiment=b"])
    assert all(torch.equal(x, y) for x, y in zip(agent.model.parameters(), other.model.parameters(), strict=True))
    files = [sorted(p.name.replace("_a_", "_b_") for p in (folder / "runs" / run).glob("*")) for run in "ab"]
    assert files[0] == files[1] and {"curve.png", "config.yaml", "metrics.jsonl"} <= set(files[0])


def test_a_task_class_is_trained_and_recorded():
    agent = manybody.train(Cartpole, *MINI, **SMALL)
    assert type(agent.vec_env) is Cartpole
    assert "task_name: manybody.tasks.cartpole:Cartpole" in agent.run.folder.config_file.read_text()


def test_errors_are_raised():
    with pytest.raises(ConfigError, match="num_env: unknown key; did you mean 'num_envs'"):
        manybody.train("Cartpole", num_env=3)


def test_values_are_formatted_as_hydra_overrides():
    from manybody.train import _override_value

    assert _override_value({"units": [32, 16], "d2rl": False, "x": None}) == "{units:[32,16],d2rl:False,x:null}"
