"""Old, idle and unavailable keys: each gets its sentence."""

import warnings

import pytest

from manybody.config import ConfigError, ConfigWarning, PPOConfig, load_yaml, parse_params
from manybody.config.legacy import TABLE, NoEffect, Refused, Renamed

ALIVE = {
    "population_based_training": False,
    "central_value_config": None,
    "use_action_masks": False,
    "self_play_config": {},
}


def put(params, path, value):
    for key in path[:-1]:
        params = params.setdefault(key, {})
    params[path[-1]] = value


def test_what_asks_for_nothing_is_dropped_in_silence(example):
    example["config"] |= ALIVE
    example["network"] |= {"central_value": False, "rnn": None, "require_rewards": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse_params(example)


def make_discrete(example):
    example["algo"]["name"], example["model"]["name"] = "a2c_discrete", "discrete_a2c"
    example["network"]["space"] = {"discrete": None}


@pytest.mark.parametrize(
    "path", [path for path, entry in TABLE.items() if isinstance(entry, NoEffect) and not entry.silent]
)
def test_idle_keys_warn_with_their_path(example, path):
    if path[-1] in ("clip_actions", "bounds_loss_coef", "bound_loss_type"):
        make_discrete(example)
    if path[:2] == ("config", "central_value_config"):
        example["config"]["central_value_config"] = {
            "network": {"name": "actor_critic", "central_value": True, "mlp": example["network"]["mlp"]},
            "minibatch_size": 64,
            "mini_epochs": 1,
            "learning_rate": 1e-3,
            "clip_value": True,
            "normalize_input": True,
        }
    if path[:2] == ("network", "cnn"):
        example["network"] |= {"name": "resnet_actor_critic", "cnn": {"conv_depths": [16]}}
    put(example, path, "anything")
    with pytest.warns(ConfigWarning, match=rf"^params\.{'.'.join(path)}: has no effect: "):
        parse_params(example)


ELSEWHERE = {"central_value_config", "self_play_config", "learning_rate", "rnn", "cnn", "task"}
"""Keys that this example's algorithm or network has, or that are a task's: others test them."""


@pytest.mark.parametrize(
    "path",
    [path for path, entry in TABLE.items() if isinstance(entry, Refused) and path[-1] not in ELSEWHERE],
)
def test_unavailable_features_are_refused_with_their_path(example, path):
    put(example, path, {"name": "something"})
    with pytest.raises(ConfigError) as caught:
        parse_params(example)
    (problem,) = caught.value.problems
    assert problem.path == f"params.{'.'.join(path)}"
    assert problem.message == TABLE[path].why


RENAMED = [
    (("config", "max_steps"), 1000, lambda p: p.config.max_frames == 1000),
    (("config", "device_name"), "cuda:1", lambda p: p.config.device == "cuda:1"),
    (("config", "player", "determenistic"), False, lambda p: p.config.player.deterministic is False),
    (("network", "space", "continuous", "sigma_init"), {"name": "const_initializer", "value": -2.9},
     lambda p: p.network.space.continuous.sigma_init.val == -2.9),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "holds"), RENAMED)
def test_old_names_move_with_a_notice(example, path, value, holds):
    put(example, path, value)
    with pytest.warns(ConfigWarning, match="is now called"):
        params = parse_params(example)
    assert holds(params)


def test_every_new_name_exists_or_has_an_entry_of_its_own():
    for path, entry in TABLE.items():
        if isinstance(entry, Renamed) and path[0] == "config" and len(path) == 2:
            assert entry.to in PPOConfig.model_fields or (*path[:-1], entry.to) in TABLE


def test_the_new_name_wins_when_both_are_there(example):
    example["config"] |= {"device": "cpu", "device_name": "cuda"}
    with pytest.warns(ConfigWarning, match="is the old name of 'device', which is set too and wins"):
        assert parse_params(example).config.device == "cpu"


def test_a_wrong_value_is_blamed_on_the_name_that_was_written(example):
    example["config"] |= {"device_name": "gpu"}
    with pytest.raises(ConfigError, match=r"params\.config\.device_name: got 'gpu'"):
        parse_params(example)


@pytest.mark.parametrize("value", [None, "None", "identity", "fixed", "polynom_decay"])
def test_schedules_that_mean_constant(example, value):
    example["config"]["lr_schedule"] = value
    with pytest.warns(ConfigWarning, match="params.config.lr_schedule: got .* taken for 'constant'"):
        assert parse_params(example).config.lr_schedule == "constant"


def test_the_american_spelling_means_what_it_says(example):
    example["config"] |= {"bound_loss_type": "regularization", "bounds_loss_coef": 0.1}
    with pytest.warns(ConfigWarning, match="taken for 'regularisation'; RL Games does not know this spelling"):
        assert parse_params(example).config.bound_loss_type == "regularisation"


@pytest.mark.parametrize("value", [False, 0, None, "False", "no", "none", ""])
def test_what_is_switched_off_needs_no_notice(example, value):
    example["network"] |= {"require_rewards": value, "require_last_actions": value}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse_params(example)


@pytest.mark.parametrize(
    ("section", "key", "block"),
    [
        *(("network", key, "rnn") for key in ("rnn1", "rnn_2", "_rnn_", "rnn_off")),
        ("network", "mlp_old", "mlp"),
        ("config", "central_value_config1", "central_value_config"),
        ("config", "env_config_", "env_config"),
    ],
)
def test_a_renamed_section_is_switched_off(example, section, key, block):
    plain = parse_params(example)
    example[section][key] = {"units": "anything"}
    said = rf"{section}.{key}: has no effect: only a block that is called '{block}' acts"
    with pytest.warns(ConfigWarning, match=said):
        assert parse_params(example) == plain


@pytest.mark.parametrize("key", ["rnnn", "rrn1", "rnn_3_layers", "gamma1"])
def test_a_misspelled_section_is_refused(example, key):
    example["network"][key] = {"name": "lstm", "units": 8}
    with pytest.raises(ConfigError, match=rf"network.{key}: unknown key"):
        parse_params(example)


def test_a_switched_off_section_does_not_hide_what_is_wrong(example):
    example["network"] |= {"rnn1": {"name": "lstm"}, "seperate": True}
    with pytest.raises(ConfigError) as error:
        parse_params(example)
    assert [problem.path for problem in error.value.problems] == ["params.network.seperate"]


def test_isaac_extras_are_tolerated(example):
    example |= {"load_checkpoint": "False", "load_path": "", "env": {"clip_actions": 1.0}, "pbt": None}
    example["config"] |= {
        "population_based_training": False,
        "pbt_idx": None,
        "seq_len": 4,
        "multi_gpu": False,
    }
    with pytest.warns(ConfigWarning):
        params = parse_params(example)
    assert params.load_path is None
    assert params.env["clip_actions"] == 1.0


def test_notices_and_problems_name_the_line(example_text, tmp_path):
    body = "params:\n" + "".join(f"  {line}\n" for line in example_text.splitlines())
    path = tmp_path / "old.yaml"
    path.write_text(body + "    seq_len: 4\n    tua: 1\n")
    last = body.count("\n") + 2
    with pytest.raises(ConfigError) as caught:
        parse_params(load_yaml(path)["params"])
    (problem,) = caught.value.problems
    assert str(problem) == f"params.config.tua ({path}:{last}): unknown key; did you mean 'tau'?"
    path.write_text(body + "    seq_len: 4\n")
    with pytest.warns(
        ConfigWarning,
        match=rf"params\.config\.seq_len \(.*old\.yaml:{last - 1}\): is now called 'seq_length'",
    ):
        parse_params(load_yaml(path)["params"])


def test_of_two_sizes_of_a_minibatch_one_acts(example):
    """The batch is 16 x 8 = 128; 4 samples of each of 8 environments would be 32."""
    critic = {"network": {"name": "actor_critic", "central_value": True, "mlp": example["network"]["mlp"]}}
    critic |= {"mini_epochs": 1, "learning_rate": 1e-3, "clip_value": True, "normalize_input": True}
    sizes = {"minibatch_size": 64, "minibatch_size_per_env": 4}
    example["config"] |= {**sizes, "central_value_config": critic | sizes}
    with pytest.warns(ConfigWarning) as told:
        assert parse_params(example).config.resolved_minibatch_size == 64
    said = "minibatch_size_per_env: has no effect: minibatch_size 64 is given too and wins"
    assert [str(notice.message) for notice in told] == [
        f"params.config.{said}",
        f"params.config.central_value_config.{said}",
    ]
    for key in sizes:
        one = {"config": {k: v for k, v in example["config"].items() if k not in (key, "central_value_config")}}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parse_params(example | one)


def test_a_block_with_nothing_in_it_is_that_of_the_defaults(example):
    example["config"] |= {"player": None, "reward_shaper": None}
    config = parse_params(example).config
    assert (config.player.games_num, config.reward_shaper.scale_value) == (100, 1.0)


def test_a_recurrent_model_of_early_rl_games_is_a_model_with_a_recurrent_network(example):
    """RL Games 1.6.5 has no such model any more, and ignores the block ``lstm``."""
    params = example
    params["model"]["name"] = "continuous_a2c_lstm_logstd"
    params["network"]["lstm"] = {"units": 12, "concated": False}
    with pytest.warns(ConfigWarning, match="taken for 'continuous_a2c_logstd' with network.rnn of kind lstm"):
        parsed = parse_params(params)
    assert parsed.model["name"] == "continuous_a2c_logstd"
    assert (parsed.network.rnn.name, parsed.network.rnn.units, parsed.network.rnn.layers) == ("lstm", 12, 1)
    del params["network"]["lstm"]
    with pytest.raises(ConfigError, match="no model is registered as 'continuous_a2c_lstm_logstd'"):
        parse_params(params)
