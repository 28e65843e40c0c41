"""``train.py``: the entry point of IsaacGymEnvs and its command line."""

import pytest

from manybody import cli, train
from manybody.engine.observers import AlgoObserver, IsaacAlgoObserver
from manybody.launch.hydra_tree import compose
from manybody.runner import Runner


def test_build_runner():
    observer = AlgoObserver()
    assert isinstance(train.build_runner(), Runner)
    assert isinstance(train.build_runner().algo_observer, IsaacAlgoObserver)
    assert train.build_runner(observer).algo_observer is observer


def test_hydra_overrides():
    cfg = compose(
        [
            "task=Ant",
            "num_envs=512",
            "seed=3",
            "max_iterations=7",
            "experiment=walk1",
            "test=True",
            "checkpoint=runs/x/nn/Ant.pth",
            "train.params.config.learning_rate=1e-3",
        ]
    )
    assert cfg["task_name"] == "Ant" and cfg["task"]["env"]["numEnvs"] == 512
    params = cfg["train"]["params"]
    config = params["config"]
    assert (params["seed"], config["num_actors"], config["max_epochs"]) == (3, 512, 7)
    assert float(config["learning_rate"]) == 1e-3 and config["full_experiment_name"] == "walk1"
    assert cfg["test"] is True and cfg["checkpoint"] == "runs/x/nn/Ant.pth"


@pytest.mark.parametrize("task", ["Cartpole", "Ant", "Humanoid"])
def test_the_runner_loads_every_composed_task(task):
    cfg = compose([f"task={task}"])
    runner = train.build_runner()
    runner.load({"params": cfg["train"]["params"]})
    assert runner.algo_name == "a2c_continuous"


def test_manybody_train_calls_train_main(monkeypatch):
    seen = []
    monkeypatch.setattr(train, "main", seen.append)
    cli.main(["train", "task=Ant", "num_envs=4"])
    assert seen == [["task=Ant", "num_envs=4"]]
