"""Agents and players of RL Games 1.1, whose second argument is the configuration: ASE's and CALM's kind."""

import copy

import pytest
import torch
from torch import optim
from toy import ToyEnv, toy_params

from manybody.compat.rl_games.algos_torch import a2c_continuous, models, network_builder, players, torch_ext
from manybody.compat.rl_games.algos_torch.running_mean_std import RunningMeanStd
from manybody.compat.rl_games.common import a2c_common, datasets, env_configurations, vecenv
from manybody.compat.rl_games.common.player import BasePlayer
from manybody.compat.rl_games.torch_runner import Runner
from manybody.model_builder import MODEL_REGISTRY, NETWORK_REGISTRY


class Toy(vecenv.IVecEnv):
    def __init__(self, config_name, num_actors, **kwargs):
        self.env = ToyEnv()
        info = self.env.get_env_info()
        self.observation_space, self.action_space = info["observation_space"], info["action_space"]

    def reset(self):
        return self.env.reset()["obs"]

    def step(self, actions):
        step = self.env.step(actions)
        return step.obs["obs"], step.reward, step.done.byte(), {"time_outs": step.truncated}

    def get_env_info(self):
        return self.env.get_env_info()


class Builder(network_builder.A2CBuilder):
    class Network(network_builder.A2CBuilder.Network):
        pass

    def build(self, name, **kwargs):
        return Builder.Network(self.params, **kwargs)


class Model(models.ModelA2CContinuousLogStd):
    def build(self, config):
        return Model.Network(self.network_builder.build("old", **config))

    class Network(models.ModelA2CContinuousLogStd.Network):
        def __init__(self, a2c_network):
            super().__init__(a2c_network)


class Agent(a2c_continuous.A2CAgent):
    def __init__(self, base_name, config):
        a2c_common.A2CBase.__init__(self, base_name, config)
        self.is_discrete = False
        space = self.env_info["action_space"]
        self.actions_num = space.shape[0]
        self.actions_low, self.actions_high = torch.tensor(space.low), torch.tensor(space.high)
        self.bounds_loss_coef, self.clip_actions = (
            config.get("bounds_loss_coef"),
            config.get("clip_actions", True),
        )
        shape = torch_ext.shape_whc_to_cwh(self.obs_shape)
        self.model = self.network.build(
            {
                "actions_num": self.actions_num,
                "input_shape": shape,
                "num_seqs": self.num_actors,
                "value_size": 1,
            }
        )
        self.init_rnn_from_model(self.model)
        self.last_lr = float(self.last_lr)
        self.optimizer = optim.Adam(self.model.parameters(), self.last_lr)
        self.dataset = datasets.PPODataset(
            *(self.batch_size, self.minibatch_size, self.is_discrete, self.is_rnn),
            self.ppo_device,
            self.seq_len,
        )
        self.algo_observer.after_init(self)
        MADE.append(self)


class Player(players.PpoPlayerContinuous):
    def __init__(self, config):
        BasePlayer.__init__(self, config)
        self.network = config["network"]
        self.actions_num = self.action_space.shape[0]
        self.actions_low, self.actions_high = map(torch.tensor, (self.action_space.low, self.action_space.high))
        self.mask = [False]
        self.model = self.network.build({"actions_num": 2, "input_shape": self.obs_shape, "num_seqs": 8}).eval()
        self.is_rnn = self.model.is_rnn()
        self.running_mean_std = RunningMeanStd(self.obs_shape).eval()
        MADE.append(self)

    def restore(self, fn):
        checkpoint = torch_ext.load_checkpoint(fn)
        self.model.load_state_dict(checkpoint["model"])
        self.running_mean_std.load_state_dict(checkpoint["running_mean_std"])


MADE = []


@pytest.fixture
def runner(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(vecenv.vecenv_config, "OLD", None)
    monkeypatch.setitem(
        env_configurations.configurations,
        "old",
        {"vecenv_type": "OLD", "env_creator": lambda **_: Toy("", 8)},
    )
    vecenv.register("OLD", lambda name, actors, **kwargs: Toy(name, actors, **kwargs))
    runner = Runner()
    runner.algo_factory.register_builder("old", lambda **kwargs: Agent(**kwargs))
    runner.player_factory.register_builder("old", lambda **kwargs: Player(**kwargs))
    runner.model_builder.model_factory.register_builder("old", lambda network, **kwargs: Model(network))
    runner.model_builder.network_factory.register_builder("old", lambda **kwargs: Builder())
    yield runner
    MODEL_REGISTRY.pop("old")
    NETWORK_REGISTRY.pop("old")
    MADE.clear()


def test_train_and_play(runner):
    params = copy.deepcopy(toy_params(normalize_input=True, normalize_value=True, max_epochs=2, env_name="old"))
    for block in ("algo", "model", "network"):
        params[block]["name"] = "old"
    params["config"]["player"] = {"games_num": 4, "deterministic": True}
    runner.load({"params": params})
    runner.reset()
    runner.run({"train": True, "play": False, "checkpoint": None})
    agent = MADE[0]
    assert agent.running_mean_std.count == 1 + 2 * 64  # 2 epochs of 8 steps in 8 environments, each counted once
    assert agent.value_mean_std.count == 1 + 2 * 2 * 64  # old values and returns
    assert "running_mean_std.running_mean" not in agent.model.state_dict()
    agent.save("kept")

    runner.run({"train": False, "play": True, "checkpoint": "kept.pth"})
    player = MADE[1]
    obs = torch.randn(8, 3)
    agent.set_eval()
    expected = agent.preprocess_actions(agent.get_action_values({"obs": obs})["mus"])
    player.get_batch_size(obs, 1)
    torch.testing.assert_close(player.get_action(obs, True), expected)
