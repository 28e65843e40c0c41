"""Which checkpoint of a run is the best, the newest, and deleted: the files say it, not their names."""

import pytest
import torch
import yaml
from checkpoint_files import small_state
from toy import ToyEnv, toy_params

from manybody.algos.a2c import A2CAgent
from manybody.config import parse_params
from manybody.engine.checkpoint import load_checkpoint, save_checkpoint, write_archive
from manybody.engine.checkpoint.kept import KIND_KEY, Checkpoints
from manybody.engine.run_folder import RunFolder

NAMES = [
    *("walk", "last_walk", "last_", "last_last_", "best", "_ep_1_rew_", "walk_2"),
    *("walk_ep_1_rew_2", "walk_frame_1_rew_2.5", "last_walk_ep_1_rew_2.00", "last_walk_ep_1_rew_none"),
    *(
        "last_last_walk_ep_1_rew_2.00_ep_3_rew_2.00",
        ".saving-0123",
        ".saving-" + "0" * 32,
        "a.pth",
        "last_[1]*",
    ),
]


def epoch(file):
    return load_checkpoint(file)["epoch"]


def train_as(checkpoints, name, epochs=5, best=2):
    """The files of a run: a last one in each of ``epochs``, the best policy in epoch ``best``."""
    for number in range(1, epochs + 1):
        if number == best:
            checkpoints.save(name, small_state(number), "best")
        checkpoints.save(f"last_{name}_ep_{number}_rew_2.00", small_state(number), "last")


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_run_changes_what_its_files_are(tmp_path, name):
    folder = RunFolder.create(tmp_path, name, name)
    train_as(Checkpoints(folder.nn, keep=2), name)
    folder.close()
    RunFolder.resume(folder.path).close()  # which removes what a killed run left
    assert folder.best() == folder.nn / f"{name}.pth" and epoch(folder.best()) == 2
    assert epoch(folder.newest()) == 5
    assert RunFolder.resolve(folder.path)[1] == folder.best()
    # the best one, and the last ones of epochs 4 and 5
    assert sorted(map(epoch, folder.nn.iterdir())) == [2, 4, 5]


LAST = "last_walk_ep_1_rew_2.00"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("walk", LAST),
        (LAST, "walk"),
        (LAST, f"last_{LAST}_ep_1_rew_2.00"),
        (f"last_{LAST}_ep_1_rew_2.00", LAST),
    ],
)
def test_the_runs_of_two_names_in_a_folder_take_no_file_from_each_other(tmp_path, one, other):
    """A run resumes under another name, whose best policy is called as a last file of the first, or the reverse."""
    checkpoints = Checkpoints(tmp_path)
    for number, name in enumerate((one, other), start=1):
        for kind, file in (("last", f"last_{name}_ep_1_rew_2.00"), ("best", name)):
            checkpoints.save(file, small_state(number), kind)
    kinds = sorted((checkpoints.kind(file), epoch(file)) for file in tmp_path.iterdir())
    assert kinds == [("best", 1), ("best", 2), ("last", 1), ("last", 2)]
    assert epoch(checkpoints.best()) == 2


def test_files_that_somebody_saves_are_neither_best_nor_deleted(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save("last_walk_ep_9_rew_1", small_state(9))
    write_archive(tmp_path / "last_walk_ep_8_rew_1.pth", small_state(8))  # as a client of RL Games writes
    checkpoints.save("mine", small_state(7))
    assert checkpoints.best() is None
    train_as(checkpoints, "walk", epochs=3)
    assert sorted(map(epoch, tmp_path.iterdir())) == [2, 3, 7, 8, 9]
    checkpoints.save("mine", small_state(10))
    assert epoch(checkpoints.best()) == 2 and epoch(checkpoints.newest()) == 10


def test_a_damaged_best_checkpoint_is_passed_over(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    train_as(checkpoints, "walk")
    (tmp_path / "walk.pth").write_bytes((tmp_path / "walk.pth").read_bytes()[:-30])
    assert checkpoints.best() is None and epoch(checkpoints.newest()) == 5
    checkpoints.save("walk", small_state(6), "best")  # and made again in its place
    assert epoch(checkpoints.best()) == 6 and not (tmp_path / "walk_2.pth").exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tree", [False, True])
def test_in_files_without_a_kind_the_runs_name_decides(tmp_path, name, tree):
    """Earlier versions and RL Games wrote such files; the run's configuration knows its name."""
    params = {"params": {"config": {"name": name}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"train": params} if tree else params))
    checkpoints = Checkpoints(tmp_path / "nn", keep=2)
    checkpoints.folder.mkdir()
    for number, file in enumerate((name, f"last_{name}_ep_2_rew_9", f"last_{name}_ep_3_rew_9", "mine"), start=1):
        save_checkpoint(checkpoints.folder / f"{file}.pth", small_state(number))
    assert epoch(checkpoints.best()) == 1
    checkpoints.save(f"last_{name}_ep_5_rew_9", small_state(5), "last")
    assert sorted(map(epoch, checkpoints.folder.iterdir())) == [1, 3, 4, 5]  # epoch 2 is the third to last


def test_without_any_configuration_rl_games_names_decide(tmp_path):
    for number, file in enumerate(("walk", "last_walk_ep_2_rew_9", "walk_ep_3_rew__9_", "last_walk_frame_4_rew_9")):
        write_archive(tmp_path / f"{file}.pth", small_state(number))
    checkpoints = Checkpoints(tmp_path)
    assert [checkpoints.kind(tmp_path / f"{name}.pth") for name in ("walk", "last_walk_ep_2_rew_9")] == [
        None,
        "last",
    ]
    assert epoch(checkpoints.best()) == 0 and epoch(checkpoints.newest()) == 3


def test_the_kind_is_read_from_the_beginning_and_is_the_one_that_was_asked_for(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    file = checkpoints.save("walk", {**small_state(), "replay": torch.zeros(1000), KIND_KEY: "last"}, "best")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF  # in the 4000 bytes of zeros
    file.write_bytes(content)
    assert checkpoints.kind(file) == "best" and checkpoints.best() is None


@pytest.mark.parametrize("name", ["last_walk", "last_walk_ep_1_rew_0"])
def test_a_run_of_such_a_name_keeps_its_best_policy(tmp_path, name):
    settings = {
        "name": name,
        "save_best_after": 0,
        "save_frequency": 1,
        "keep_checkpoints": 2,
        "max_epochs": 6,
    }
    params = parse_params(toy_params(**settings, learning_rate=0.5, lr_schedule="constant", e_clip=9.0))
    torch.manual_seed(0)
    agent = A2CAgent("run", params, vec_env=ToyEnv(), folder=lambda: RunFolder.create(tmp_path, name, name))
    agent.train()
    folder = agent.run.folder
    assert folder.best() == folder.nn / f"{name}.pth"
    assert load_checkpoint(folder.best())["last_mean_rewards"] == agent.last_mean_rewards > agent.run.mean_reward
    assert epoch(folder.newest()) == 6 and len(list(folder.nn.iterdir())) == 3
