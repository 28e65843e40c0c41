"""Exact resume and the guard under ``rl_games.torch_runner.Runner``: N epochs, a checkpoint, N more equal 2 N."""

import copy
import warnings

import pytest
import torch
from toy import ToyEnv
from toy_cases import CASES
from toy_env import differences

from manybody.compat.rl_games.torch_runner import Runner
from manybody.engine.checkpoint import load_checkpoint
from manybody.envs import registration

N = 2
"""Epochs before and after the interruption."""
RL_GAMES = sorted(name for name, (_, params) in CASES.items() if params["algo"]["name"].startswith(("a2c", "sac")))


@pytest.fixture
def train(tmp_path, monkeypatch):
    """``train(make_env, params, folder, checkpoint, **config)``: the agent after training through RL Games' Runner."""
    monkeypatch.chdir(tmp_path)

    def run(make_env, params, folder, checkpoint=None, **config):
        params = copy.deepcopy(params)
        params["config"] |= {"env_name": "resumed", "max_epochs": 2 * N, "full_experiment_name": folder, **config}
        if params["algo"]["name"] == "sac":
            params["config"]["save_replay_buffer"] = True
        monkeypatch.setitem(registration._creators, "resumed", lambda num_envs, seed=None: make_env())
        runner = Runner()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # keys of the library's own, and of environments without an exact state
            runner.load({"params": params})
            return runner.run({"train": True, "checkpoint": checkpoint})

    return run


def last(agent, epoch):
    (file,) = agent.run.folder.nn.glob(f"last_*_ep_{epoch}_*.pth")
    return file


@pytest.mark.parametrize("case", RL_GAMES)
def test_an_interrupted_run_is_the_whole_one(case, train):
    make_env, params = CASES[case]
    whole = load_checkpoint(last(train(make_env, params, "whole"), 2 * N))
    half = last(train(make_env, params, "half", stop_fn="toy_env:stop_at_two"), N)
    torch.manual_seed(12345)  # the generator is part of the checkpoint
    resumed = load_checkpoint(last(train(make_env, params, "resumed", str(half)), 2 * N))
    assert differences(resumed, whole) == ["/elapsed"]
    moved = differences(load_checkpoint(half), whole)
    assert any(name.startswith(("/model", "/actor")) for name in moved)


class HugeRewards(ToyEnv):
    """Rewards that are finite, but so large that the squared error of the critic is not."""

    def step(self, actions):
        step = super().step(actions)
        step.reward.fill_(9e14)
        return step


def test_updates_with_non_finite_gradients_are_counted(train, capsys):
    config = {"reward_shaper": {"scale_value": 1.0}, "normalize_value": False, "critic_coef": 1e12}
    agent = train(HugeRewards, CASES["continuous"][1], "guarded", max_epochs=1, **config)
    assert agent.guard.skipped_updates == agent.mini_epochs_num * len(agent.dataset)
    assert "4 minibatches, which were skipped" in capsys.readouterr().err
    assert all(parameter.isfinite().all() for parameter in agent.model.parameters())
