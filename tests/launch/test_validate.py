"""What a runner refuses before anything is built or written."""

import pytest
import torch
from toy import ToyEnv
from toy_env import toy_params

from manybody.config import ConfigError, ConfigWarning
from manybody.runner import Runner


def load(tmp_path, observer=None, **config):
    runner = Runner(observer)
    params = toy_params(**{"train_dir": str(tmp_path / "runs"), "full_experiment_name": "toy", **config})
    runner.load({"params": params | {"torch_threads": 1}})
    return runner


def train(tmp_path, env=None, observer=None, **config):
    return load(tmp_path, observer, **config).run({"train": True, "vec_env": env or ToyEnv()})


@pytest.mark.parametrize("content", [{}, {"config": {}}, None, []])
def test_a_configuration_without_params_is_refused(content):
    with pytest.raises(ConfigError, match="params: missing"):
        Runner().load(content)


def test_everything_wrong_is_told_at_once(tmp_path):
    params = toy_params(gama=0.99, e_clip="much", minibatch_size=37, train_dir=str(tmp_path / "runs"))
    params["network"]["mlpp"] = {}
    params["sead"] = 1
    with pytest.raises(ConfigError) as error:
        Runner().load({"params": params})
    assert {problem.path for problem in error.value.problems} == {
        "params.config.gama",
        "params.config.e_clip",
        "params.config.minibatch_size",
        "params.network.mlpp",
        "params.sead",
    }
    assert "did you mean 'gamma'" in str(error.value) and "a divisor of 64" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_environment_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="env_name: no environment 'Cartpol'; did you mean 'Cartpole'"):
        load(tmp_path, env_name="Cartpol").run({"train": True})
    assert list(tmp_path.iterdir()) == []


def test_an_environment_of_another_size_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="num_actors: got 8; expected 4"):
        train(tmp_path, ToyEnv(num_envs=4))
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ConfigError, match=r"params.config.device: got 'cuda:0', which PyTorch cannot use"):
        Runner().load({"params": toy_params(device="cuda:0")})


def test_a_checkpoint_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match=r"checkpoint: .*does not exist"):
        load(tmp_path).run({"train": True, "checkpoint": tmp_path / "no.pth", "vec_env": ToyEnv()})
    assert list(tmp_path.iterdir()) == []


def test_what_would_stop_training_later_is_told_at_once(tmp_path):
    runner = load(tmp_path, stop_fn="json:stop", env_name="Cartpol", full_experiment_name="a/b")
    with pytest.raises(ConfigError) as error:
        runner.run({"train": True, "sigma": "x", "checkpoint": "no.pth"})
    told = [problem.path for problem in error.value.problems]
    assert told == ["params.config.env_name", "sigma", "params.config.stop_fn", "checkpoint", ""]
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_checkpoints_cannot_have_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"run name 'a/b': .* Give another one with params.config.name=<name>"):
        train(tmp_path, name="a/b", full_experiment_name="toy")
    assert list(tmp_path.iterdir()) == []


def test_arguments_that_nobody_reads_are_refused(tmp_path):
    runner = load(tmp_path)
    with pytest.raises(ConfigError) as error:
        runner.run({"trian": True, "chekpoint": "x", "file": "rl_games_passes_this.yaml"})
    assert [problem.path for problem in error.value.problems] == ["run(trian=…)", "run(chekpoint=…)"]
    assert "did you mean 'train'?" in str(error.value) and "did you mean 'checkpoint'?" in str(error.value)


def test_a_folder_of_another_run_is_refused(tmp_path):
    train(tmp_path, max_epochs=1).run.folder.close()
    other = load(tmp_path, env_name="Cartpole", max_epochs=2)
    with pytest.raises(ConfigError, match="toy is a run of toy with a2c_continuous, not of Cartpole with"):
        other.run({"train": True, "checkpoint": tmp_path / "runs" / "toy"})


def test_a_notice_points_at_the_line_that_loads():
    with pytest.warns(ConfigWarning, match="ignore_dead_batches") as notices:
        Runner().load({"params": toy_params(ignore_dead_batches=True)})
    assert notices[0].filename == __file__


@pytest.mark.parametrize(
    ("env_name", "kind", "said"),
    [
        (
            "mine",
            "MANISKILL",
            "vecenv_type: got 'MANISKILL'; expected one of ENVPOOL, GYMNASIUM, MJLAB, RAY",
        ),
        ("mine", "RAY", "env_name: no environment 'mine'"),  # it makes copies of something that must be known
    ],
)
def test_a_vecenv_type_that_is_not_there_is_refused(tmp_path, env_name, kind, said):
    with pytest.raises(ConfigError, match=rf"params.config.{said}"):
        load(tmp_path, env_name=env_name, vecenv_type=kind).run({"train": True})
    assert list(tmp_path.iterdir()) == []
