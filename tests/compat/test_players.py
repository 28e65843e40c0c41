"""RL Games' players act as in RL Games, used as its clients use them."""

import contextlib
import copy
import io

import numpy as np
import pytest
import torch
from gymnasium import spaces
from toy import ToyEnv
from toy_players import LSTM, Box, discrete, env_config, raw, sac

from manybody.compat.environments import legacy_env
from manybody.compat.rl_games.algos_torch.players import PpoPlayerContinuous, PpoPlayerDiscrete, SACPlayer
from manybody.compat.rl_games.common.player import BasePlayer
from manybody.engine.checkpoint import save_checkpoint
from manybody.envs import registration
from manybody.envs.base import EnvError


@pytest.fixture
def toys(monkeypatch):
    """``env_name: toy`` is known."""
    monkeypatch.setattr(registration, "_creators", dict(registration._creators))
    registration.register("toy", lambda num_actors, seed, **config: ToyEnv(num_actors, **config))


# Step by step


@pytest.mark.parametrize("network", [{}, LSTM])
def test_step_by_step_as_isaac_lab_does(network, toys, tmp_path):
    agent = PpoPlayerContinuous(raw(network, num_actors=4))
    save_checkpoint(tmp_path / "x.pth", agent.get_weights())
    agent.restore(str(tmp_path / "x.pth"))
    agent.reset()
    env = legacy_env(ToyEnv(4, length=3))
    with torch.inference_mode():
        obs = env.reset()
        assert agent.get_batch_size(obs, 1) == agent.batch_size == 4
        if agent.is_rnn:
            agent.init_rnn()
            assert [tuple(state.shape) for state in agent.states] == [(1, 4, 6)] * 2
        for _ in range(4):
            obs = agent.obs_to_torch(obs)
            actions = agent.get_action(obs, is_deterministic=agent.is_deterministic)
            assert actions.shape == (4, 2) and actions.abs().max() <= 2.0
            obs, _, dones, _ = env.step(actions)
            if agent.is_rnn:
                for state in agent.states:
                    state[:, dones, :] = 0.0
                    assert (state[:, dones] == 0).all() and (state[:, ~dones] != 0).all()
    assert agent.is_rnn == bool(network)


def test_a_forgotten_episode_no_longer_matters(toys):
    agent = PpoPlayerContinuous(raw(LSTM))
    agent.get_batch_size(torch.zeros(2, 3), 1)
    agent.init_rnn()
    fresh = agent.get_action(torch.ones(2, 3), True)
    moved = agent.get_action(torch.ones(2, 3), True)
    assert not torch.allclose(fresh, moved)
    agent.states[0][:, 0, :] = 0.0
    agent.states[1][:, 0, :] = 0.0
    again = agent.get_action(torch.ones(2, 3), True)
    torch.testing.assert_close(again[0], fresh[0])
    assert not torch.allclose(again[1], fresh[1])


def test_a_single_environment(toys):
    agent = PpoPlayerContinuous(raw(**env_config()))
    assert agent.get_batch_size(torch.zeros(3), 1) == 1 and not agent.has_batch_dimension
    alone = agent.get_action(torch.full((3,), 0.5), True)
    assert alone.shape == (2,)
    agent.get_batch_size(torch.zeros(5, 3), 1)
    torch.testing.assert_close(agent.get_action(torch.full((5, 3), 0.5), True)[4], alone)


def test_actions_are_mapped_and_kept_in_bounds(toys):
    agent = PpoPlayerContinuous(raw(**env_config()))
    agent.has_batch_dimension = True
    with torch.no_grad():
        agent.model.a2c_network.mu.weight.zero_()
        agent.model.a2c_network.mu.bias.copy_(torch.tensor([0.25, -3.0]))
    # From [-1, 1] to [-2, 2]: 0.25 doubles, -3 is cut off at -1 first.
    assert agent.get_action(torch.zeros(1, 3), True).tolist() == [[0.5, -2.0]]
    agent.clip_actions = False
    assert agent.get_action(torch.zeros(1, 3), True).tolist() == [[0.25, -3.0]]


def test_spaces_of_legacy_gym(toys):
    box = Box(-1.0, 1.0, (3,)), Box(-4.0, 2.0, (2,))
    agent = PpoPlayerContinuous(raw(**env_config(observation_space=box[0], action_space=box[1])))
    assert (agent.actions_num, agent.obs_shape) == (2, (3,))
    assert agent.actions_low.tolist() == [-4.0] * 2
    assert agent.get_action(torch.zeros(3), True).shape == (2,)
    parts = {"a": box[0], "b": Box(0, 1, (2, 2))}
    params = raw(**env_config(observation_space=type("Dict", (), {"spaces": parts})()))
    player = BasePlayer(params)
    assert player.obs_shape == {"a": (3,), "b": (2, 2)}
    obs = player.obs_to_torch({"obs": {"a": np.zeros((7, 3)), "b": np.zeros((7, 2, 2), np.uint8)}})
    assert player.get_batch_size(obs, 1) == 7
    assert obs["a"].dtype == torch.float32 and obs["b"].dtype == torch.uint8
    assert player._preproc_obs({"b": obs["b"] + 255})["b"].tolist() == np.ones((7, 2, 2)).tolist()


# Discrete actions


@pytest.mark.parametrize(
    ("space", "sizes"),
    [
        (spaces.Discrete(3), (3,)),
        (spaces.Tuple([spaces.Discrete(3), spaces.Discrete(2)]), (3, 2)),
        (spaces.MultiDiscrete([3, 2]), (3, 2)),
    ],
)
def test_discrete_actions_with_and_without_masks(space, sizes):
    agent = PpoPlayerDiscrete(discrete(space))
    obs = torch.randn(6, 3)
    agent.get_batch_size(obs, 1)
    shape = (6,) if len(sizes) == 1 else (6, len(sizes))
    for deterministic in (False, True):
        assert agent.get_action(obs, deterministic).shape == shape
        allowed = torch.zeros(6, sum(sizes), dtype=torch.bool)
        allowed[:, 2] = True
        allowed[:, 3:4] = True  # the first choice of the second head
        actions = agent.get_masked_action(obs, allowed, deterministic)
        assert actions.reshape(6, -1).tolist() == [[2, 0][: len(sizes)]] * 6
    alone = PpoPlayerDiscrete(discrete(space))
    mask = [np.array([0, 0, 1]), np.array([0, 1])][: len(sizes)]
    assert alone.get_masked_action(torch.zeros(3), mask).reshape(-1).tolist() == [2, 1][: len(sizes)]


def test_a_row_without_allowed_actions():
    agent = PpoPlayerDiscrete(discrete(spaces.Discrete(3)))
    agent.has_batch_dimension = True
    with pytest.raises(EnvError, match="row 1 allow no action"):
        agent.get_masked_action(torch.zeros(2, 3), [[1, 0, 0], [0, 0, 0]])


# Beside RL Games


@pytest.fixture(scope="module")
def theirs():
    options = copy.copy(torch._tensor_str.PRINT_OPTS)
    with contextlib.redirect_stdout(io.StringIO()):
        from rl_games.algos_torch import players
    torch._tensor_str.PRINT_OPTS = options
    return players


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(
    ("player", "params"),
    [
        ("PpoPlayerContinuous", lambda: raw(**env_config())),
        ("PpoPlayerContinuous", lambda: raw(LSTM, **env_config(clip_actions=False))),
        ("PpoPlayerDiscrete", lambda: discrete(spaces.Discrete(3))),
        ("PpoPlayerDiscrete", lambda: discrete(spaces.Tuple([spaces.Discrete(3), spaces.Discrete(2)]))),
        ("SACPlayer", sac),
    ],
)
def test_acts_as_rl_games(player, params, batch, theirs, tmp_path, capsys):
    """The same file, the same observations: the same actions."""
    torch.manual_seed(1)
    peer = getattr(theirs, player)(params())
    state = {"model": peer.model.state_dict()}
    if player == "SACPlayer":
        state = {
            part: getattr(peer.model.sac_network, part).state_dict() for part in ("actor", "critic", "critic_target")
        }
        state["running_mean_std"] = peer.model.running_mean_std.state_dict()
    torch.save(state, tmp_path / "theirs.pth")
    ours = {
        "PpoPlayerContinuous": PpoPlayerContinuous,
        "PpoPlayerDiscrete": PpoPlayerDiscrete,
        "SACPlayer": SACPlayer,
    }
    agent = ours[player](params())
    for one in (agent, peer):
        one.restore(str(tmp_path / "theirs.pth"))
        assert one.get_batch_size(torch.zeros(6, 3) if batch else torch.zeros(3), 1) == (6 if batch else 1)
        one.init_rnn()
    for _ in range(3):
        obs = torch.randn(6, 3) if batch else torch.randn(3)
        expected = peer.get_action(obs.clone(), True)
        if player == "SACPlayer":
            expected = 2.0 * expected  # RL Games' player leaves out the mapping from [-1, 1] to [-2, 2]
        result = agent.get_action(obs, True)
        assert result.shape == expected.shape
        torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-5)
