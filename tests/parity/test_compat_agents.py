"""The compatibility package's agents and those of RL Games 1.6.5 reach the same weights from the same rollouts."""

import contextlib
import io

import gymnasium
import pytest
import torch
from rl_games_agents import RlGamesEnv, complete_params, create, largest_difference, rl_games_params
from toy import ToyEnv, toy_params

from manybody.compat.rl_games.algos_torch.a2c_continuous import A2CAgent
from manybody.compat.rl_games.common.algo_observer import DefaultAlgoObserver


@pytest.fixture
def make_client(tmp_path):
    """``make_client(**config)``: the compatibility package's agent on eight toy environments."""

    def make(**config):
        env = RlGamesEnv(ToyEnv())
        return create(A2CAgent, complete_params(toy_params(**config), DefaultAlgoObserver(), env, tmp_path / "ours"))

    return make


CASES = [
    {"mini_epochs": 1, "normalize_input": True},
    {"mini_epochs": 3, "normalize_input": False},  # otherwise 1.6.5 counts each sample three times
    {"mini_epochs": 3, "normalize_input": False, "schedule_type": "standard", "use_smooth_clamp": True},
    {
        "mini_epochs": 2,
        "normalize_input": False,
        "truncate_grads": False,
        "bound_loss_type": "regularisation",
    },
    {"mini_epochs": 2, "normalize_input": False, "clip_value": True, "normalize_value": False},
    {"mini_epochs": 1, "normalize_input": True, "mixed_precision": True},  # float32 on a CPU in RL Games
]


@pytest.mark.parametrize("config", CASES)
def test_three_epochs_of_training_are_equal(config, make_client, make_reference):
    agents = make_client(**config), make_reference(**config)
    agents[1].model.load_state_dict(agents[0].model.state_dict())
    for agent in agents:
        torch.manual_seed(1)
        agent.init_tensors()
        agent.obs = agent.env_reset()
        for _ in range(3):
            agent.update_epoch()
            agent.train_epoch()
    assert largest_difference(agents[0].model, agents[1].model) < 1e-6
    assert agents[0].last_lr == pytest.approx(agents[1].last_lr, rel=1e-6)
    assert agents[0].game_rewards.get_mean() == pytest.approx(agents[1].game_rewards.get_mean(), rel=1e-5)


def test_each_rollout_updates_the_statistics_once(make_client):
    agent = make_client(mini_epochs=3, normalize_input=True)
    agent.init_tensors()
    agent.obs = agent.env_reset()
    agent.update_epoch()
    agent.train_epoch()
    assert agent.model.running_mean_std.count == 1 + 64  # 8 environments, 8 steps


@pytest.mark.parametrize("subclass", [False, True])
def test_the_observer_is_called_once_per_epoch(subclass, make_client):
    """A subclass may override ``write_stats`` and call the base method."""
    agent, epochs = make_client(max_epochs=3), []
    agent.algo_observer.after_print_stats = lambda frame, epoch, seconds: epochs.append(epoch)
    if subclass:

        class WritesStats(A2CAgent):
            def write_stats(self, *stats):
                super().write_stats(*stats)

        agent.__class__ = WritesStats
    with contextlib.redirect_stdout(io.StringIO()):
        assert agent.train()[1] == 3
    assert epochs == [1, 2, 3]


@pytest.mark.parametrize("kind", ["discrete", "lstm", "central value"])
def test_two_epochs_of_other_kinds_are_equal(kind, tmp_path):
    """Train on CartPole with the same seeds."""
    from rl_games.algos_torch.a2c_discrete import DiscreteA2CAgent as Reference

    from manybody.compat.rl_games.algos_torch.a2c_discrete import DiscreteA2CAgent

    class CartPoles:
        """Four CartPoles as RL Games' environments, with states for a central value."""

        def __init__(self):
            self.envs = gymnasium.make_vec("CartPole-v1", 4, vectorization_mode="sync")
            self.env = None

        def reset(self):
            return self._obs(self.envs.reset(seed=1)[0])

        def step(self, actions):
            obs, rewards, ended, cut, _ = self.envs.step(actions.numpy())
            return (
                self._obs(obs),
                torch.tensor(rewards).float(),
                torch.tensor(ended | cut),
                {"time_outs": torch.tensor(cut)},
            )

        def _obs(self, obs):
            obs = torch.tensor(obs)
            return {"obs": obs, "states": obs[:, :2]} if kind == "central value" else obs

        def get_env_info(self):
            space = gymnasium.spaces.Box(-9.0, 9.0, (4,))
            info = {"observation_space": space, "action_space": gymnasium.spaces.Discrete(2), "agents": 1}
            return info | {"state_space": gymnasium.spaces.Box(-9.0, 9.0, (2,))}

        def set_train_info(self, *_):
            pass

        get_env_state = get_number_of_agents = set_train_info

    params = toy_params(mini_epochs=1, num_actors=4, minibatch_size=16, horizon_length=8, seq_length=4)
    params["network"]["space"] = {"discrete": {}}
    params["model"]["name"] = "discrete_a2c"
    if kind == "lstm":
        params["network"]["rnn"] = {"name": "lstm", "units": 8, "layers": 1, "before_mlp": False}
    if kind == "central value":
        params["config"]["central_value_config"] = {
            "minibatch_size": 16,
            "mini_epochs": 2,
            "learning_rate": 1e-3,
            "clip_value": False,
            "normalize_input": False,
            "network": {"name": "actor_critic", "central_value": True, "mlp": params["network"]["mlp"]},
        }
    agents = (
        create(DiscreteA2CAgent, complete_params(params, DefaultAlgoObserver(), CartPoles(), tmp_path / "ours")),
        create(Reference, rl_games_params(params, CartPoles(), tmp_path / "reference")),
    )
    agents[1].model.load_state_dict(agents[0].model.state_dict())
    if kind == "central value":
        agents[1].central_value_net.load_state_dict(agents[0].central_value_net.state_dict())
    for agent in agents:
        torch.manual_seed(1)
        agent.init_tensors()
        agent.obs = agent.env_reset()
        for _ in range(2):
            agent.update_epoch()
            agent.train_epoch()
    assert largest_difference(agents[0].model, agents[1].model) < 1e-6
    if kind == "central value":
        assert largest_difference(agents[0].central_value_net, agents[1].central_value_net) < 1e-6
