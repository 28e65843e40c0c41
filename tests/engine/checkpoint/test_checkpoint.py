"""Checkpoints under fire: kills, full disks, damage, malice. F1 to F8 name the faults."""

import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections import OrderedDict
from pathlib import Path

import numpy
import pytest
import torch
from checkpoint_files import refused, same, small_state

from manybody.engine import console
from manybody.engine.checkpoint import (
    FORMAT,
    FORMAT_KEY,
    CheckpointError,
    check_state_dict,
    load_checkpoint,
    require,
    save_checkpoint,
)
from manybody.engine.checkpoint.kept import Checkpoints
from manybody.engine.rng import rng_state, set_rng_state


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(console, "say", lines.append)
    monkeypatch.setattr(console, "warn", lambda line: lines.append(f"warning: {line}"))
    return lines


# what goes in comes out


def test_round_trip_of_everything_a_state_may_hold(tmp_path):
    wide = torch.arange(1000.0)
    state = {
        "weights": OrderedDict(w=torch.nn.Parameter(torch.ones(2, 2)), half=torch.ones(2, dtype=torch.bfloat16)),
        "optimizer": {
            "state": {0: {"step": torch.tensor(4.0)}},
            "param_groups": [{"betas": (0.9, 0.999), "lr": 1e-3}],
        },
        "best": numpy.float32(2.5),
        "count": numpy.int64(7),
        "flag": numpy.bool_(True),
        "name": "Ant ä",
        "none": None,
        "huge": 2**80,
        "view": wide[:3],
        "expanded": torch.zeros(1).expand(100),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
    }
    path = tmp_path / "all.pth"
    save_checkpoint(path, state)
    loaded = load_checkpoint(path)

    assert (
        loaded["weights"]["w"].tolist() == [[1.0, 1.0], [1.0, 1.0]]
        and loaded["weights"]["half"].dtype == torch.bfloat16
    )
    assert loaded["optimizer"]["state"][0]["step"] == 4.0 and loaded["optimizer"]["param_groups"][0]["betas"] == (
        0.9,
        0.999,
    )
    assert (loaded["best"], type(loaded["best"])) == (2.5, float) and (loaded["count"], loaded["flag"]) == (
        7,
        True,
    )
    assert (loaded["name"], loaded["none"], loaded["huge"]) == ("Ant ä", None, 2**80)
    assert loaded["view"].tolist() == [0, 1, 2] and loaded["expanded"].shape == (100,)
    assert torch.equal(loaded["transposed"], state["transposed"])
    # 1000 floats are 4000 bytes: the view must not have brought them along
    assert path.stat().st_size < 8000
    assert state["best"].dtype == numpy.float32  # the caller's state is untouched


@pytest.mark.parametrize(
    ("state", "key"),
    [
        ({"a": {"b": [1, lambda: 0]}}, "a.b[1]"),
        ({"env_state": {"obs": numpy.array([None])}}, "env_state.obs"),
        ({"path": Path("/")}, "path"),
        ({"when": numpy.datetime64("2024-01-01")}, "when"),
        ({"s": {1, 2}}, "s"),
        ({"m": torch.eye(2).to_sparse()}, "m"),
        ({"d": {(1, 2): 3}}, "d[(1, 2)]"),
    ],
)
def test_what_cannot_be_saved_is_named_by_its_key(tmp_path, state, key):
    with pytest.raises(CheckpointError) as caught:
        save_checkpoint(tmp_path / "x.pth", state)
    assert caught.value.field == key and "Convert it before saving" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    # a pickled float takes 9 bytes: 300,000 of them are 2.7 MB, above the 1 MiB that a reader accepts
    with pytest.raises(CheckpointError, match="into tensors"):
        save_checkpoint(tmp_path / "x.pth", {"history": [float(i) for i in range(300_000)]})
    assert list(tmp_path.iterdir()) == []


def test_random_numbers_go_on_where_they_were(tmp_path):
    numpy.random.randn()  # leaves half of a pair of normal numbers in numpy's generator
    random.gauss(0, 1)  # and in Python's
    save_checkpoint(tmp_path / "rng.pth", {"rng": rng_state()})

    def draw():
        return torch.rand(3).tolist(), numpy.random.randn(3).tolist(), [random.gauss(0, 1) for _ in range(3)]

    first = draw()
    assert draw() != first
    set_rng_state(load_checkpoint(tmp_path / "rng.pth")["rng"])
    assert draw() == first


def test_an_rl_games_file_loads_with_plain_numbers(tmp_path):
    # RL Games 1.6 stores numpy scalars and an OrderedDict, some of which weights_only refuses
    model = torch.nn.Sequential(torch.nn.Linear(2, 2)).state_dict()
    state = {
        "model": model,
        "epoch": 5,
        "last_mean_rewards": numpy.float32(3.25),
        "frame": numpy.int64(9),
        "env_state": None,
    }
    torch.save(state, tmp_path / "rl_games.pth")
    loaded = load_checkpoint(tmp_path / "rl_games.pth")
    assert (loaded["last_mean_rewards"], loaded["frame"], loaded["epoch"]) == (3.25, 9, 5)
    assert type(loaded["last_mean_rewards"]) is float
    assert torch.equal(loaded["model"]["0.weight"], model["0.weight"])


# F1: killed while saving

KILLER = """
import os, random, signal, sys, time, torch
from manybody.engine import console
from manybody.engine.checkpoint.kept import Checkpoints
console.say = lambda line: None
rng = random.Random(1)
for folder in sys.argv[1:]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        checkpoints = Checkpoints(folder, keep=3)
        weights = torch.zeros(5_000_000)
        for epoch in range(250):
            weights.fill_(epoch)
            checkpoints.save(f'last_Ant_ep_{epoch}_rew_0', {'model': {'w': weights}, 'epoch': epoch}, 'last')
            checkpoints.save('Ant', {'model': {'w': weights}, 'epoch': epoch}, 'best')
            os.write(write, bytes([epoch]))
    os.close(write)
    saved = os.read(read, 1)
    time.sleep(rng.uniform(0.0, 0.3))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(max(saved + os.read(read, 1000)), flush=True)
"""


@pytest.mark.slow
def test_f1_a_kill_at_any_instant_leaves_a_checkpoint_of_the_last_interval(tmp_path):
    # a saver of 20 MB in each folder, killed between 0 and 0.3 s after its first save
    folders = [tmp_path / str(number) for number in range(8)]
    command = [sys.executable, "-c", KILLER, *map(str, folders)]
    killed = subprocess.run(command, capture_output=True, text=True, check=True)
    for folder, last in zip(folders, map(int, killed.stdout.split()), strict=True):
        checkpoints = Checkpoints(folder)
        state = load_checkpoint(checkpoints.newest())
        assert state["epoch"] >= last and torch.all(state["model"]["w"] == state["epoch"])
        assert load_checkpoint(folder / "Ant.pth")["epoch"] >= last  # the best file, overwritten each time
        checkpoints.clean()
        assert all(file.suffix == ".pth" for file in folder.iterdir())


# F3: the disk says no


def test_f3_a_full_disk_warns_once_keeps_the_old_files_and_is_tried_again(tmp_path, said):
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.save("last_Ant_ep_1_rew_0", small_state(1))
    assert checkpoints.save("Ant", small_state(1))
    files = sorted(tmp_path.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    big = {"model": {"w": torch.zeros(500_000)}}  # 2 MB
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        assert not checkpoints.save("Ant", big)
        assert not checkpoints.save("last_Ant_ep_2_rew_0", big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(tmp_path.iterdir()) == files  # no half file, nothing pruned
    assert load_checkpoint(tmp_path / "Ant.pth")["epoch"] == 1
    warnings = [line for line in said if line.startswith("warning")]
    assert len(warnings) == 1 and "could not save" in warnings[0] and "File too large" in warnings[0]

    assert checkpoints.save("Ant", big)
    assert load_checkpoint(tmp_path / "Ant.pth")["model"]["w"].shape == (500_000,)


def test_f3_a_real_full_file_system(tmp_path, said):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    try:
        checkpoints = Checkpoints(tmp_path)
        assert checkpoints.save("Ant", small_state())
        assert not checkpoints.save("Ant", {"model": {"w": torch.zeros(500_000)}})
        assert "No space left" in said[-1]
        assert [file.name for file in tmp_path.iterdir()] == ["Ant.pth"] and same(load_checkpoint(tmp_path / "Ant.pth"))
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_f3_a_deleted_folder_is_made_again_and_an_impossible_one_warns(tmp_path, said):
    checkpoints = Checkpoints(tmp_path / "run" / "nn")
    assert checkpoints.save("Ant", small_state())
    (tmp_path / "run" / "nn" / "Ant.pth").unlink()
    (tmp_path / "run" / "nn").rmdir()
    assert checkpoints.save("Ant", small_state())
    (tmp_path / "file").touch()
    assert not Checkpoints(tmp_path / "file" / "nn").save("Ant", small_state())
    assert not checkpoints.save("x" * 300, small_state())
    assert [line.split()[0] for line in said] == ["=>", "=>", "warning:", "warning:"]


def test_writing_replaces_a_symbolic_link_instead_of_following_it(tmp_path):
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / "Ant.pth").symlink_to(tmp_path / "elsewhere")
    save_checkpoint(tmp_path / "Ant.pth", small_state())
    assert (tmp_path / "elsewhere").read_text() == "precious" and not (tmp_path / "Ant.pth").is_symlink()
    (tmp_path / "link.pth").symlink_to(tmp_path / "Ant.pth")
    assert same(load_checkpoint(tmp_path / "link.pth"))


# F7: damage


def test_f7_every_truncation_is_refused(good):
    whole = good.read_bytes()
    for length in range(0, len(whole), 17):
        good.write_bytes(whole[:length])
        refused(good)


@pytest.mark.slow
def test_f7_every_flipped_byte_is_found_or_harmless(good):
    whole = good.read_bytes()
    harmless = 0
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x41 if position % 2 else 0xFF
        good.write_bytes(damaged)
        try:
            assert same(load_checkpoint(good)), f"byte {position} changed the content unnoticed"
            harmless += 1
        except CheckpointError:
            pass
    # dates and the zeros that align the tensors carry nothing
    assert harmless < len(whole) * 0.7


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"PK\x03\x04", b"\x80\x02}q\x00.", b"not a checkpoint" * 100, b"\x1b[31mred"]
)
def test_f7_other_files_are_refused(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    error = refused(tmp_path / "x.pth")
    assert error.field == "file" and "intact checkpoint" in str(error) and "\x1b" not in str(error)


def test_f7_no_file_a_folder_and_a_pipe_are_refused(tmp_path):
    assert "No such file" in str(refused(tmp_path / "absent.pth"))
    assert "not a regular file" in str(refused(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in str(refused(tmp_path / "pipe"))  # and does not wait for a writer
    with pytest.raises(CheckpointError):
        load_checkpoint("nul\0byte")


def test_f7_the_previous_intact_checkpoint_is_offered(tmp_path, said):
    checkpoints = Checkpoints(tmp_path)
    for epoch in (1, 2, 3):
        checkpoints.save(f"last_Ant_ep_{epoch}_rew_0", small_state(epoch))
    newest, previous, oldest = (tmp_path / f"last_Ant_ep_{epoch}_rew_0.pth" for epoch in (3, 2, 1))
    for file in (newest, previous):
        file.write_bytes(file.read_bytes()[:-30])
    assert checkpoints.newest() == oldest
    error = refused(newest)
    assert f"checkpoint='{oldest}'" in error.advice


def test_f7_version_and_kind_are_checked(tmp_path):
    torch.save({FORMAT_KEY: FORMAT + 1, "model": {}}, tmp_path / "newer.pth")
    error = refused(tmp_path / "newer.pth")
    assert (error.field, error.given, error.expected) == (
        FORMAT_KEY,
        "2",
        "1 to 1",
    ) and "update manybody" in error.advice
    for number, state in enumerate([{"mu.weight": torch.ones(2)}, [1, 2], torch.ones(2), {FORMAT_KEY: "1"}]):
        torch.save(state, tmp_path / f"{number}.pth")
        assert refused(tmp_path / f"{number}.pth").field == FORMAT_KEY


def test_f7_a_missing_field_is_named():
    assert require({"epoch": 3}, "epoch", "x.pth") == 3
    with pytest.raises(CheckpointError, match=r"x\.pth: optimizer: got only epoch, model"):
        require({"model": {}, "epoch": 3}, "optimizer", "x.pth")


def test_f7_another_network_is_told_parameter_by_parameter():
    expected = {"mu.weight": torch.zeros(8, 64), "mu.bias": torch.zeros(8), "sigma": torch.zeros(8)}
    check_state_dict(expected, dict(expected), "x.pth")
    given = {"mu.weight": torch.zeros(21, 64), "mu.bias": torch.zeros(8), "value.bias": torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        check_state_dict(expected, given, "x.pth")
    message = str(caught.value)
    assert "3 differing" in message and "mu.bias" not in message
    assert "missing sigma (8,)" in message
    assert "unexpected value.bias (1,)" in message
    assert "mu.weight has shape (21, 64), the network (8, 64)" in message


# F8: malice


def test_rotation_keeps_the_newest_and_the_best(tmp_path, said):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save("Ant", small_state())
    for epoch in (9, 10, 11):
        checkpoints.save(f"last_Ant_ep_{epoch}_rew_1.5", small_state(epoch), "last")
    assert {file.name for file in tmp_path.iterdir()} == {
        "Ant.pth",
        "last_Ant_ep_10_rew_1.5.pth",
        "last_Ant_ep_11_rew_1.5.pth",
    }
    assert said[0] == f"=> saving checkpoint '{tmp_path}/Ant.pth'"


def test_a_clock_set_back_does_not_make_the_newest_checkpoint_the_oldest(tmp_path, said):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save("last_Ant_ep_1_rew_0", small_state(1), "last")
    ahead = time.time_ns() + 10**15
    os.utime(tmp_path / "last_Ant_ep_1_rew_0.pth", ns=(ahead, ahead))
    checkpoints.save("last_Ant_ep_2_rew_0", small_state(2), "last")
    checkpoints.save("Ant", small_state(2))
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["Ant.pth", "last_Ant_ep_2_rew_0.pth"]
    assert checkpoints.newest().name == "Ant.pth"


def test_saving_gives_normal_permissions(good):
    umask = os.umask(0)
    os.umask(umask)
    assert good.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.slow
def test_a_terminated_saver_leaves_no_litter(tmp_path):
    script = textwrap.dedent(
        """
        import os, signal, sys, torch
        from manybody.engine import checkpoint
        def interrupt(*_): raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        os_replace = os.replace
        def late(a, b): os.kill(os.getpid(), signal.SIGALRM)
        os.replace = late
        checkpoint.save_checkpoint(sys.argv[1] + '/x.pth', {'w': torch.zeros(10)})
        """
    )
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert result.returncode in (1, -signal.SIGINT, 130) and "KeyboardInterrupt" in result.stderr
    assert list(tmp_path.iterdir()) == []
