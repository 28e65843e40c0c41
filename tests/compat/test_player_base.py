"""``BasePlayer`` of RL Games' players: settings, environments, checkpoints, the loop."""

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from toy import ToyEnv
from toy_env import Fault, FaultyEnv
from toy_players import discrete, env_config, raw

from manybody.compat.environments import LegacyEnv, legacy_env
from manybody.compat.rl_games.algos_torch.players import PpoPlayerContinuous, PpoPlayerDiscrete
from manybody.compat.rl_games.common.player import BasePlayer
from manybody.config import ConfigError
from manybody.engine.checkpoint import CheckpointError, save_checkpoint
from manybody.engine.guard import NonFiniteError
from manybody.envs import registration
from manybody.envs.base import EnvSpec
from manybody.envs.env_configurations import configurations


@pytest.fixture
def toys(monkeypatch):
    """``env_name: toy`` is known."""
    monkeypatch.setattr(registration, "_creators", dict(registration._creators))
    registration.register("toy", lambda num_actors, seed, **config: ToyEnv(num_actors, **config))


# Settings


def test_both_spellings_and_devices():
    assert PpoPlayerContinuous(raw(**env_config())).is_determenistic
    for word in ("deterministic", "determenistic"):
        agent = PpoPlayerContinuous(raw(**env_config(player={word: False})))
        assert not agent.is_deterministic and not agent.is_determenistic
    agent.is_determenistic = True
    assert agent.is_deterministic
    params = raw(**env_config())
    params["config"]["device"] = params["config"].pop("device_name")
    assert PpoPlayerContinuous(params).device == torch.device("cpu")
    with pytest.raises(ConfigError, match="got 'cuda:77'"):
        PpoPlayerContinuous(raw(**env_config(device="cuda:77")))


def test_the_configuration_is_the_clients():
    params = raw(**env_config(private={"x": 1}, player={"games_num": 7, "n_game_life": 2}))
    agent = PpoPlayerContinuous(params)
    assert agent.config is params["config"] and agent.network is agent.config["network"]
    assert (agent.games_num, agent.n_game_life, agent.config["private"]) == (7, 2, {"x": 1})
    assert (agent.num_agents, agent.value_size, agent.max_steps) == (1, 1, 27000)


def test_how_environments_are_made(toys, monkeypatch):
    received = []
    foreign = LegacyEnv(ToyEnv(5))
    creator = {"vecenv_type": "X", "env_creator": lambda **kwargs: received.append(kwargs) or foreign}
    monkeypatch.setitem(configurations, "theirs", creator)
    agent = BasePlayer(raw(env_name="theirs", env_config={"seed": 3, "a": 1}, player={"env_config": {"a": 2}}))
    assert agent.env is foreign and received == [{"a": 2}] and agent.seed is None
    agent = BasePlayer(raw(env_name="theirs", env_config={"seed": 3, "a": 1}))
    assert received[1:] == [{"a": 1}] and agent.seed == 3
    for use_vecenv in (False, True):
        agent = BasePlayer(raw(num_actors=4, player={"use_vecenv": use_vecenv}))
        assert isinstance(agent.env, LegacyEnv) and agent.env.reset().shape == (4, 3)


# Checkpoints


def test_a_checkpoint_of_this_library(make_agent, toys, tmp_path):
    ours = make_agent()
    ours.start_training()
    save_checkpoint(tmp_path / "ours.pth", ours.get_full_state_weights())
    agent = PpoPlayerContinuous(raw(num_actors=4))
    agent.restore(str(tmp_path / "ours.pth"))
    state = ours.model.state_dict()
    assert sorted(agent.model.state_dict()) == sorted(state)
    assert all(torch.equal(value, state[name]) for name, value in agent.model.state_dict().items())
    narrow = PpoPlayerContinuous(raw({"mlp": {"units": [4], "activation": "elu", "initializer": {"name": "default"}}}))
    with pytest.raises(CheckpointError, match="differing parameters"):
        narrow.restore(str(tmp_path / "ours.pth"))


class Curriculum(ToyEnv):
    restores_exactly = False

    def set_env_state(self, state):
        self.level = state["level"]


def test_statistics_next_to_the_model_and_the_environments_state(tmp_path):
    agent = PpoPlayerContinuous(raw(**env_config(legacy_env(Curriculum()))))
    weights = agent.get_weights()["model"]
    beside = {
        "running_mean": torch.ones(3).double(),
        "running_var": torch.ones(3).double(),
        "count": torch.tensor(2.0),
    }
    kept = {name: value for name, value in weights.items() if not name.startswith("running_mean_std")}
    save_checkpoint(tmp_path / "x.pth", {"model": kept, "running_mean_std": beside, "env_state": {"level": 3}})
    agent.restore(str(tmp_path / "x.pth"))
    assert agent.model.running_mean_std.running_mean.tolist() == [1.0] * 3 and agent.env.level == 3
    whole = PpoPlayerContinuous(raw(**env_config(legacy_env(ToyEnv()))))
    whole.restore(str(tmp_path / "x.pth"))  # a state in the middle of episodes would have "steps"


# A player of a client


class OwnPlayer(PpoPlayerContinuous):
    """As IsaacGymEnvs' CommonPlayer: calls BasePlayer's constructor alone, builds its own nets, has its own loop."""

    def __init__(self, params):
        BasePlayer.__init__(self, params)
        self.network = self.config["network"]
        self.normalize_input = self.config["normalize_input"]
        self.normalize_value = self.config["normalize_value"]
        self.mask = [False]
        self.actions_num = self.action_space.shape[0]
        self.actions_low = torch.from_numpy(self.action_space.low.copy()).float().to(self.device)
        self.actions_high = torch.from_numpy(self.action_space.high.copy()).float().to(self.device)
        config = {
            "actions_num": self.actions_num,
            "input_shape": self.obs_shape,
            "num_seqs": self.num_agents,
            "value_size": self.env_info.get("value_size", 1),
            "normalize_value": self.normalize_value,
            "normalize_input": self.normalize_input,
        }
        self.model = self.network.build(config)
        self.model.to(self.device)
        self.model.eval()
        self.is_rnn = self.model.is_rnn()

    def run(self):
        is_determenistic = self.is_determenistic
        obs_dict = self.env_reset(self.env)
        self.batch_size = self.get_batch_size(obs_dict["obs"], 1)
        self.init_rnn()
        cr = torch.zeros(self.batch_size, dtype=torch.float32)
        for _ in range(3):
            obs, _ = self.env.reset_done()
            obs_dict = self.obs_to_torch(obs)
            action = self.get_action(obs_dict, is_determenistic)
            obs_dict, r, _, info = self.env_step(self.env, action)
            cr += r
        return cr, info

    def obs_to_torch(self, obs):
        return {"obs": super().obs_to_torch(obs)}

    def get_action(self, obs_dict, is_determenistic=False):
        return super().get_action(obs_dict["obs"], is_determenistic)


def test_a_player_with_a_loop_of_its_own(toys, tmp_path):
    player = OwnPlayer(raw(num_actors=4))
    save_checkpoint(tmp_path / "x.pth", player.get_weights())
    player.restore(str(tmp_path / "x.pth"))
    player.reset()
    rewards, infos = player.run()
    assert rewards.shape == (4,) and player.has_batch_dimension
    assert infos["terminate"].shape == (4,)


def test_a_configuration_of_rl_games_1_1():
    built = SimpleNamespace()
    player = BasePlayer({**raw(**env_config())["config"], "network": built})
    assert player.config["network"] is built


# The loop


def test_every_environment_plays_as_many_games(toys, capsys):
    player = PpoPlayerContinuous(raw(num_actors=2, env_config={"length": 2}, player={"games_num": 3}))
    with torch.no_grad():
        player.model.a2c_network.mu.weight.zero_()
        player.model.a2c_network.mu.bias.zero_()
    result = player.run()
    # Environment 0 plays two games of 2 steps. Environment 1 starts at its last step: one game of 1 step.
    first = [1 - np.square(np.sin(1.3 * t + np.arange(2)) / 2).mean() for t in (0, 1)]
    second = 1 - np.square(np.sin(0.7 + 1.3 + np.arange(2)) / 2).mean()
    total = 2 * sum(first) + second
    assert result.games == 3 and result.mean_steps == pytest.approx(5 / 3)
    assert result.mean_reward == pytest.approx(total / 3, abs=1e-5)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"reward: {second:.2f} steps: 1.0", f"reward: {sum(first):.2f} steps: 2.0"]
    assert lines[-1].startswith("av reward: ") and " av steps: 1.66" in lines[-1]
    assert float(lines[-2]) == pytest.approx(total, abs=1e-5)


def test_a_single_gymnasium_environment(monkeypatch, capsys):
    creator = {"vecenv_type": "RAY", "env_creator": lambda **kwargs: gymnasium.make("CartPole-v1", **kwargs)}
    monkeypatch.setitem(configurations, "cart", creator)
    params = discrete(spaces.Discrete(2), env_name="cart", player={"games_num": 3, "print_stats": False})
    del params["config"]["env_info"], params["config"]["vec_env"]
    result = PpoPlayerDiscrete(params).run()
    assert result.games == 3 and result.mean_reward == result.mean_steps > 1
    assert len(capsys.readouterr().out.splitlines()) == 2


class MaskedEnv(ToyEnv):
    """Games of one step, and masks that allow one action."""

    def __init__(self):
        super().__init__(2, length=1)
        self.spec = EnvSpec(self.spec.observation_space, spaces.Discrete(3))

    def get_action_masks(self):
        return torch.tensor([[False, True, False]] * 2)

    def step(self, actions):
        assert actions.tolist() == [1, 1]
        return super().step(torch.zeros(2, 2))


def test_masks_and_lives_in_the_loop(capsys):
    env = legacy_env(MaskedEnv())
    params = discrete(spaces.Discrete(3), player={"games_num": 4, "n_game_life": 2})
    params["config"] |= {"vec_env": env, "env_info": env.get_env_info()}
    player = PpoPlayerDiscrete(params)
    assert player.run().games == 8
    out = capsys.readouterr().out
    assert out.count("steps: 1.0\n") == 4  # both environments end in every step
    assert out.endswith(" av steps: 2.0\n")  # two episodes of one step are a game


@pytest.mark.parametrize("key", ["obs", "reward"])
@pytest.mark.parametrize("single", [True, False])
def test_non_finite_values_are_reported_and_left_out(key, single, capsys):
    """Of arrays and of tensors, of one environment and of many: step 3 is one of a first game of five steps."""
    faulty = FaultyEnv(Fault(key, np.nan, row=0, first=2, last=2), num_envs=1 if single else 8)
    env = legacy_env(faulty)
    player = PpoPlayerContinuous(raw(**env_config(env, player={"games_num": 2 if single else 16})))
    result = player.run()
    out, err = capsys.readouterr()
    assert f"toy: {key} of row 0 at step 3: got nan; expected finite" in err and err.count("\n") == 1
    assert "1 game with non-finite values left out" in out and "nan" not in out
    assert result.games == (1 if single else 15)


def test_only_non_finite_values_have_no_mean():
    faulty = FaultyEnv(*(Fault("reward", np.inf, row=row, first=0, last=10**6) for row in range(8)))
    player = PpoPlayerContinuous(raw(**env_config(legacy_env(faulty), player={"games_num": 16})))
    with pytest.raises(NonFiniteError, match="All 16 games"):
        player.run()


def test_policies_that_are_not_finite_stop_playing():
    player = PpoPlayerContinuous(raw(**env_config(legacy_env(ToyEnv()))))
    player.model.a2c_network.mu.weight.data[0, 0] = np.nan
    with pytest.raises(NonFiniteError, match="action of row 0 at step 1"):
        player.run()
    choosing = PpoPlayerDiscrete(discrete(spaces.Discrete(3)))
    choosing.model.a2c_network.logits.bias.data[0] = np.nan
    with pytest.raises(NonFiniteError, match="action of row 0 at step 1"):
        choosing.run()


def test_a_checkpoint_that_is_not_finite_is_refused(tmp_path):
    player = PpoPlayerContinuous(raw(**env_config()))
    weights = player.get_weights()
    weights["model"]["a2c_network.sigma"][0] = np.nan
    save_checkpoint(tmp_path / "bad.pth", weights)
    with pytest.raises(CheckpointError, match=r"bad\.pth: a2c_network\.sigma: got 1 of 2 values not finite"):
        player.restore(str(tmp_path / "bad.pth"))
