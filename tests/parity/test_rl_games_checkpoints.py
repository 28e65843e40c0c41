"""Checkpoints of RL Games 1.6.5 and older versions are restored for playing and for training."""

import contextlib
import io
import zipfile

import numpy as np
import pytest
import torch
from rl_games_agents import largest_difference
from toy import ToyEnv, toy_params
from toy_rl_games import Kind, moments, optimizers

from manybody.algos.a2c import PpoPlayerContinuous
from manybody.config import parse_params
from manybody.engine.checkpoint import load_checkpoint
from manybody.launch.rl_games_checkpoint import as_ours


@pytest.fixture
def saved(make_reference, tmp_path):
    """RL Games' agent after three epochs, and the path of its checkpoint."""
    reference = make_reference()
    reference.init_tensors()
    reference.obs = reference.env_reset()
    for _ in range(3):
        reference.update_epoch()
        reference.train_epoch()
        reference.frame += reference.curr_frames
    with contextlib.redirect_stdout(io.StringIO()):
        reference.save(str(tmp_path / "reference"))
    return reference, str(tmp_path / "reference.pth")


def test_a_restored_player_acts_like_the_rl_games_agent(saved):
    reference, file = saved
    player = PpoPlayerContinuous(parse_params(toy_params()), vec_env=ToyEnv())
    player.restore(file)
    obs = torch.randn(8, 3)
    with torch.no_grad():
        expected = reference.get_action_values({"obs": obs.clone()})["mus"]
        expected = reference.preprocess_actions(expected)
        result = player.get_action({"obs": obs}, is_deterministic=True)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-6)


def test_training_resumes_from_an_rl_games_checkpoint(saved, make_agent):
    reference, file = saved
    ours = make_agent(learning_rate=9e-9)
    ours.restore(file)
    assert largest_difference(ours.model, reference.model) == 0.0
    assert (ours.epoch_num, ours.frame) == (3, 192)
    assert ours.last_lr.item() == ours.optimizer.lr.item() == pytest.approx(reference.last_lr)
    ours.start_training()
    ours.update_epoch()
    ours.train_epoch()
    assert largest_difference(ours.model, reference.model) > 0.0


STATISTICS = ("running_mean", "running_var", "count")


def older(state):
    """Convert ``state`` to the format of RL Games 1.1: normalisers outside the model, integer steps, no frames."""
    model, old = state["model"], {**state, "model": {}}
    for key, home in (("running_mean_std", "running_mean_std"), ("reward_mean_std", "value_mean_std")):
        old[key] = {name: model[f"{home}.{name}"] for name in STATISTICS}
    prefixes = ("running_mean_std.", "value_mean_std.")
    old["model"] = {name: value for name, value in model.items() if not name.startswith(prefixes)}
    for entry in old["optimizer"]["state"].values():
        entry["step"] = int(entry["step"])
    old["last_mean_rewards"] = np.float32(2.5)
    del old["frame"]
    if "assymetric_vf_nets" in old:
        nets = old["assymetric_vf_nets"]
        old["assymetric_vf_mean_std"] = {name: nets.pop(f"model.running_mean_std.{name}") for name in STATISTICS}
        for name in STATISTICS:  # in 1.1, the statistics of the central value are outside its model, too
            nets[f"value_mean_std.{name}"] = nets.pop(f"model.value_mean_std.{name}")
        del old["assymetric_vf_optimizer"]
    return old


@pytest.mark.parametrize("name", ["continuous", "discrete", "central value"])
def test_files_of_older_versions_are_restored(tmp_path, name, capsys):
    kind = Kind(name)
    reference = kind.reference_agent(tmp_path)
    file = kind.save_reference(reference, tmp_path / "reference.pth")
    expected = kind.actions(kind.player(file), ours=True)
    torch.save(older(torch.load(file, weights_only=False)), tmp_path / "older.pth")
    for one, other in zip(kind.actions(kind.player(tmp_path / "older.pth"), ours=True), expected, strict=True):
        assert torch.equal(one, other)
    ours = kind.agent(checkpoint=str(tmp_path / "older.pth"))
    for name, value in reference.model.state_dict().items():
        assert torch.equal(value, ours.model.state_dict()[name])
    assert (ours.epoch_num, ours.frame, ours.last_mean_rewards) == (12, 0, 2.5)
    for one, other in zip(moments(ours.optimizer), moments(reference.optimizer), strict=True):
        assert torch.equal(one, other)
    if kind.central:
        for name, value in reference.central_value_net.state_dict().items():
            assert torch.equal(value, ours.central_value.state_dict()[name])
        assert not optimizers(ours)["assymetric_vf_optimizer"].state
        assert "the moments of assymetric_vf_optimizer restart" in capsys.readouterr().err
    assert sorted(as_ours(tmp_path / "older.pth")["model"]) == sorted(ours.model.state_dict())


def test_a_file_from_a_gpu_with_numpy_scalars(tmp_path):
    kind = Kind("lstm")
    reference = kind.reference_agent(tmp_path)
    state = reference.get_full_state_weights()
    state["last_mean_rewards"], state["frame"] = np.float64(7.25), np.int64(99)
    state["env_state"] = {"level": np.float32(0.5), "on": np.bool_(True), "byte": np.uint8(255)}
    torch.save(state, tmp_path / "cpu.pth")
    with zipfile.ZipFile(tmp_path / "cpu.pth") as old, zipfile.ZipFile(tmp_path / "gpu.pth", "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("/data.pkl"):
                assert content.count(b"X\x03\0\0\0cpu") == 1  # stored once, then referenced
                content = content.replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0")
            new.writestr(zipfile.ZipInfo(entry.filename), content)
        for entry in new.infolist():
            entry.external_attr = 0
    loaded = load_checkpoint(tmp_path / "gpu.pth")
    assert all(value.device.type == "cpu" for value in loaded["model"].values())
    assert (loaded["last_mean_rewards"], loaded["frame"]) == (7.25, 99)
    assert loaded["env_state"] == {"level": 0.5, "on": True, "byte": 255}
    kind.player(tmp_path / "gpu.pth")


def test_moments_follow_their_parameters_by_name(tmp_path):
    """The parameters of the file are in another order than those of the model."""
    kind = Kind("continuous")
    reference = kind.reference_agent(tmp_path)
    state = reference.get_full_state_weights()
    names = [name for name, _ in reference.model.named_parameters()]
    backwards = list(reversed(names))
    state["model"] = {name: state["model"][name] for name in [*backwards, *(state["model"].keys() - set(names))]}
    entries = state["optimizer"]["state"]
    state["optimizer"]["state"] = {i: entries[names.index(name)] for i, name in enumerate(backwards)}
    ours = kind.agent()
    ours.set_full_state_weights(state)
    for one, other in zip(moments(ours.optimizer), moments(reference.optimizer), strict=True):
        assert torch.equal(one, other)


def test_only_environments_of_rl_games_protocol_receive_the_saved_state(saved, make_agent):
    class Curriculum(ToyEnv):
        restores_exactly = False

    reference, _ = saved
    env = Curriculum()
    make_agent(env=env).set_full_state_weights(reference.get_full_state_weights() | {"env_state": {"steps": env.rows}})
    assert torch.equal(env.steps, env.rows)
    own = ToyEnv()  # an environment of this library ignores the state of another simulator
    make_agent(env=own).set_full_state_weights(reference.get_full_state_weights() | {"env_state": {"steps": None}})


def test_the_next_update_after_a_restore_is_equal(make_reference, make_agent):
    """One step of Adam with equal gradients depends on weights, statistics, learning rate and moments."""
    reference = make_reference()
    reference.init_tensors()
    reference.obs = reference.env_reset()
    for _ in range(2):
        reference.update_epoch()
        reference.train_epoch()
    ours = make_agent()
    ours.set_full_state_weights(reference.get_full_state_weights())
    for agent in (ours, reference):
        for index, parameter in enumerate(agent.model.parameters()):
            parameter.grad = torch.full_like(parameter, 0.1 * (index + 1))
        agent.optimizer.step()
    assert largest_difference(ours.model, reference.model) <= 1e-7
