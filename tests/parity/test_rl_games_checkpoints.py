"""Files that RL Games 1.6.5 wrote are played and trained on."""

import contextlib
import io

import pytest
import torch
from toy import ToyEnv, toy_params

from manybody.algos.a2c import PpoPlayerContinuous
from manybody.config import parse_params


@pytest.fixture
def saved(make_theirs, tmp_path):
    """RL Games' agent after three epochs, and the file that it saved."""
    theirs = make_theirs()
    theirs.init_tensors()
    theirs.obs = theirs.env_reset()
    for _ in range(3):
        theirs.update_epoch()
        theirs.train_epoch()
        theirs.frame += theirs.curr_frames
    with contextlib.redirect_stdout(io.StringIO()):
        theirs.save(str(tmp_path / "theirs"))
    return theirs, str(tmp_path / "theirs.pth")


def test_a_player_acts_as_it_did_there(saved):
    theirs, file = saved
    player = PpoPlayerContinuous(parse_params(toy_params()), vec_env=ToyEnv())
    player.restore(file)
    obs = torch.randn(8, 3)
    with torch.no_grad():
        expected = theirs.get_action_values({"obs": obs.clone()})["mus"]
        expected = theirs.preprocess_actions(expected)
        result = player.get_action({"obs": obs}, is_deterministic=True)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-6)


def test_training_goes_on_from_it(saved, make_agent, largest_difference):
    theirs, file = saved
    ours = make_agent(learning_rate=9e-9)
    ours.restore(file)
    assert largest_difference(ours.model, theirs.model) == 0.0
    assert (ours.epoch_num, ours.frame) == (3, 192)
    assert ours.last_lr.item() == ours.optimizer.lr.item() == pytest.approx(theirs.last_lr)
    ours.start_training()
    ours.update_epoch()
    ours.train_epoch()
    assert largest_difference(ours.model, theirs.model) > 0.0
