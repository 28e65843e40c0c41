"""Every kind of model acts and resumes equally from a checkpoint of RL Games 1.6.5, and after export to RL Games."""

import contextlib
import io

import numpy as np
import pytest
import torch
import toy_family
from gymnasium import spaces
from toy_rl_games import KINDS, STEPS, Kind, N, disturb, learn, moments, optimizers

from manybody.engine.checkpoint import load_checkpoint, save_checkpoint
from manybody.launch.rl_games_checkpoint import as_rl_games, export_checkpoint, import_checkpoint


@pytest.fixture(params=KINDS)
def kind(request):
    return Kind(request.param)


def assert_same_actions(ours, reference):
    """Compare the actions for 1,000 observations, which differ, so that the comparison can fail."""
    for one, other in zip(ours, reference, strict=True):
        assert one.shape == other.shape and one.shape[:2] == (STEPS, N) and STEPS * N == 1000
        assert (one.double() - other.double()).abs().max().item() <= 1e-5
    assert len(ours[-1].reshape(1000, -1).unique(dim=0)) > 500


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_a_player_restores_an_rl_games_checkpoint(kind, tmp_path, compiled):
    reference = kind.reference_agent(tmp_path)
    file = kind.save_reference(reference, tmp_path / "reference.pth")
    expected = kind.actions(kind.reference_player(file), ours=False)
    if compiled:  # only the names in the file change
        reference.model = torch.compile(reference.model)
        if kind.central:
            reference.central_value_net.model = torch.compile(reference.central_value_net.model)
        kind.save_reference(reference, file)
        if kind.name != "sac":
            raw = torch.load(file, weights_only=False)
            assert all(name.startswith("_orig_mod.") for name in raw["model"])
    assert_same_actions(kind.actions(kind.player(file), ours=True), expected)
    import_checkpoint(file, tmp_path / "ours.pth")
    converted = kind.actions(kind.player(str(tmp_path / "ours.pth")), ours=True)
    assert_same_actions(converted, expected)


def trained(kind, tmp_path):
    """Return an agent after two epochs with changed weights, its checkpoint, and the one exported to RL Games."""
    agent = kind.agent()
    agent.start_training()
    for _ in range(2):
        agent.update_epoch()
        agent.train_epoch()
    disturb(agent.model)
    if kind.central:
        disturb(agent.central_value)
    for optimizer in optimizers(agent).values():
        learn(optimizer)
    agent.last_mean_rewards = 1.5
    save_checkpoint(tmp_path / "ours.pth", agent.get_full_state_weights())
    export_checkpoint(tmp_path / "ours.pth", tmp_path / "reference.pth")
    return agent, str(tmp_path / "ours.pth"), str(tmp_path / "reference.pth")


def test_rl_games_player_restores_an_exported_checkpoint(kind, tmp_path):
    _, file, exported = trained(kind, tmp_path)
    expected = kind.actions(kind.player(file), ours=True)
    assert_same_actions(kind.actions(kind.reference_player(exported), ours=False), expected)


def assert_same_learners(ours, reference, ignored=()):
    """Compare weights, statistics and moments, bit for bit."""
    for one, other in zip(*(models(agent) for agent in (ours, reference)), strict=True):
        assert sorted(one.state_dict()) == sorted(other.state_dict())
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
    mine, its = optimizers(ours), optimizers(reference)
    assert sorted(mine) == sorted(its)
    for name in mine.keys() - set(ignored):
        pairs = list(zip(moments(mine[name]), moments(its[name]), strict=True))
        assert pairs and all(torch.equal(*pair) for pair in pairs), name


def models(agent):
    central = getattr(agent, "central_value_net", None) or getattr(agent, "central_value", None)
    return [agent.model, *([central.model] if hasattr(central, "model") else [])]


def test_training_resumes_from_an_rl_games_checkpoint(kind, tmp_path):
    reference = kind.reference_agent(tmp_path)
    file = kind.save_reference(reference, tmp_path / "reference.pth")
    ours = kind.agent(checkpoint=file)
    # 1.6.5 does not save SAC's temperature, so its moments are not restored.
    assert_same_learners(ours, reference, ("log_alpha_optimizer",))
    assert (ours.epoch_num, ours.frame) == (12, 3456)
    ours.start_training()
    ours.update_epoch()
    ours.train_epoch()
    assert ours.epoch_num == 13 and int(ours.guard.counters()["guard/skipped_updates"]) == 0


def test_rl_games_resumes_from_an_exported_checkpoint(kind, tmp_path):
    ours, _, exported = trained(kind, tmp_path)
    reference = kind.reference_agent(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        reference.restore(exported)
    assert_same_learners(ours, reference)
    assert (reference.epoch_num, reference.frame) == (ours.epoch_num, ours.frame)
    assert reference.last_mean_rewards == 1.5
    for optimizer in optimizers(reference).values():
        assert type(optimizer.param_groups[0]["lr"]) is float
        learn(optimizer)


def test_an_exported_checkpoint_has_the_keys_of_rl_games(kind, tmp_path):
    _, _, exported = trained(kind, tmp_path)
    written = torch.load(exported, weights_only=True)
    its = kind.reference_agent(tmp_path).get_full_state_weights()
    more = {"log_alpha", "last_mean_rewards"} if kind.name == "sac" else set()  # written by 2.0 and read by 1.6.5
    assert written.keys() == its.keys() | more
    again = as_rl_games(load_checkpoint(exported))
    assert again.keys() == written.keys()
    for key in ("model", "actor", "assymetric_vf_nets"):
        names = [sorted(part.get(key, {})) for part in (again, written, its)]
        assert names[0] == names[1] == names[2]


def test_the_sac_player_of_rl_games_does_not_scale_actions(tmp_path, monkeypatch):
    """With bounds of +-2, RL Games' agent and this library scale the actions; RL Games' player leaves them in +-1."""
    wide = spaces.Box(-2.0, 2.0, (2,), np.float32)
    monkeypatch.setitem(toy_family.ACTION_SPACES, "box", wide)
    kind = Kind("sac")
    reference = kind.reference_agent(tmp_path)
    file = kind.save_reference(reference, tmp_path / "reference.pth")
    obs = kind.observations()[0]
    ours, its = kind.player(file), kind.reference_player(file)
    action = ours.get_action({"obs": obs}, is_deterministic=True)
    reference.model.eval()
    with torch.no_grad():
        torch.testing.assert_close(action, reference.act(obs, (2,), sample=False))
        torch.testing.assert_close(action, 2.0 * its.get_action(obs, is_deterministic=True))
