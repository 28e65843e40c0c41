"""The settings of SAC: what RL Games and IsaacGymEnvs write is taken, what cannot be is refused in a sentence."""

import warnings

import pytest
from toy_sac import sac_params

from manybody.config import ConfigError, ConfigWarning, dump, parse_params
from manybody.launch.hydra_tree import compose

ISAAC_GYM_ENVS = {"num_seed_steps": 5, "max_env_steps": 1000}
"""Keys of IsaacGymEnvs' AntSAC.yaml and of 1.6.1 that nothing reads."""


def problems(params):
    with pytest.raises(ConfigError) as caught:
        parse_params(params)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_an_rl_games_file_and_its_defaults():
    params = parse_params(sac_params())
    assert parse_params(dump(params)) == params
    config = params.config
    assert (config.alpha_lr, config.actor_lr, config.critic_lr) == (5e-3, 1e-3, 2e-3)  # text in the file
    assert (config.policy_frequency, config.critic_grad_clip, config.target_entropy_coef) == (2, 5.0, 1.0)
    assert (config.num_updates_per_step, config.n_step, config.utd_ratio) == (1, 1, None)
    assert config.save_best_after == 500 and not config.save_replay_buffer
    assert config.actor_betas == config.critic_betas == config.alphas_betas == (0.9, 0.999)
    assert params.network.log_std_bounds == (-5.0, 2.0)


def test_what_nothing_reads_is_told():
    for key, value in ISAAC_GYM_ENVS.items():
        with pytest.warns(ConfigWarning, match=f"params.config.{key}: has no effect"):
            parse_params(sac_params(**{key: value}))


@pytest.mark.parametrize(
    ("network", "config", "path", "words"),
    [
        (
            {"separate": False},
            {},
            "network.separate",
            "got False; expected True: the critics of sac have layers",
        ),
        (
            {"log_std_bounds": [2, -5]},
            {},
            "network.log_std_bounds",
            "expected [lower, upper] with lower < upper",
        ),
        ({"normalization": "batch_norm"}, {}, "network.normalization", "expected 'layer_norm'"),
        (
            {},
            {"replay_buffer_size": 20, "n_step": 3},
            "config.replay_buffer_size",
            "at least num_actors x n_step, 24",
        ),
        ({}, {"init_alpha": 0}, "config.init_alpha", "expected a number above 0"),
        ({}, {"critic_tau": 2}, "config.critic_tau", "expected a number of at most 1"),
        ({}, {"horizon_length": 16}, "config.horizon_length", "unknown key"),
        (
            {},
            {"batch_size": 65, "replay_buffer_size": 64},
            "config.batch_size",
            "at most replay_buffer_size, 64",
        ),
        ({}, {"learning_rate": 1e-3}, "config.learning_rate", "actor_lr, critic_lr and alpha_lr"),
        ({}, {"central_value_config": {"x": 1}}, "config.central_value_config", "has no central value"),
        ({}, {"self_play_config": {"x": 1}}, "config.self_play_config", "does not play against past selves"),
        ({"rnn": {"name": "lstm"}}, {}, "network.rnn", "keeps no state"),
        ({"cnn": {"type": "conv2d"}}, {}, "network.cnn", "has no convolutions"),
        ({}, {"batch_sise": 16}, "config.batch_sise", "did you mean 'batch_size'"),
    ],
)
def test_what_is_refused(network, config, path, words):
    found = problems(sac_params(network, **config))
    assert words in found[f"params.{path}"]


def test_missing_keys_are_told():
    params = sac_params()
    for key in ("batch_size", "actor_lr"):
        del params["config"][key]
    assert set(problems(params)) == {"params.config.batch_size", "params.config.actor_lr"}


@pytest.mark.parametrize("task", ["Cartpole", "Ant"])
def test_the_shipped_presets(task):
    tree = compose([f"task={task}", f"train={task}SAC", "num_envs=64"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        params = parse_params(tree["train"]["params"])
    assert params.algo.name == "sac" and params.config.num_actors == 64
    assert params.config.name == f"{task}SAC"
