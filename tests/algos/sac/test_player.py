"""The player acts as the agent does."""

import pytest
import torch
from gymnasium import spaces
from toy import ToyEnv
from toy_sac import sac_params

from manybody.algos.sac import SACAgent, SACPlayer
from manybody.config import parse_params
from manybody.engine.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from manybody.envs.base import EnvSpec


class Uneven(ToyEnv):
    """The toy environment with bounds that are not symmetric."""

    def __init__(self):
        super().__init__()
        low, high = torch.tensor([-2.0, 0.0]).numpy(), torch.tensor([2.0, 10.0]).numpy()
        self.spec = EnvSpec(self.spec.observation_space, spaces.Box(low, high))


@pytest.fixture
def saved(make_sac, tmp_path):
    agent = make_sac(Uneven(), num_warmup_frames=0, max_epochs=3)
    agent.train()
    save_checkpoint(tmp_path / "a.pth", agent.get_full_state_weights())
    return agent, str(tmp_path / "a.pth")


def test_the_mode_in_the_units_of_the_action_space(saved):
    """RL Games 1.6.5 clamps to the smallest and largest of all bounds instead (defect 8a)."""
    agent, file = saved
    player = SACPlayer(parse_params(sac_params()), vec_env=Uneven())
    player.restore(file)
    obs = agent.env_reset()
    action = player.get_action(obs, is_deterministic=True)
    agent.model.eval()
    mode = agent.model.actor(agent.model.norm_obs(obs["obs"])).mode()
    torch.testing.assert_close(action, mode * torch.tensor([2.0, 5.0]) + torch.tensor([0.0, 5.0]))
    torch.manual_seed(1)
    sample = player.get_action(obs)
    assert not torch.equal(sample, action)
    assert (sample >= torch.tensor([-2.0, 0.0])).all() and (sample <= torch.tensor([2.0, 10.0])).all()


def test_a_whole_game(saved):
    player = SACPlayer(parse_params(sac_params(player={"games_num": 16})), vec_env=Uneven())
    player.restore(saved[1])
    result = player.run(quiet=True)
    # Row i begins at step i % 5: first games of 5, 4, 3, 2, 1, 5, 4, 3 steps, then eight of 5: 67 steps.
    assert result.games == 16 and result.mean_steps == 67 / 16


def test_another_networks_checkpoint_is_refused(saved):
    player = SACPlayer(parse_params(sac_params({"mlp": {"units": [4], "activation": "relu"}})), vec_env=Uneven())
    with pytest.raises(CheckpointError, match=r"sac_network\.actor\.trunk\.0\.weight has shape"):
        player.restore(saved[1])


def test_another_algorithms_checkpoint_is_refused_by_its_name(saved, tmp_path):
    file = str(tmp_path / "ppo.pth")
    save_checkpoint(file, load_checkpoint(saved[1]) | {"algo": "a2c_continuous"})
    player = SACPlayer(parse_params(sac_params()), vec_env=Uneven())
    with pytest.raises(CheckpointError, match="algo: got a checkpoint of 'a2c_continuous'; expected one of 'sac'"):
        player.restore(file)
    agent = SACAgent("run", parse_params(sac_params()), vec_env=Uneven())
    with pytest.raises(CheckpointError, match="a checkpoint of 'a2c_continuous'"):
        agent.restore(file)
