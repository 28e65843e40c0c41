"""parse_params and dump on generated configurations."""

import math
import warnings

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from manybody.config import ConfigError, dump, parse_params
from manybody.config.network import InitializerConfig

unit = st.floats(0.0, 1.0, exclude_min=True)
optional = st.none() | st.floats(1e-6, 1e6)
changes = st.fixed_dictionaries(
    {},
    optional={
        "gamma": unit,
        "tau": st.floats(0, 1),
        "learning_rate": st.floats(1e-8, 1e3),
        "num_actors": st.sampled_from([4, 8, 64]),
        "minibatch_size": st.sampled_from([16, 32, 64]),
        "max_epochs": st.just(-1) | st.integers(1, 2**62),
        "score_to_win": optional,
        "bounds_loss_coef": optional,
        "lr_schedule": st.sampled_from(["adaptive", "constant"]),
        "schedule_type": st.sampled_from(["legacy", "per_minibatch", "standard", "standard_epoch"]),
        "torch_compile": st.sampled_from([True, False, "default", "max-autotune"]),
        "truncate_grads": st.booleans(),
        "env_config": st.dictionaries(st.text("abc", min_size=1), st.none() | st.integers() | st.lists(st.text())),
        "name": st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1),
    },
)


@settings(max_examples=60, deadline=None)
@given(changes=changes)
@pytest.mark.slow
def test_dump_goes_round_through_yaml(example_text, changes):
    mapping = yaml.safe_load(example_text)
    mapping["config"] |= changes
    params = parse_params(mapping)
    assert parse_params(yaml.safe_load(yaml.safe_dump(dump(params)))) == params


@settings(max_examples=100, deadline=None)
@given(number=st.floats(1e-12, 1e12))
def test_a_number_and_its_text_mean_the_same(number):
    section = {"name": "orthogonal", "gain": number}
    assert InitializerConfig(**section).gain == InitializerConfig(**section | {"gain": repr(number)}).gain == number


@settings(max_examples=100, deadline=None)
@given(value=st.booleans() | st.text() | st.floats() | st.integers() | st.none() | st.lists(st.integers()))
def test_any_value_is_taken_as_a_number_or_refused_in_words(value):
    try:
        gain = InitializerConfig(name="orthogonal", gain=value).gain
    except ValidationError as error:
        assert "number" in str(error)
    else:
        assert gain is None if value is None else math.isfinite(gain) and gain == float(value)


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.slow
def test_any_damage_is_accepted_or_refused_in_words(example_text, data):
    mapping = yaml.safe_load(example_text)
    for _ in range(data.draw(st.integers(1, 3))):
        block = mapping
        while True:
            key = data.draw(st.sampled_from(sorted(block, key=str)) | st.text(max_size=5))
            if isinstance(block.get(key), dict) and block[key] and data.draw(st.booleans()):
                block = block[key]
                continue
            block[key] = data.draw(anything)
            break
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            params = parse_params(mapping)
        except ConfigError as error:
            assert all(problem.path.startswith("params") and problem.message for problem in error.problems)
        else:
            assert parse_params(dump(params)) == params


def test_a_minibatch_may_divide_the_batch_of_a_team(example):
    """16 steps x 8 environments x 3 agents = 384 samples, which 192 divides and 128 = 16 x 8 does not hold."""
    example["config"]["minibatch_size"] = 192
    assert parse_params(example).config.resolved_minibatch_size == 192
