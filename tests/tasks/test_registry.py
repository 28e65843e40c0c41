import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import manybody.tasks
from manybody.config import ConfigError
from manybody.config.task import AntConfig, CartpoleConfig, HumanoidConfig
from manybody.tasks import TASKS, MujocoTask, make, make_config, register_task, task_class
from manybody.tasks.ant import Ant

YAML = Path(manybody.tasks.__file__).parent.parent / "cfg" / "task"


def test_built_in_tasks():
    assert {"Ant", "Cartpole", "Humanoid"} <= set(TASKS)
    for cls in TASKS.values():
        assert issubclass(cls, MujocoTask)


def test_unknown_task_lists_and_suggests():
    with pytest.raises(ValueError, match=r"task: got 'ants'; expected one of Ant, .*; did you mean 'Ant'\?"):
        make("ants")


def test_registering_your_own(monkeypatch):
    monkeypatch.setattr("manybody.tasks.TASKS", dict(TASKS))

    class MyAnt(Ant):
        start_height = 0.6

    register_task("MyAnt", MyAnt)
    assert task_class("MyAnt") is MyAnt
    assert make("MyAnt", num_envs=1).reset()["obs"][0, 0].item() == pytest.approx(0.6)


def test_overrides():
    task = make("Ant", cfg={"env": {"numEnvs": 3, "episodeLength": 300}})
    assert task.num_envs == 3
    assert task.max_episode_length == 300
    assert make("Ant", num_envs=2, cfg={"env": {"numEnvs": 3}}).num_envs == 2


def test_unknown_key_is_refused():
    with pytest.raises(ConfigError, match=r"env\.episodeLenght"):
        make_config("Ant", {"env": {"episodeLenght": 300}})


@pytest.mark.parametrize(
    ("key", "value"),
    [("episodeLength", 0), ("numEnvs", -1), ("clipActions", 0.0), ("upWeight", float("nan"))],
)
def test_impossible_values_are_refused(key, value):
    with pytest.raises(ConfigError, match=rf"env\.{key}"):
        make_config("Ant", {"env": {key: value}})


def test_randomisation_is_refused_not_ignored():
    make_config("Ant", {"task": {"randomize": False, "randomization_params": {}}})
    with pytest.raises(ConfigError, match=r"task\.randomize"):
        make_config("Ant", {"task": {"randomize": True}})


def test_isaacgymenvs_keys_without_effect_are_accepted():
    config = make_config(
        "Ant",
        {
            "name": "Ant",
            "env": {
                "envSpacing": 5,
                "enableDebugVis": False,
                "plane": {"staticFriction": 1.0},
                "asset": {"assetFileName": "mjcf/nv_ant.xml"},
                "enableCameraSensors": False,
            },
            "sim": {"dt": 0.0166, "up_axis": "z", "use_gpu_pipeline": True, "physx": {"num_threads": 4}},
        },
    )
    assert config == AntConfig()


@pytest.mark.parametrize("schema", [AntConfig, CartpoleConfig, HumanoidConfig])
def test_yaml_and_schema_say_the_same(schema):
    default = schema()
    text = (YAML / f"{default.name}.yaml").read_text()
    # What the interpolations give when nothing is set on the command line.
    text = re.sub(r"\$\{resolve_default:(\d+),\$\{\.\.\.num_envs\}\}", r"\1", text)
    text = text.replace("${..physics_engine}", "mujoco")
    values = yaml.safe_load(text)
    assert schema.model_validate(values) == default
    # Every key stands in the file, except the one whose default YAML cannot improve on (no clipping).
    missing = set(type(default.env).model_fields) - set(values["env"]) - {"clipObservations"}
    assert not missing
    assert set(values["sim"]) == set(type(default.sim).model_fields)


def test_a_wrong_use_says_what_is_right():
    with pytest.raises(ConfigError, match=r"(?s)2 problems.*env.numEnvs: got 'x'.*did you mean 'episodeLength'"):
        make("Ant", cfg={"env": {"numEnvs": "x", "episodeLenght": 3}})
    with pytest.raises(ValueError, match="sim_device: got 'gpu'; expected 'cpu'"):
        make("Cartpole", sim_device="gpu")
    task = make("Cartpole", num_envs=2)
    task.reset()
    with pytest.raises(TypeError, match=r"actions: got ndarray; expected a torch.Tensor of shape \(2, 1\)"):
        task.step(np.zeros((2, 1)))
    task.close()
    with pytest.raises(RuntimeError, match="was closed"):
        task.step(torch.zeros(2, 1))


@pytest.mark.slow
def test_make_does_not_import_hydra():
    import subprocess
    import sys

    code = "import sys, manybody.tasks as t; t.make('Cartpole', num_envs=1); sys.exit('hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
