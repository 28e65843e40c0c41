"""SAC and RL Games 1.6.5: equal weights, batches and random numbers give equal updates; its checkpoints load."""

import contextlib
import copy
import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from rl_games_agents import RlGamesEnv, create, largest_difference, rl_games_params
from toy import ToyEnv
from toy_sac import sac_params

from manybody.algos.sac import SACAgent, SACPlayer
from manybody.config import parse_params
from manybody.data.replay import ReplayBatch
from manybody.launch.rl_games_checkpoint import as_rl_games


@pytest.fixture
def make_reference_sac(tmp_path):
    """``make_reference_sac(bound=..., **config)``: RL Games' ``SACAgent`` on eight toys, actions to +-bound."""

    def make(network=None, bound=2.0, **config):
        from rl_games.algos_torch.sac_agent import SACAgent as ReferenceAgent

        env = RlGamesEnv(ToyEnv())
        action_space = spaces.Box(np.float32(-bound), np.float32(bound), (2,))
        env_info = env.get_env_info() | {"action_space": action_space}
        params = rl_games_params(sac_params(network, **config), env, tmp_path, env_info=env_info)
        agent = create(ReferenceAgent, params)
        agent.model.eval()  # otherwise every sampled batch updates its statistics
        return agent

    return make


def make_ours(network=None, **config):
    torch.manual_seed(0)
    agent = SACAgent("run", parse_params(sac_params(network, **config)), vec_env=ToyEnv())
    agent.set_train(collecting=False)
    return agent


def random_batch(seed):
    draw = torch.Generator().manual_seed(seed)
    obs, next_obs = torch.randn(2, 32, 3, generator=draw)
    action = 2.0 * torch.rand(32, 2, generator=draw) - 1.0
    reward, dice = torch.randn(2, 32, generator=draw)
    return obs, action, reward, next_obs, dice > 1.0


def feed(agent, ours, batch):
    """Make the agent's replay buffer return ``batch`` in the form of its library, with actions in [-1, 1]."""
    obs, action, reward, next_obs, done = batch
    if ours:
        one = ReplayBatch(obs, action, reward, next_obs, 0.9 * ~done, torch.ones(32, dtype=torch.bool))
        agent.replay_buffer = SimpleNamespace(sample=lambda *_: one)
    else:
        one = (obs, action, reward.unsqueeze(1), next_obs, done.unsqueeze(1))
        agent.replay_buffer = SimpleNamespace(sample=lambda _: one)


VARIANTS = {
    "as configured": {},
    "actor updated in every step": {"policy_frequency": 1},
    "no clipping": {"critic_grad_clip": 0.0},
    "hard clipping": {"critic_grad_clip": 0.01},
    "fixed temperature": {"learnable_temperature": False},
    "another target entropy": {"target_entropy_coef": 0.3},
    "betas": {"actor_betas": [0.5, 0.9], "critic_betas": [0.6, 0.95], "alphas_betas": [0.7, 0.8]},
}


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_ten_updates_are_equal(make_reference_sac, settings):
    """RL Games' actions are within +-1, so that its critics receive the same actions as this library's."""
    from manybody.engine.metrics import EpochMeans

    ours, reference = make_ours(**settings), make_reference_sac(bound=1.0, **settings)
    start = copy.deepcopy(ours.model.state_dict())
    reference.model.load_state_dict(start)
    ours.means = EpochMeans()
    for number in range(10):
        torch.manual_seed(number)
        feed(ours, True, random_batch(number))
        ours.update()
        torch.manual_seed(number)
        feed(reference, False, random_batch(number))
        reference.update(0)
    assert largest_difference(ours.model, reference.model) <= 2e-6
    assert ours.alpha.item() == pytest.approx(reference.alpha.item(), rel=1e-6)
    moved = max((start[name] - x).abs().max().item() for name, x in ours.model.state_dict().items())
    assert moved > 5e-3  # the comparison can fail


def test_losses_of_exported_critics_are_equal(make_reference_sac):
    """RL Games' critics receive actions within +-2; the export converts the critics."""
    ours, reference = make_ours(), make_reference_sac()
    reference.set_weights(as_rl_games({"algo": "sac", **ours.learner_state()}))
    obs, action, reward, next_obs, done = random_batch(3)
    batch = ReplayBatch(obs, action, reward, next_obs, 0.9 * ~done, torch.ones(32, dtype=torch.bool))
    torch.manual_seed(1)
    mine = ours.critic_losses(batch, torch.randn(32, 2), ours.alpha)
    torch.manual_seed(1)
    other = reference.update_critic(obs, 2.0 * action, reward.unsqueeze(1), next_obs, ~done.unsqueeze(1), 0)
    torch.testing.assert_close(torch.stack(mine).detach(), torch.stack(other))


def test_the_target_critics_of_rl_games_are_not_copies(make_reference_sac):
    """RL Games initialises the targets independently; this library copies them (tests/algos/sac/test_agent.py)."""
    network = {"mlp": {"units": [16], "activation": "relu", "initializer": {"name": "orthogonal_initializer"}}}
    net = make_reference_sac(network).model.sac_network
    assert not torch.equal(net.critic.Q1[0].weight, net.critic_target.Q1[0].weight)


@pytest.fixture
def saved(make_reference_sac, tmp_path):
    reference = make_reference_sac()
    reference.model.running_mean_std.running_mean.fill_(0.3)
    reference.epoch_num, reference.frame = 7, 224
    with contextlib.redirect_stdout(io.StringIO()):
        reference.save(str(tmp_path / "reference"))
    return reference, str(tmp_path / "reference.pth")


def test_a_player_restores_an_rl_games_checkpoint(saved):
    reference, file = saved
    player = SACPlayer(parse_params(sac_params()), vec_env=ToyEnv())
    player.restore(file)
    obs = torch.randn(8, 3)
    with torch.no_grad():
        expected = reference.act(obs, (2,), sample=False)
        torch.testing.assert_close(player.get_action({"obs": obs}, is_deterministic=True), expected)


def test_training_resumes_from_an_rl_games_checkpoint(saved, capsys):
    reference, file = saved
    ours = SACAgent("run", parse_params(sac_params(max_epochs=9)), vec_env=ToyEnv(), checkpoint=file)
    stderr = capsys.readouterr().err
    assert stderr.count("the critics are converted to actions in [-1, 1]") == 1
    assert largest_difference(ours.model.sac_network.actor, reference.model.sac_network.actor) == 0.0
    obs, action, *_ = random_batch(0)
    for part in ("critic", "critic_target"):
        expected = torch.cat(getattr(reference.model, part)(obs, 2.0 * action), dim=1)
        torch.testing.assert_close(torch.stack(getattr(ours.model, part)(obs, action), dim=1), expected)
    assert (ours.epoch_num, ours.frame) == (7, 224)
    ours.train()
    assert ours.epoch_num == 9 and ours.update_counter == 1  # after 64 transitions: 2 epochs of 4 steps of 8


def test_the_temperature_of_a_version_2_checkpoint_is_restored(saved):
    reference, _ = saved
    ours = make_ours()
    state = reference.get_full_state_weights() | {"log_alpha": torch.tensor([-3.0])}
    ours.set_full_state_weights(state)
    assert ours.log_alpha.item() == -3.0
