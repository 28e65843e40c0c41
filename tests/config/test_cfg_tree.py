"""The Hydra tree in manybody/cfg composes with IsaacGymEnvs' overrides, and its training part parses."""

import warnings
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import manybody.config
from manybody.config import ConfigError, dump, load_yaml, parse_params

CFG = Path(manybody.config.__file__).parents[1] / "cfg"

# What train.py registers, in the words of IsaacGymEnvs' documentation.
RESOLVERS = {
    "eq": lambda x, y: str(x).lower() == str(y).lower(),
    "contains": lambda x, y: str(x).lower() in str(y).lower(),
    "if": lambda condition, yes, no: yes if condition else no,
    "resolve_default": lambda default, given: default if given == "" else given,
}


@pytest.fixture
def composed():
    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)

    def _compose(*overrides):
        with initialize_config_dir(str(CFG), version_base="1.3"):
            return compose("config", list(overrides))

    return _compose


# Task: environments, horizon, minibatch, mini-epochs, rate, reward scale, critic_coef, epochs, hidden layers.
NUMBERS = {
    "Cartpole": (512, 16, 8192, 8, 3e-4, 0.1, 4, 100, (32, 32)),
    "Ant": (4096, 16, 32768, 4, 3e-4, 0.01, 2, 500, (256, 128, 64)),
    "Humanoid": (4096, 32, 32768, 5, 5e-4, 0.01, 4, 1000, (400, 200, 100)),
}


@pytest.mark.parametrize("task", NUMBERS)
def test_each_task_parses_to_the_published_numbers(composed, task):
    cfg = composed(f"task={task}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        params = parse_params(cfg.train.params)  # Hydra's own containers
    assert parse_params(OmegaConf.to_container(cfg.train.params, resolve=True)) == params
    assert parse_params(dump(params)) == params
    config = params.config
    assert NUMBERS[task] == (
        config.num_actors,
        config.horizon_length,
        config.resolved_minibatch_size,
        config.mini_epochs,
        config.learning_rate,
        config.reward_shaper.scale_value,
        config.critic_coef,
        config.max_epochs,
        params.network.mlp.units,
    )
    assert config.name == task
    assert config.full_experiment_name is None
    assert config.device == "cpu"
    assert params.seed == 42


def test_overrides_reach_the_settings(composed):
    cfg = composed(
        *("task=Ant", "num_envs=2048", "max_iterations=7", "seed=3", "experiment=walk1", "rl_device=cuda:0"),
        *(
            "checkpoint=old.pth",
            "train.params.config.learning_rate=1e-3",
            "train.params.config.mini_epochs=2",
        ),
    )
    params = parse_params(cfg.train.params)
    assert params.config.num_actors == cfg.task.env.numEnvs == 2048
    assert params.config.max_epochs == 7
    assert params.seed == 3
    assert params.config.name == params.config.full_experiment_name == "walk1"
    assert params.config.device == "cuda:0"
    assert params.config.learning_rate == 1e-3
    assert (params.load_checkpoint, params.load_path) == (True, "old.pth")
    assert cfg.task_name == "Ant"


def test_minibatches_follow_the_number_of_environments_unless_they_are_given(composed):
    assert parse_params(composed("task=Ant", "num_envs=64").train.params).config.resolved_minibatch_size == 64 * 8
    params = composed("task=Ant", "num_envs=64", "+train.params.config.minibatch_size=32768").train.params
    with pytest.raises(ConfigError, match="got 32768; expected a divisor of 1024"):
        parse_params(params)  # 16 steps x 64 environments = 1024 samples
    assert parse_params(params, training=False).config.num_actors == 64


def test_hydra_makes_no_folder_of_its_own():
    hydra = load_yaml(CFG / "config.yaml")["hydra"]
    assert hydra == {"output_subdir": None, "run": {"dir": "."}}


@pytest.mark.parametrize("path", sorted(CFG.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_file_passes_the_strict_reader(path):
    assert load_yaml(path)
