"""Every key that RL Games reads or that its files hold, 1.6.1 to 2.0-dev: none is dropped without a word."""

import copy
import warnings

import pytest

from manybody.config import ConfigError, ConfigWarning, dump, parse_params

STAYS, MOVES, IDLE, REFUSED = "stays", "moves", "idle", "refused"

PARAMS = {
    "seed": (STAYS, "7", 7),  # text that is a number counts as one wherever a number is expected
    "torch_threads": (STAYS, 2),
    "load_checkpoint": (STAYS, True),
    "load_path": (STAYS, "nn/last.pth"),
    "env": (STAYS, {"clip_actions": 1.0}),
    "pbt": (IDLE, {"workspace": "pbt"}),
}
CONFIG = {
    "name": (STAYS, "Walk"),
    "env_name": (STAYS, "rlgpu"),
    "env_config": (STAYS, {"seed": 3, "render": False}),
    "env_info": (REFUSED, {"agents": 1}),
    "vec_env": (REFUSED, {"agents": 1}),
    "num_actors": (STAYS, "8", 8),
    "reward_shaper.scale_value": (STAYS, "1e-2", 0.01),
    "reward_shaper.shift_value": (STAYS, 0.5),
    "reward_shaper.min_val": (STAYS, -1.0),
    "reward_shaper.max_val": (STAYS, 1.0),
    "reward_shaper.log_val": (STAYS, True),
    "reward_shaper.is_torch": (STAYS, True),
    "multi_gpu": (REFUSED, True),
    "device": (STAYS, "cuda:0"),
    "device_name": (MOVES, "cuda:1", "config.device"),
    "ppo": (STAYS, False),
    "normalize_advantage": (STAYS, False),
    "normalize_rms_advantage": (STAYS, True),
    "adv_rms_momentum": (STAYS, 0.9),
    "normalize_input": (STAYS, False),
    "normalize_value": (STAYS, True),
    "gamma": (STAYS, 0.9),
    "tau": (STAYS, 0.9),
    "learning_rate": (STAYS, "5e-4", 5e-4),
    "lr_schedule": (STAYS, "constant"),
    "kl_threshold": (STAYS, "8e-3", 8e-3),
    "schedule_type": (STAYS, "standard_epoch"),
    "schedule_entropy": (STAYS, True),
    "min_lr": (STAYS, "1e-5", 1e-5),
    "max_lr": (STAYS, 1e-3),
    "lr_multiplier": (STAYS, 1.2),
    "e_clip": (STAYS, 0.1),
    "clip_value": (STAYS, "False", False),
    "critic_coef": (STAYS, 1),
    "entropy_coef": (STAYS, "1e-3", 1e-3),
    "bounds_loss_coef": (STAYS, 1e-4),
    "bound_loss_type": (STAYS, "regularisation"),
    "truncate_grads": (STAYS, True),
    "grad_norm": (STAYS, 0.5),
    "weight_decay": (STAYS, "1e-4", 1e-4),
    "horizon_length": (STAYS, 32),
    "minibatch_size": (STAYS, 32),
    "minibatch_size_per_env": (STAYS, 4),
    "mini_epochs": (STAYS, 2),
    "seq_length": (STAYS, 8),
    "seq_len": (MOVES, 8, "config.seq_length"),
    "bptt_length": (IDLE, 8),
    "zero_rnn_on_done": (STAYS, False),
    "use_action_masks": (REFUSED, True),
    "value_bootstrap": (STAYS, False),
    "use_smooth_clamp": (STAYS, True),
    "use_experimental_cv": (STAYS, False),
    "freeze_critic": (STAYS, True),
    "self_play_config.update_score": (STAYS, 0.5),
    "self_play_config.games_to_check": (STAYS, 100),
    "self_play_config.check_scores": (STAYS, True),
    "self_play_config.env_update_num": (STAYS, 2),
    "self_play": (IDLE, True),
    "mixed_precision": (STAYS, True),
    "max_epochs": (STAYS, 10),
    "max_frames": (STAYS, 1e6, 1000000),
    "max_steps": (MOVES, 1000, "config.max_frames"),
    "save_frequency": (STAYS, 10),
    "save_best_after": (STAYS, 10),
    "score_to_win": (STAYS, 20000),
    "games_to_track": (STAYS, 10),
    "print_stats": (STAYS, False),
    "use_diagnostics": (STAYS, True),
    "train_dir": (STAYS, "out"),
    "full_experiment_name": (STAYS, "walk1"),
    "population_based_training": (REFUSED, True),
    "pbt_idx": (IDLE, 3),
    "defer_summaries_sec": (IDLE, 5),
    "summaries_interval_sec_min": (IDLE, 5),
    "summaries_interval_sec_max": (IDLE, 300),
    "features": (STAYS, {"soft_augmentation": {"shift": 4}}),
    "network_path": (IDLE, "./nn/"),
    "log_path": (IDLE, "runs/"),
    "is_train": (IDLE, True),
    "clip_actions": (STAYS, False),
    "epochs_between_resets": (STAYS, 5),
    "torch_compile": (STAYS, "reduce-overhead"),
    "stop_fn": (STAYS, "package.module:function"),
    "capability_manifest": (IDLE, True),
    "multi_gpu_sync_stats": (IDLE, True),
    "multi_gpu_sync_stats_mode": (IDLE, "pooled"),
    "import_modules": (REFUSED, ["mine"]),
    "vecenv_type": (STAYS, "MJLAB"),
    "algo_observer": (STAYS, "isaac"),
    "ray_config": (IDLE, {"num_cpus": 4}),
    "default_env_config": (REFUSED, {"render": True}),
    "player.render": (STAYS, True),
    "player.render_sleep": (STAYS, 0.01),
    "player.games_num": (STAYS, 10),
    "player.deterministic": (STAYS, False),
    "player.determenistic": (MOVES, False, "config.player.deterministic"),
    "player.n_game_life": (STAYS, 3),
    "player.print_stats": (STAYS, False),
    "player.use_vecenv": (STAYS, True),
    "player.env_config": (STAYS, {"render": True}),
    "player.evaluation": (REFUSED, True),
    "player.update_checkpoint_freq": (IDLE, 10),
    "player.dir_to_monitor": (IDLE, "nn"),
    "player.balance_env_rewards": (REFUSED, True),
    "determenistic": (IDLE, True),
    "ignore_dead_batches": (IDLE, False),
    "rnd_config": (IDLE, {"scale_value": 1.0}),
    "num_seed_steps": (IDLE, 5),
    "force_interval_writer": (IDLE, True),
}
CENTRAL = {
    "model.name": (STAYS, "central_value"),
    "normalize_input": (STAYS, False),
    "learning_rate": (STAYS, "5e-4", 5e-4),
    "mini_epochs": (STAYS, 2),
    "clip_value": (STAYS, False),
    "minibatch_size": (STAYS, 32),
    "minibatch_size_per_env": (STAYS, 4),
    "lr_schedule": (STAYS, "linear"),
    "weight_decay": (STAYS, 1e-4),
    "truncate_grads": (STAYS, True),
    "grad_norm": (STAYS, 0.5),
    "e_clip": (STAYS, 0.1),
    "freeze_critic": (STAYS, True),
    "mixed_precision": (STAYS, True),
    "kl_threshold": (IDLE, 0.01),
    "schedule_type": (IDLE, "standard"),
    "use_smooth_clamp": (IDLE, True),
    "gamma": (IDLE, 0.99),
    "tau": (IDLE, 0.95),
    "entropy_coef": (IDLE, 0.0),
    "network.value_activation": (STAYS, "tanh"),
    "network.mlp.regularizer": (IDLE, {"name": "None"}),
}
CONVOLUTIONS = {
    "type": (STAYS, "coord_conv2d"),
    "convs": (STAYS, [{"filters": 8, "kernel_size": 3, "strides": 2, "padding": 1}]),
    "activation": (STAYS, "elu"),
    "initializer": (STAYS, {"name": "orthogonal_initializer", "gain": 1.4}),
    "permute_input": (STAYS, False),
    "regularizer": (IDLE, {"name": "None"}),
    "normalization": (IDLE, "layer_norm"),
}
NETWORK = {
    "separate": (STAYS, "True", True),
    "central_value": (REFUSED, True),
    "normalization": (STAYS, "layer_norm"),
    "value_activation": (STAYS, "tanh"),
    "joint_obs_actions": (IDLE, {"embedding": False}),
    "lstm": (IDLE, {"units": 64}),
    "value_shape": (IDLE, 1),
    "mlp.units": (STAYS, [8]),
    "mlp.activation": (STAYS, "relu"),
    "mlp.initializer": (STAYS, {"name": "variance_scaling_initializer", "mode": "fan_in", "scale": 2.0}),
    "mlp.d2rl": (STAYS, True),
    "mlp.norm_only_first_layer": (STAYS, True),
    "mlp.regularizer": (IDLE, {"name": "None"}),
    "mlp.normalization": (IDLE, "layer_norm"),
    "space.continuous.mu_activation": (STAYS, "tanh"),
    "space.continuous.sigma_activation": (STAYS, "tanh"),
    "space.continuous.mu_init": (STAYS, {"name": "random_uniform_initializer", "a": -0.1, "b": 0.1}),
    "space.continuous.sigma_init": (STAYS, {"name": "const_initializer", "val": -1.0}),
    "space.continuous.sigma_init.value": (MOVES, -2.9, "network.space.continuous.sigma_init.val"),
    "space.continuous.fixed_sigma": (STAYS, False),
    "space.continuous.learn_sigma": (STAYS, False),
    "space.continuous.min_sigma": (STAYS, 0.1),
    "space.continuous.logstd_bounds": (STAYS, [-5.0, 2.0]),
    "space.continuous.sigma_parametrization": (STAYS, "softplus"),
    "rnn.name": (STAYS, "gru"),
    "rnn.units": (STAYS, 8),
    "rnn.layers": (STAYS, 2),
    "rnn.layer_norm": (STAYS, True),
    "rnn.before_mlp": (STAYS, True),
    "rnn.concat_input": (STAYS, True),
    "rnn.concat_output": (STAYS, True),
    "disc": (REFUSED, {"units": [8]}),  # of clients' networks, which get their section as it is: below
    "enc": (REFUSED, {"units": [8]}),
    **{f"cnn.{key}": fate for key, fate in CONVOLUTIONS.items()},
}
RESNET = {
    "cnn.conv_depths": (STAYS, [16, 32]),
    "cnn.permute_input": (STAYS, False),
    "cnn.activation": (IDLE, "relu"),
    "cnn.initializer": (IDLE, {"name": "default"}),
    "require_rewards": (REFUSED, True),
    "require_last_actions": (REFUSED, True),
    "rnn.name": (STAYS, "gru"),
    "separate": (REFUSED, True),
}
DISCRETE = {
    "config.use_action_masks": (STAYS, True),
    "config.bounds_loss_coef": (IDLE, 1e-4),
    "config.bound_loss_type": (IDLE, "bound"),
    "config.clip_actions": (IDLE, True),
    "network.space.discrete": (STAYS, None, {}),
}
SAC = {
    "config.num_actors": (STAYS, 4),
    "config.batch_size": (STAYS, 64),
    "config.init_alpha": (STAYS, 0.5),
    "config.learnable_temperature": (STAYS, False),
    "config.replay_buffer_size": (STAYS, "1e6", 1000000),
    "config.actor_lr": (STAYS, "5e-4", 5e-4),
    "config.critic_lr": (STAYS, 5e-4),
    "config.alpha_lr": (STAYS, 5e-4),
    "config.num_warmup_frames": (STAYS, 1000),
    "config.num_warmup_steps": (STAYS, 10),
    "config.gamma": (STAYS, 0.9),
    "config.critic_tau": (STAYS, 0.01),
    "config.num_steps_per_episode": (STAYS, 8),
    "config.num_updates_per_step": (STAYS, 2),
    "config.policy_frequency": (STAYS, 1),
    "config.critic_grad_clip": (STAYS, 1.0),
    "config.target_entropy_coef": (STAYS, 0.5),
    "config.actor_betas": (STAYS, [0.5, 0.9]),
    "config.critic_betas": (STAYS, [0.5, 0.9]),
    "config.alphas_betas": (STAYS, [0.5, 0.9]),
    "config.normalize_input": (STAYS, True),
    "config.value_bootstrap": (STAYS, False),
    "config.mixed_precision": (STAYS, True),
    "config.save_best_after": (STAYS, 10),
    "config.score_to_win": (STAYS, 100),
    "config.utd_ratio": (STAYS, 0.5),
    "config.save_replay_buffer": (STAYS, True),
    "config.max_env_steps": (IDLE, 1000),
    "config.num_seed_steps": (IDLE, 5),
    "config.weight_decay": (STAYS, 1e-4),
    "config.central_value_config": (REFUSED, {"mini_epochs": 1}),
    "config.self_play_config": (REFUSED, {"update_score": 1}),
    "config.learning_rate": (REFUSED, 1e-3),
    "network.log_std_bounds": (STAYS, [-4, 1]),
    "network.value_shape": (IDLE, 1),
    "network.separate": (REFUSED, False),
    "network.space.continuous": (STAYS, None, {}),
    "network.mlp.units": (STAYS, [8]),
    "network.rnn": (REFUSED, {"name": "lstm"}),
    "network.cnn": (REFUSED, {"type": "conv2d"}),
}
CRITIC = {
    "minibatch_size": 64,
    "mini_epochs": 1,
    "learning_rate": 1e-3,
    "clip_value": True,
    "normalize_input": True,
    "network": {
        "name": "actor_critic",
        "central_value": True,
        "mlp": {"units": [8], "activation": "relu", "initializer": {"name": "default"}},
    },
}
BESIDE = {
    "config.self_play_config": {"update_score": 1, "games_to_check": 10},
    "config.central_value_config": CRITIC,
    "network.rnn": {"name": "lstm", "units": 8, "layers": 1},
    "network.cnn": {
        "type": "conv2d",
        "activation": "relu",
        "initializer": {"name": "default"},
        "convs": [{"filters": 4, "kernel_size": 3, "strides": 1, "padding": 0}],
    },
}
"""What else a block needs for one of its keys to be judged."""


def continuous(example):
    return example


def resnet(example):
    example["network"] |= {"name": "resnet_actor_critic", "cnn": {"conv_depths": [16]}}
    return example


def discrete(example):
    example["algo"]["name"], example["model"]["name"] = "a2c_discrete", "discrete_a2c"
    example["network"]["space"] = {"discrete": None}
    return example


def sac(example):
    example["algo"]["name"], example["model"]["name"] = "sac", "soft_actor_critic"
    example["network"] = {
        "name": "soft_actor_critic",
        "mlp": example["network"]["mlp"],
        "space": {"continuous": None},
        "log_std_bounds": [-5, 2],
    }
    example["config"] = {
        "name": "Example",
        "env_name": "rlgpu",
        "batch_size": 32,
        "replay_buffer_size": 1000,
        "actor_lr": 1e-3,
        "critic_lr": 1e-3,
        "alpha_lr": 1e-3,
    }
    return example


def listed(prefix, keys):
    return {f"{prefix}{key}": fate for key, fate in keys.items()}


CASES = [
    pytest.param(make, path, *fate, id=f"{make.__name__}-{path}")
    for make, keys in (
        (continuous, PARAMS | listed("config.", CONFIG) | listed("network.", NETWORK)),
        (continuous, listed("config.central_value_config.", CENTRAL)),
        (resnet, listed("network.", RESNET)),
        (discrete, DISCRETE),
        (sac, SAC),
    )
    for path, fate in ((path, (*fate, fate[1])[:3]) for path, fate in keys.items())
]


def put(params, path, value):
    *blocks, key = path.split(".")
    walked = []
    for name in blocks:
        walked.append(name)
        beside = copy.deepcopy(BESIDE.get(".".join(walked), {}))
        if params.get(name) is None:
            params[name] = beside
        params = params[name]
    params.pop({"value": "val", "minibatch_size_per_env": "minibatch_size"}.get(key), None)  # its other name
    params[key] = value


def read(params, path):
    for key in path.split("."):
        params = params[key]
    return params


@pytest.mark.parametrize(("make", "path", "fate", "value", "then"), CASES)
def test_the_key(make, path, fate, value, then, example):
    """``then`` is what a key that stays reads as, or where one that moves stands."""
    params = make(example)
    put(params, path, value)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if fate == REFUSED:
            with pytest.raises(ConfigError) as error:
                parse_params(params)
            problem = error.value.problems[0]
            assert problem.path == f"params.{path}" and len(problem.message) > 10
            return
        parsed = dump(parse_params(params))
    told = [str(warning.message) for warning in caught if warning.category is ConfigWarning]
    told = [message for message in told if message.startswith(f"params.{path}:")]
    if fate == STAYS:
        assert read(parsed, path) == then and not told
    elif fate == MOVES:
        assert read(parsed, then) == value and "is now called" in told[0]
    else:
        assert fate == IDLE and "has no effect: " in told[0]
        with pytest.raises(KeyError):
            read(parsed, path)


@pytest.mark.parametrize("section", ["network", "config", "model"])
def test_parts_of_ones_own_get_their_section_untouched(section, example):
    """Keys of the AMP family: an agent, a model or a network that is registered without a schema reads them all."""
    private = {"disc": {"units": [8]}, "enc": {"units": [8]}, "amp_obs_demo_buffer_size": "1e5", "seq_len": 4}
    example[section] |= private
    example["algo" if section == "config" else section]["name"] = "mine"
    schemas = {"config": "algorithms", "network": "networks", "model": "models"}[section]
    parsed = parse_params(example, **{schemas: {"mine": None}})
    assert dump(parsed)[section] == example[section]


@pytest.mark.parametrize(
    ("part", "name"), [("network", "tcnnnet"), ("network", "testnet"), ("model", "continuous_a2c_tanh")]
)
def test_names_that_are_not_there_are_told_from_those_that_are(part, name, example):
    example[part]["name"] = name
    with pytest.raises(ConfigError, match=rf"params.{part}.name: .*'?{name}'?.*registered: "):
        parse_params(example)
