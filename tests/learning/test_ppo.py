"""PPO reaches a threshold; equal seeds give equal runs; compiled and eager runs agree."""

import pytest
import torch
from toy import ToyEnv
from toy_env import differences, task_params, toy_params

from manybody.algos.a2c import A2CAgent
from manybody.config import parse_params
from manybody.runner import Runner

LENGTH = 5


def toy_agent(seed=0, num_envs=8, log_sigma=0.0, **config):
    mapping = toy_params(num_actors=num_envs, **config)
    mapping["network"]["space"]["continuous"]["sigma_init"]["val"] = log_sigma
    torch.manual_seed(seed)
    return A2CAgent("run", parse_params(mapping), vec_env=ToyEnv(num_envs))


@pytest.mark.learning
def test_the_toy_is_solved():
    # The best return is 5; zero actions have 5 (1 - E[sin^2] / 4) = 4.4, the initial policy about 1.3.
    agent = toy_agent(
        num_envs=32,
        log_sigma=-2.0,
        max_epochs=40,
        minibatch_size=128,
        mini_epochs=4,
        learning_rate=3e-3,
        entropy_coef=0.0,
        gamma=0.1,  # an action does not affect later rewards
        tau=0.1,
    )
    agent.train()
    assert agent.run.mean_reward > 4.9


@pytest.mark.learning
def test_cartpole_balances(tmp_path):
    config = task_params(
        *("Cartpole", 512, tmp_path), max_epochs=70, score_to_win=300, minibatch_size=8192, mini_epochs=8
    )
    runner = Runner()
    runner.load(config)
    agent = runner.run({"train": True})
    assert agent.run.mean_reward >= 300, f"{agent.run.mean_reward} after {agent.epoch_num} epochs"


@pytest.mark.learning
def test_a_gymnasium_environment_learns(tmp_path):
    mapping = toy_params(
        env_name="Pendulum-v1",
        num_actors=16,
        horizon_length=64,
        minibatch_size=256,
        mini_epochs=8,
        max_epochs=25,
        gamma=0.9,
        learning_rate=1e-3,
        entropy_coef=0.0,
        train_dir=str(tmp_path),
        normalize_value=True,
        value_bootstrap=True,
        games_to_track=32,
    )
    mapping["network"]["mlp"]["units"] = [64, 64]
    runner = Runner()
    runner.load({"params": mapping | {"torch_threads": 1}})
    agent = runner.run({"train": True})
    lines = (agent.run.folder.metrics_file).read_text().splitlines()
    assert len(lines) == 25
    assert agent.run.mean_reward > -700  # the return of random actions is about -1200


# --- reproducibility --------------------------------------------------------------------------------------------------

VARIANTS = {
    "plain": {},
    "shuffled, smooth, diagnosed": {
        "shuffle_minibatches": True,
        "use_smooth_clamp": True,
        "use_diagnostics": True,
    },
    "running advantages, linear": {"normalize_rms_advantage": True, "lr_schedule": "linear", "max_epochs": 3},
}


def three_epochs(seed=0, **config):
    agent = toy_agent(seed, **{"max_epochs": 3, "value_bootstrap": True, **config})
    agent.train()
    return agent.get_full_state_weights() | {"elapsed": 0}


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_equal_seeds_give_equal_runs_and_different_seeds_do_not(settings):
    one, two, other = three_epochs(0, **settings), three_epochs(0, **settings), three_epochs(1, **settings)
    assert differences(one, two) == []
    assert "/model/a2c_network.mu.weight" in differences(one, other)


@pytest.mark.parametrize("settings", list(VARIANTS.values())[1:], ids=list(VARIANTS)[1:])
def test_compiled_and_eager_agree(settings, monkeypatch):
    # aot_eager traces and differentiates like the default backend without a C++ compiler.
    compiled = []

    def aot_eager(function, **options):
        compiled.append(function.__name__)
        return torch_compile(function, backend="aot_eager", fullgraph=True, dynamic=options["dynamic"])

    torch_compile = torch.compile
    monkeypatch.setattr(torch, "compile", aot_eager)
    eager, traced = three_epochs(**settings), three_epochs(torch_compile=True, **settings)
    assert sorted(compiled) == ["forward_losses", "gae"]
    for name, value in eager["model"].items():
        torch.testing.assert_close(traced["model"][name], value, rtol=1e-6, atol=1e-7)
