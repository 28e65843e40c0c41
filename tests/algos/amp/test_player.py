"""The player tells style and, for a humanoid, how far its motion is from the clip."""

import re

import pytest
import torch
from toy_amp import OrbitEnv, orbit_params

from manybody.engine.checkpoint import save_checkpoint
from manybody.envs.base import EnvError
from manybody.motion.imitation import still_error
from manybody.runner import build_runner
from manybody.tasks import make


def play(env, tmp_path, capsys, mapping):
    runner = build_runner()
    params = runner.parse({"params": mapping}, training=False)
    player = runner.player_factory.create("amp_continuous", params=params, vec_env=env)
    save_checkpoint(tmp_path / "a.pth", {"model": player.model.state_dict()})
    player.restore(str(tmp_path / "a.pth"))
    result = player.run()
    return player, result, capsys.readouterr().out


def test_the_style_reward_is_the_mean_over_all_steps(tmp_path, capsys):
    env = OrbitEnv(4, length=6)
    player, result, said = play(env, tmp_path, capsys, orbit_params(4, player={"games_num": 4}))
    assert result.games == 4
    with torch.no_grad():  # a discriminator that says 0 of everything pays 2 log 2 = 1.386
        for weight in player.model.a2c_network.get_disc_weights():
            weight.zero_()
    player.run()
    said = capsys.readouterr().out
    assert "style reward: 1.386 per step" in said and "imitation error" not in said


def test_a_standing_figure_is_far_from_a_run(tmp_path, capsys):
    """Standing upright with the arms out: hands and feet are some decimetres from where a runner has them."""
    cfg = {"env": {"motion_file": "run", "stateInit": "Default", "episodeLength": 20}}
    env = make("HumanoidAMP", num_envs=2, cfg=cfg)
    mapping = orbit_params(2, player={"games_num": 2})
    player, _, said = play(env, tmp_path, capsys, mapping)
    error = float(re.search(r"imitation error: (\d\.\d+) m", said).group(1))
    assert 0.1 < error < 0.5
    still = float(re.search(r"over \d+ frames \(a figure that stands still: (\d\.\d+) m\)", said).group(1))
    assert still == pytest.approx(still_error(env.reference_positions()[0]), abs=1e-3)
    assert 0.05 < still < error
    # The clip against itself, from its middle on: nothing but the difference of the rates.
    player.seen = list(env.reference_positions()[0][30:70].unsqueeze(1))
    player.alive = torch.tensor([40])
    assert player.imitation_error() < 1e-5


def test_playing_tells_what_an_environment_does_not_show(tmp_path, capsys):
    class Silent(OrbitEnv):
        def step(self, actions):
            return super().step(actions)._replace(extras={})

    with pytest.raises(EnvError, match=r"orbit: step\(\) extras\['amp_obs'\]: got None; expected a tensor \(4, 4\)"):
        play(Silent(4), tmp_path, capsys, orbit_params(4, player={"games_num": 4}))
