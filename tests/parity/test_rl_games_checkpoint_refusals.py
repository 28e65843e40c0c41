"""Invalid checkpoints of RL Games are refused quickly with a clear message, and no code in them runs."""

import builtins
import io
import os
import pickle
import pickletools
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_rl_games import Kind

from manybody.algos.sac import SACPlayer
from manybody.config import parse_params
from manybody.engine.checkpoint import CheckpointError, load_checkpoint
from manybody.launch.rl_games_checkpoint import as_rl_games, import_checkpoint


@pytest.fixture
def kind():
    return Kind("continuous")


@pytest.fixture
def good(kind, tmp_path):
    """The path of a checkpoint that RL Games saved."""
    return kind.save_reference(kind.reference_agent(tmp_path), tmp_path / "good.pth")


def refused(call, path):
    """Return the error of ``call(path)``; assert that it names file, field and both values, within a second."""
    start = time.perf_counter()
    with pytest.raises(CheckpointError) as caught:
        call(str(path))
    assert time.perf_counter() - start < 1.0
    error = caught.value
    assert str(error).startswith(f"{path}: {error.field}: got {error.given}; expected {error.expected}.")
    return error


class Evil:
    """Calls ``function(*arguments)`` when unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(canary):
    write = f"open({str(canary)!r}, 'w').write('x')"
    return {
        "os.system": Evil(os.system, f"touch {canary}"),
        "builtins.eval": Evil(builtins.eval, write),
        "builtins.exec": Evil(builtins.exec, write),
        "io.open": Evil(io.open, str(canary), "w"),
        "os.mkdir": Evil(os.mkdir, str(canary)),
        "numpy.save": Evil(np.save, str(canary), 1),
    }


@pytest.mark.parametrize("name", attacks(""))
@pytest.mark.parametrize("where", ["model", "optimizer", "last_mean_rewards", "env_state"])
def test_no_code_in_a_checkpoint_runs(good, tmp_path, name, where):
    canary = tmp_path / "canary"
    state = torch.load(good, weights_only=False)
    evil = attacks(canary)[name]
    state[where] = {"x": evil} if where in ("model", "optimizer") else evil
    torch.save(state, tmp_path / "evil.pth")
    for call in (load_checkpoint, lambda path: import_checkpoint(path, tmp_path / "out.pth")):
        error = refused(call, tmp_path / "evil.pth")
        assert (error.field, error.expected) == ("file", "an intact checkpoint (PyTorch archive, format 1)")
        assert error.given.startswith("the code ")
    assert not canary.exists() and not (tmp_path / "out.pth").exists()
    torch.load(tmp_path / "evil.pth", weights_only=False)  # the attack works in torch.load
    assert canary.exists() or canary.with_name("canary.npy").exists()


@pytest.mark.parametrize("protocol", range(6))
def test_bare_pickles_are_refused_without_loading(tmp_path, protocol):
    canary = tmp_path / "canary"
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"model": Evil(os.system, f"touch {canary}")}, protocol))
    assert refused(load_checkpoint, path).given.startswith("a file that begins with")
    torch.save({"model": Evil(os.system, f"touch {canary}")}, path, _use_new_zipfile_serialization=False)
    error = refused(load_checkpoint, path)
    assert "before 1.6" in error.given and "torch.load(old, weights_only=True)" in error.advice
    assert not canary.exists()


def with_pickle(good, path, pickled):
    """Copy the archive ``good`` to ``path`` with another data.pkl."""
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            content = pickled if entry.filename.endswith("/data.pkl") else old.read(entry)
            new.writestr(zipfile.ZipInfo(entry.filename), content)
        for entry in new.infolist():
            entry.external_attr = 0
    return path


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_archives_whose_pickle_calls_functions_are_refused(good, tmp_path, protocol):
    canary = tmp_path / "canary"
    pickled = pickle.dumps({"model": {"x": Evil(os.system, f"touch {canary}")}}, protocol)
    refused(load_checkpoint, with_pickle(good, tmp_path / "evil.pth", pickled))
    # STACK_GLOBAL does not belong to protocol 2, but a forged file can contain it.
    by_stack = b"\x80\x02\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."
    assert [op.name for op, _, _ in pickletools.genops(by_stack)][3] == "STACK_GLOBAL"
    refused(load_checkpoint, with_pickle(good, tmp_path / "evil.pth", by_stack))
    assert not canary.exists()


def test_huge_sizes_are_refused(good, tmp_path):
    """Tensors, arrays and lists of 10^12 elements."""
    size = 10**12
    for evil in (
        Evil(torch.zeros, size),
        Evil(np.zeros, size),
        Evil(bytearray, size),
        Evil(list, range(size)),
    ):
        torch.save({"model": {"x": evil}}, tmp_path / "evil.pth")
        refused(load_checkpoint, tmp_path / "evil.pth")


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_truncated_files_are_refused(good, tmp_path, kept):
    whole = Path(good).read_bytes()
    path = tmp_path / "alone" / "cut.pth"
    path.parent.mkdir()
    path.write_bytes(whole[: int(kept * len(whole))])
    error = refused(load_checkpoint, path)
    expected = {0.0: "an empty file", 0.001: "an archive without its end (cut off?)"}
    assert error.field == "file" and error.given == expected.get(kept, expected[0.001])
    neighbour = tmp_path / "cut.pth"  # the message offers the intact checkpoint in the same folder
    neighbour.write_bytes(path.read_bytes())
    assert "good.pth" in refused(load_checkpoint, neighbour).advice


def test_a_network_of_another_size_is_refused(good, kind):
    kind.params["network"]["mlp"]["units"] = [8, 4]
    message = str(refused(kind.player, good))
    assert ": model: got " in message and " differing parameters; expected those of this task's network" in message
    assert "missing a2c_network.actor_mlp.2.weight (4, 8)" in message
    assert "a2c_network.mu.weight has shape (2, 8), the network (2, 4)" in message
    refused(lambda path: kind.agent(checkpoint=path), good)


def test_a_checkpoint_of_another_algorithm_is_refused(good, tmp_path):
    sac, discrete, central = Kind("sac"), Kind("discrete"), Kind("central value")
    error = refused(sac.player, good)
    assert (error.given, error.expected) == (
        "the parameters of {'a2c_network'}",
        "those of {'sac_network'}",
    )
    assert "unexpected a2c_network.mu.weight (2, 8)" in str(refused(discrete.player, good))
    file = sac.save_reference(sac.reference_agent(tmp_path), tmp_path / "alone.pth")
    error = refused(Kind("continuous").player, file)
    assert (error.given, error.expected) == ("the parameters of {'sac_network'}", "those of {'a2c_network'}")
    error = refused(lambda path: central.agent(checkpoint=path), good)
    assert (error.field, error.expected) == ("assymetric_vf_nets", "'assymetric_vf_nets'")
    assert SACPlayer(parse_params(sac.params), vec_env=sac.env(2)).restore(file) is None


WRONG = {
    "epoch": (-1, "twelve", 1.5, float("nan"), [3], torch.ones(2)),
    "frame": (-5, 2**70, None),
    "last_mean_rewards": ("best", torch.zeros(3), {}),
    "model": ([1, 2], "weights"),
}


@pytest.mark.parametrize("key", WRONG)
def test_wrong_values_of_a_key_are_refused(good, tmp_path, kind, key):
    state = load_checkpoint(good)
    for value in WRONG[key]:
        torch.save(state | {key: value}, tmp_path / "wrong.pth")
        error = refused(lambda path: kind.agent().restore(path), tmp_path / "wrong.pth")
        assert error.field == ("manybody_format" if key == "model" else key)


def test_a_wrong_learning_rate_is_refused(good, tmp_path, kind):
    for rate in (float("nan"), float("inf"), -1e-3, "fast"):
        state = load_checkpoint(good)
        state["optimizer"]["param_groups"][0]["lr"] = rate
        torch.save(state, tmp_path / "wrong.pth")
        assert "lr" in refused(lambda path: kind.agent(checkpoint=path), tmp_path / "wrong.pth").field


def test_moments_that_do_not_fit_restart(good, kind, capsys):
    """With wrong shapes, invalid values or another number of parameters, only the weights are restored."""

    def restore_with(change):
        state = load_checkpoint(good)
        change(state["optimizer"])
        agent = kind.agent()
        agent.set_full_state_weights(state, path="file")
        assert not agent.optimizer.state and "episodes and the moments of optimizer restart" in capsys.readouterr().err
        return agent

    restore_with(lambda optimizer: optimizer["state"][0].update(exp_avg=torch.zeros(7)))
    restore_with(lambda optimizer: optimizer["state"][1]["exp_avg_sq"].fill_(-1.0))
    restore_with(lambda optimizer: optimizer["state"][2]["exp_avg"].fill_(torch.nan))
    restore_with(lambda optimizer: optimizer["state"][0].pop("step"))
    restore_with(lambda optimizer: optimizer["param_groups"][0]["params"].pop())
    restore_with(lambda optimizer: optimizer["param_groups"][0].update(params=[[0]] * 9))
    restore_with(lambda optimizer: optimizer.update(state=3))
    assert restore_with(lambda optimizer: optimizer.pop("param_groups")).last_lr.item() == pytest.approx(1e-3)


def test_names_from_a_file_are_escaped_in_messages(good, tmp_path, kind):
    state = load_checkpoint(good)
    torch.save({"model": state["model"] | {"\x1b[2Jx": torch.zeros(1)}}, tmp_path / "wrong.pth")
    message = str(refused(kind.player, tmp_path / "wrong.pth"))
    assert "\x1b" not in message and "unexpected \\x1b[2Jx (1,)" in message
    torch.save({"model": state["model"] | {f"x{n}": torch.zeros(1) for n in range(200)}}, tmp_path / "wrong.pth")
    assert len(str(refused(kind.player, tmp_path / "wrong.pth")).splitlines()) == 42


def test_equal_names_after_removing_the_compile_prefix_are_refused(good, tmp_path):
    model = load_checkpoint(good)["model"]
    torch.save({"model": model | {f"_orig_mod.{name}": x for name, x in model.items()}}, tmp_path / "two.pth")
    assert "parameters of one name" in refused(load_checkpoint, tmp_path / "two.pth").given


def test_states_that_cannot_be_exported_are_refused(good):
    state = load_checkpoint(good)
    for changed, field in (
        ({"algo": "rnd_continuous"}, "algo"),
        ({"model": 3}, "model"),
        ({"optimizer": None}, "optimizer"),
        ({"epoch": -1}, "epoch"),
    ):
        error = refused(lambda path, x=changed: as_rl_games(state | x, path), "file.pth")
        assert error.field == field
