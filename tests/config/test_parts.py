"""What is told of sections that do not fit together, or are no sections."""

import pytest

from manybody.algos import a2c  # noqa: F401  (brings its models)
from manybody.config import ConfigError, parse_params
from manybody.model_builder import ModelBuilder


def problems(mapping):
    with pytest.raises(ConfigError) as caught:
        parse_params(mapping)
    return {problem.path: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("algo", "section", "name", "told"),
    [
        ("a2c_discrete", "model", "continuous_a2c_logstd", "expected 'discrete_a2c' or 'multi_discrete_a2c'"),
        ("a2c_continuous", "model", "central_value", "expected 'continuous_a2c' or"),
        ("a2c_continuous", "network", "rnd_curiosity", "expected 'actor_critic' or 'resnet_actor_critic'"),
        ("sac", "network", "actor_critic", "expected 'soft_actor_critic', with which 'sac' learns"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(example, algo, section, name, told):
    example["algo"]["name"], example[section]["name"] = algo, name
    found = problems(example)
    assert told in found[f"params.{section}.name"]
    assert [path for path in found if path.startswith(f"params.{section}")] == [f"params.{section}.name"]


def test_parts_of_ones_own_fit_anywhere(example):
    example["model"]["name"] = "mine"
    assert parse_params(example, models={"mine": None}).model.name == "mine"


@pytest.mark.parametrize("seed", [-5, 2**32, 1.5, "x", True])
def test_a_seed_says_what_it_may_be(example, seed):
    example["seed"] = seed
    assert "0 to 4294967295, or -1 for one from the clock" in problems(example)["params.seed"]


@pytest.mark.parametrize("section", ["config", "network", "model", "algo"])
def test_a_section_that_is_no_block_is_one_problem(example, section):
    example[section] = "x"
    found = {path: what for path, what in problems(example).items() if path.startswith(f"params.{section}")}
    assert list(found) == [f"params.{section}"] and "got 'x'; expected a block" in found[f"params.{section}"]


def test_a_network_that_acts_is_no_central_value(example):
    example["network"]["central_value"] = True
    assert "config.central_value_config" in problems(example)["params.network.central_value"]


def test_a_central_network_that_is_no_block_is_told(example):
    example["config"]["central_value_config"] = {"network": "actor_critic"}
    told = problems(example)["params.config.central_value_config.network"]
    assert told.startswith("got 'actor_critic'; expected a block")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("typo", "no model is registered as 'typo'"),
        ("continuous_a2c", "expected 'central_value', which estimates values"),
        (["x"], "got ['x']; expected text"),
    ],
)
def test_the_model_of_a_central_value_is_checked(example, name, told):
    example["config"]["central_value_config"] = {"model": {"name": name}}
    assert told in problems(example)["params.config.central_value_config.model.name"]


def test_the_models_of_the_library_are_checked_wherever_they_come_from(example):
    example["model"] = {"name": "continuous_a2c", "nmae": 1}
    models = ModelBuilder().model_factory.schemas
    with pytest.raises(ConfigError, match=r"params\.model\.nmae: unknown key"):
        parse_params(example, models=models)
    example["model"] = {"name": ["x"]}
    with pytest.raises(ConfigError, match=r"params\.model\.name: got \['x'\]; expected text"):
        parse_params(example, models=models)
