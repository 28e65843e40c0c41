"""Exact resume and the guard under ``rl_games.torch_runner.Runner``: N epochs, a checkpoint, N more equal 2 N."""

import copy
import warnings

import pytest
import torch
from toy import ToyEnv
from toy_cases import CASES
from toy_env import differences

from manybody.algos.a2c.on_policy import OnPolicyAgent
from manybody.compat.rl_games.algos_torch.a2c_continuous import A2CAgent
from manybody.compat.rl_games.algos_torch.a2c_discrete import DiscreteA2CAgent
from manybody.compat.rl_games.common.a2c_common import A2CBase, swap_and_flatten01
from manybody.compat.rl_games.common.datasets import PPODataset
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

    def run(make_env, params, folder, checkpoint=None, algo=None, **config):
        params = copy.deepcopy(params)
        params["config"] |= {"env_name": "resumed", "max_epochs": 2 * N, "full_experiment_name": folder, **config}
        if params["algo"]["name"] == "sac":
            params["config"]["save_replay_buffer"] = True
        monkeypatch.setitem(registration._creators, "resumed", lambda num_envs, seed=None: make_env())
        runner = Runner()
        if algo is not None:
            runner.algo_factory.register_builder(params["algo"]["name"], lambda **kwargs: algo(**kwargs))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # keys of the library's own, and of environments without an exact state
            runner.load({"params": params})
            return runner.run({"train": True, "checkpoint": checkpoint})

    return run


class Shaped(A2CAgent):
    """Changes returns after the rollout and writes its update by itself."""

    def play_steps(self):
        batch = super().play_steps()
        stored = self.experience_buffer.tensor_dict
        rewards = stored["rewards"] - 0.05 * stored["obses"][..., :1].abs()
        last_values = self.get_values(self.obs)
        advantages = self.discount_values(
            self.dones.float(), last_values, stored["dones"].float(), stored["values"], rewards
        )
        batch["returns"] = swap_and_flatten01(advantages + stored["values"])
        return batch

    def calc_gradients(self, input_dict):
        super().calc_gradients(input_dict)
        assert len(self.train_result) == 9


class Assembled(A2CAgent):
    """Calls the constructor of the base alone and builds the rest, as agents of two levels do."""

    def __init__(self, base_name, params):
        A2CBase.__init__(self, base_name, params)
        self.actions_num = self.env_info["action_space"].shape[0]
        self.actions_low, self.actions_high = -torch.ones(self.actions_num), torch.ones(self.actions_num)
        self.bounds_loss_coef, self.clip_actions = None, True
        shapes = {"actions_num": self.actions_num, "input_shape": self.obs_shape, "num_seqs": self.num_actors}
        flags = {"normalize_value": self.normalize_value, "normalize_input": self.normalize_input}
        self.model = self.network.build({**shapes, **flags, "value_size": 1})
        self.init_rnn_from_model(self.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.last_lr, eps=1e-08)
        self.dataset = PPODataset(self.batch_size, self.minibatch_size, False, self.is_rnn, self.ppo_device, 4)
        self.value_mean_std = self.model.value_mean_std if self.normalize_value else None
        self.algo_observer.after_init(self)


class Choosing(DiscreteA2CAgent):
    """Adds nothing."""


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


@pytest.mark.parametrize(
    ("algo", "case"),
    [
        (Shaped, "continuous"),
        (Shaped, "continuous, moving advantage"),
        (Shaped, "continuous, linear schedule"),
        (Assembled, "continuous"),
        (Choosing, "discrete with masks"),
        (Choosing, "lstm"),
        (Choosing, "gru"),
        (Choosing, "central value"),
    ],
)
def test_an_interrupted_run_of_a_clients_agent_is_the_whole_one(algo, case, train):
    make_env, params = CASES[case]
    whole = load_checkpoint(last(train(make_env, params, "whole", algo=algo), 2 * N))
    half = last(train(make_env, params, "half", algo=algo, stop_fn="toy_env:stop_at_two"), N)
    torch.manual_seed(12345)
    agent = train(make_env, params, "resumed", str(half), algo=algo)
    assert isinstance(agent, OnPolicyAgent) and type(agent) is algo
    assert differences(load_checkpoint(last(agent, 2 * N)), whole) == ["/elapsed"]
    assert any(name.startswith("/model") for name in differences(load_checkpoint(half), whole))


@pytest.mark.parametrize("algo", [None, Choosing])
def test_the_central_value_alone_is_restored(algo, train):
    make_env, params = CASES["central value"]
    file = last(train(make_env, params, "first", algo=algo, max_epochs=2), 2)
    agent, saved = train(make_env, params, "second", algo=algo, max_epochs=1), load_checkpoint(file)
    before = copy.deepcopy(agent.get_weights())
    assert differences(agent.central_value.state_dict(), saved["assymetric_vf_nets"])
    agent.restore_central_value_function(str(file))
    assert differences(agent.central_value.state_dict(), saved["assymetric_vf_nets"]) == []
    assert differences(agent.get_weights(), before) == []


class HugeRewards(ToyEnv):
    """Rewards that are finite, but so large that the squared error of the critic is not."""

    def step(self, actions):
        step = super().step(actions)
        step.reward.fill_(9e14)
        return step


@pytest.mark.parametrize("algo", [None, Shaped, Assembled])
def test_updates_with_non_finite_gradients_are_counted(algo, train, capsys):
    config = {"reward_shaper": {"scale_value": 1.0}, "normalize_value": False, "critic_coef": 1e12}
    agent = train(HugeRewards, CASES["continuous"][1], "guarded", algo=algo, max_epochs=1, **config)
    assert agent.guard.skipped_updates == agent.mini_epochs_num * len(agent.dataset)
    assert "4 minibatches, which were skipped" in capsys.readouterr().err
    assert all(parameter.isfinite().all() for parameter in agent.model.parameters())
