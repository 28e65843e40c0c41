"""parse_params and dump: what is accepted, what is frozen, what goes round."""

import copy
import warnings

import pytest
from pydantic import ValidationError

from manybody.config import ConfigError, ForeignSection, PPOConfig, Section, dump, parse_params, parse_section
from manybody.config.network import INITIALIZERS, InitializerConfig


def problems(mapping, **registries):
    with pytest.raises(ConfigError) as caught:
        parse_params(mapping, **registries)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_an_rl_games_file_parses_by_the_declared_kinds(example):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        params = parse_params(example)
    assert params.algo.name == "a2c_continuous"
    assert params.model.name == "continuous_a2c_logstd"
    assert params.seed == 7
    assert params.network.mlp.units == (64, 32)
    assert params.network.space.continuous.mu_activation == "None"
    assert params.network.space.continuous.sigma_init.arguments == {"val": 0.0}
    assert params.config.learning_rate == 3e-4  # text in the file
    assert params.config.kl_threshold == 0.008  # text in the file
    assert params.config.reward_shaper.scale_value == 0.1
    assert params.config.schedule_type == "legacy"  # the literal stays: AMP clients compare with it
    assert params.config.device == "cpu"
    assert params.config.player.games_num == 100
    assert params.config.guard == "quarantine"
    assert params.config.batch_size == 128  # 16 steps x 8 environments


def test_numbers_come_as_their_kind(example):
    example["config"] |= {
        "num_actors": "8",
        "horizon_length": 16.0,
        "max_frames": "1e6",
        "score_to_win": "None",
    }
    example["config"] |= {"normalize_input": "True", "name": 12, "truncate_grads": "false"}
    config = parse_params(example).config
    assert (config.num_actors, config.horizon_length, config.max_frames) == (8, 16, 1_000_000)
    assert all(type(n) is int for n in (config.num_actors, config.horizon_length, config.max_frames))
    assert config.score_to_win is None
    assert config.normalize_input is True
    assert config.truncate_grads is False
    assert config.name == "12"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("gamma", True, "a number"),
        ("num_actors", True, "a whole number"),
        ("num_actors", 8.5, "a whole number"),
        ("num_actors", "many", "a whole number"),
        ("num_actors", 0, "at least 1"),
        ("num_actors", 1e30, "64 bits"),
        ("horizon_length", 0, "at least 1"),
        ("gamma", 0, "a number above 0"),
        ("gamma", 1.01, "a number of at most 1"),
        ("tau", -0.1, "a number of at least 0"),
        ("learning_rate", 0, "above 0"),
        ("learning_rate", "nan", "a finite number"),
        ("learning_rate", float("inf"), "a finite number"),
        ("learning_rate", None, "a number"),
        ("learning_rate", [1], "a number"),
        ("grad_norm", -1, "above 0"),
        ("max_epochs", 0, "-1 (no limit) or at least 1"),
        ("clip_value", 2, "true or false"),
        ("clip_value", "maybe", "true or false"),
        ("lr_schedule", "adaptve", "did you mean 'adaptive'?"),
        ("schedule_type", "standart", "did you mean 'standard'?"),
        ("bound_loss_type", "bounds", "'bound' or 'regularisation'; did you mean 'bound'?"),
        ("guard", "quaratine", "did you mean 'quarantine'?"),
        ("device", "gpu", "'cuda:0'"),
        ("device", "cuda:x", "'cuda:0'"),
        ("stop_fn", "no function", "package.module:function"),
        ("torch_compile", "fast", "reduce-overhead"),
        ("player", 3, "a block of 'key: value' lines"),
        ("env_config", [1], "a block of 'key: value' lines"),
        ("name", "", "text that is not empty"),
        ("multi_gpu", True, "false: this version trains in one process"),
        ("min_lr", 1, "at least 0"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(example, key, value, words):
    example["config"][key] = value
    path = "max_lr" if key == "min_lr" else key
    words = "at least min_lr, 1.0" if key == "min_lr" else words
    found = problems(example)
    assert list(found) == [f"params.config.{path}"]
    assert words in found[f"params.config.{path}"]


def test_typos_at_every_level_are_told_at_once_with_the_nearest_key(example):
    example["lod_path"] = ""
    example["algo"]["nam"] = "x"
    example["model"]["nme"] = "x"
    example["network"]["seperate"] = True
    example["network"]["mlp"]["actvation"] = "relu"
    example["network"]["mlp"]["initializer"]["gian"] = 1
    example["network"]["space"]["continous"] = {}
    example["network"]["space"]["continuous"]["fixed_sgima"] = True
    example["config"]["lerning_rate"] = example["config"].pop("learning_rate")
    example["config"]["gama"] = 0.9
    example["config"]["reward_shaper"]["scale_valu"] = 1
    example["config"]["player"] = {"game_num": 3}
    found = problems(example)
    assert found == {
        "params.lod_path": "unknown key; did you mean 'load_path'?",
        "params.algo.nam": "unknown key; did you mean 'name'?",
        "params.model.nme": "unknown key; did you mean 'name'?",
        "params.network.seperate": "unknown key; did you mean 'separate'?",
        "params.network.mlp.actvation": "unknown key; did you mean 'activation'?",
        "params.network.mlp.initializer.gian": "unknown key; did you mean 'gain'?",
        "params.network.space.continous": "unknown key; did you mean 'continuous'?",
        "params.network.space.continuous.fixed_sgima": "unknown key; did you mean 'fixed_sigma'?",
        "params.config.lerning_rate": "unknown key; did you mean 'learning_rate'?",
        "params.config.gama": "unknown key; did you mean 'gamma'?",
        "params.config.reward_shaper.scale_valu": "unknown key; did you mean 'scale_value'?",
        "params.config.player.game_num": "unknown key; did you mean 'games_num'?",
    }


def test_a_key_in_the_wrong_place_is_sent_home(example):
    example["config"]["units"] = [1]
    example["network"]["gamma"] = 0.9
    found = problems(example)
    assert found["params.config.units"] == "unknown key; it belongs to params.network.mlp or params.network.rnn"
    assert found["params.network.gamma"] == "unknown key; it belongs to params.config"


def test_wrong_types_unknown_keys_missing_keys_and_broken_rules_come_together(example):
    example["config"] |= {
        "tau": "high",
        "banana": 1,
        "minibatch_size": 67,
        "truncate_grads": True,
        "grad_norm": None,
    }
    example["config"]["reward_shaper"] = {"min_val": 2, "max_val": 1}
    del example["config"]["e_clip"]
    del example["config"]["kl_threshold"]
    found = problems(example)
    assert set(found) == {
        f"params.config.{key}"
        for key in (
            "tau",
            "banana",
            "minibatch_size",
            "grad_norm",
            "e_clip",
            "kl_threshold",
            "reward_shaper.max_val",
        )
    }
    # 16 steps x 8 environments = 128 samples; of 1, 2, 4, … 128 the nearest to 67 is 64.
    expected = "got 67; expected a divisor of 128 (= horizon_length 16 x num_actors 8), such as 64"
    assert found["params.config.minibatch_size"] == expected
    assert found["params.config.e_clip"].startswith("missing, but required")
    assert found["params.config.kl_threshold"].startswith("missing; expected a number above 0")


def test_minibatches_may_be_given_per_environment(example):
    del example["config"]["minibatch_size"]
    assert "params.config.minibatch_size" in problems(example)
    example["config"]["minibatch_size_per_env"] = 4
    assert parse_params(example).config.resolved_minibatch_size == 32  # 8 environments x 4 samples
    example["config"]["minibatch_size_per_env"] = 5  # 16 steps are not a multiple of 5
    assert "such as 4" in problems(example)["params.config.minibatch_size_per_env"]
    example["config"]["minibatch_size"] = 64  # wins, as in RL Games
    assert parse_params(example).config.resolved_minibatch_size == 64


def test_the_linear_schedule_needs_an_end(example):
    example["config"]["lr_schedule"] = "linear"
    assert "because lr_schedule is linear" in problems(example)["params.config.max_epochs"]
    example["config"]["max_frames"] = 1000
    assert parse_params(example).config.lr_schedule == "linear"


def test_playing_needs_no_rule_of_training(example):
    example["config"] |= {"num_actors": 1, "minibatch_size": 67, "kl_threshold": None}
    params = parse_params(example, training=False)
    assert params.config.num_actors == 1
    assert parse_params(dump(params), training=False) == params
    assert len(problems(example)) == 2


@pytest.mark.parametrize("missing", ["algo", "model", "network", "config"])
def test_a_missing_section_is_told(example, missing):
    del example[missing]
    assert problems(example)[f"params.{missing}"].startswith("missing, but required")


def test_everything_missing_and_nothing_a_mapping():
    assert len(problems({})) == 4
    for wrong in (3, None, [1], "text"):
        assert "expected a block" in problems(wrong)["params"]
    assert "expected its section 'params'" in problems({"params": {}})["params"]
    found = problems({"algo": 1, "model": [], "network": "x", "config": None})
    assert set(found) == {"params.algo", "params.model", "params.network", "params.config"}


@pytest.mark.parametrize(
    ("section", "name", "words"),
    [
        ("algo", "a2c_continious", "; did you mean 'a2c_continuous'?"),
        ("algo", "zzz", "no algorithm is registered as 'zzz' (registered: a2c_continuous, a2c_discrete"),
        ("network", "tcnnnet", "is not available in this version"),
        ("network", "actorcritic", "did you mean 'actor_critic'?"),
        ("model", "continuous_a2c_logsdt", "did you mean 'continuous_a2c_logstd'?"),
        ("model", "continuous_a2c_tanh", "is not available in this version"),
    ],
)
def test_unknown_names_list_the_registered_ones(example, section, name, words):
    example[section]["name"] = name
    found = problems(example)
    assert list(found) == [f"params.{section}.name"]
    assert words in found[f"params.{section}.name"]


def test_a_typo_in_a_name_does_not_hide_the_other_problems(example):
    example["algo"]["name"] = "a2c_continious"
    example["config"]["gama"] = 1
    assert set(problems(example)) == {"params.algo.name", "params.config.gama"}


def test_sections_without_a_schema_pass_untouched_and_read_only(example):
    example["algo"]["name"] = "theirs"
    example["config"] = {
        "seq_len": 4,
        "deep": {"list": [1, {"x": 2}], "pair": (1, 2)},
        "lr_schedule": "fixed",
    }
    params = parse_params(example, algorithms={"theirs": None, "a2c_continuous": PPOConfig})
    config = params.config
    assert isinstance(config, ForeignSection)
    assert config == example["config"]  # old keys and values too: they are not ours to judge
    assert config["deep"]["list"][1]["x"] == 2
    assert config["deep"]["pair"] == (1, 2)
    assert config.get("nothing", 5) == 5
    assert "deep" in config
    with pytest.raises(KeyError, match="set: seq_len, deep, lr_schedule"):
        config["nothing"]
    with pytest.raises(TypeError):
        config["seq_len"] = 5
    config["deep"]["list"].append(3)
    assert len(config["deep"]["list"]) == 2
    twin = copy.deepcopy(config)
    assert twin == config
    assert twin is not config
    plain = config.to_dict()
    assert type(plain["deep"]) is dict
    plain["deep"]["list"][1]["x"] = 3
    assert config["deep"]["list"][1]["x"] == 2


def test_a_schema_of_its_own_may_use_any_key(example):
    class MyConfig(PPOConfig):
        seq_length: int = 4
        my_key: float

    example["algo"]["name"] = "mine"
    example["config"] |= {"my_key": 2, "seq_len": 8}
    with pytest.warns(UserWarning, match="params.config.seq_len: is now called 'seq_length'"):
        params = parse_params(example, algorithms={"mine": MyConfig})
    assert params.config.seq_length == 8
    assert params.config["my_key"] == 2
    del example["config"]["my_key"]
    assert list(problems(example, algorithms={"mine": MyConfig})) == ["params.config.my_key"]


def test_a_base_class_reads_what_it_knows_of_a_foreign_section(example):
    example["config"] |= {"amp_replay_keep_prob": 0.01, "seq_len": 4}
    example["config"]["reward_shaper"]["their_key"] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = parse_section(PPOConfig, ForeignSection(example["config"]), "config", private_keys=True)
    assert config.learning_rate == 3e-4
    example["config"]["gamma"] = 7
    with pytest.raises(ConfigError, match=r"params\.config\.gamma: got 7"):
        parse_section(PPOConfig, example["config"], "config", private_keys=True)
    with pytest.raises(ConfigError, match="amp_replay_keep_prob"):
        parse_section(PPOConfig, example["config"], "config")


def test_a_task_stands_beside_params():
    class Env(Section):
        num: int = 1

    class Task(Section):
        env: Env

    assert parse_section(Task, {"env": {"num": "4"}}, "task").env.num == 4
    with pytest.raises(ConfigError) as caught:
        parse_section(Task, {"env": {"nmu": 4}}, "task")
    assert [problem.path for problem in caught.value.problems] == ["task.env.nmu"]


def test_frozen_and_already_parsed(example):
    params = parse_params(example)
    assert parse_params(params) is params
    with pytest.raises(ValidationError):
        params.config.gamma = 0.5
    with pytest.raises(ValidationError):
        params.seed = 1
    with pytest.raises(TypeError):
        params.network.mlp.units[0] = 3
    assert copy.deepcopy(params) == params
    assert params.config["gamma"] == params.config.get("gamma") == 0.99


def test_parsing_does_not_change_what_is_given(example):
    example["config"]["seq_len"] = 4
    example["network"]["mlp"]["initializer"] = {"name": "const_initializer", "value": 1}
    before = copy.deepcopy(example)
    with pytest.warns(UserWarning):
        parse_params(example)
    assert example == before


@pytest.mark.parametrize(("seed", "value"), [(0, 0), (None, None), (-1, None), ("5", 5)])
def test_zero_is_a_seed(example, seed, value):
    example["seed"] = seed
    assert parse_params(example).seed == value


@pytest.mark.parametrize("seed", [True, -2, 2**32, 1.5, "x"])
def test_not_a_seed(example, seed):
    example["seed"] = seed
    assert list(problems(example)) == ["params.seed"]


def test_initialisers_know_their_arguments(example):
    mlp = example["network"]["mlp"]
    path = "params.network.mlp.initializer"
    for wrong, words in [
        ({"name": "orthogonl"}, "did you mean 'orthogonal'?"),
        ({"name": "orthogonal", "val": 1}, "only gain with orthogonal, not val"),
        ({"name": "const_initializer"}, "val, the constant"),
        (
            {"name": "random_uniform_initializer", "gain": 1},
            "only a and b with random_uniform_initializer, not gain",
        ),
        ({"name": "kaiming_normal", "mode": "fan_avg"}, "'fan_in' or 'fan_out'"),
    ]:
        mlp["initializer"] = wrong
        ((where, message),) = problems(example).items()
        assert where.startswith(path)
        assert words in message
    mlp["initializer"] = {"name": "default", "scale": 2}  # in shipped files; means nothing
    assert parse_params(example).network.mlp.initializer.arguments == {}


def test_every_initialiser_is_accepted_with_its_arguments():
    values = {
        "val": 0.5,
        "gain": 2.0,
        "mode": "fan_in",
        "scale": 2.0,
        "a": 0.1,
        "b": 0.2,
        "nonlinearity": "relu",
    }
    for name, takes in INITIALIZERS.items():
        arguments = {key: values[key] for key in takes}
        assert InitializerConfig(name=name, **arguments).arguments == arguments


def test_dump_refuses_what_a_file_cannot_hold(example):
    example["config"]["env_config"] = {"inner": {"callback": print}}
    with pytest.raises(ConfigError, match=r"params\.config\.env_config\.inner\.callback: got <built-in"):
        dump(parse_params(example))


def test_every_field_is_described():
    def walk(schema):
        for name, field in schema.model_fields.items():
            assert field.description, f"{schema.__name__}.{name}"
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                walk(field.annotation)

    params = parse_params.__annotations__["return"]
    walk(params)
    walk(PPOConfig)
