"""``manybody play`` with a run folder, a checkpoint or no path."""

import re

import pytest
import torch
import yaml
from toy_env import task_params

from manybody import play, train
from manybody.config import ConfigError
from manybody.launch.resolve import resolve_play
from manybody.runner import build_runner

pytestmark = pytest.mark.slow  # whole commands

SMALL = [
    *("task=Cartpole", "num_envs=64", "max_iterations=2", "train.params.torch_threads=1"),
    *("train.params.config.minibatch_size=512", "train.params.config.save_best_after=0"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with two runs of Cartpole, ``old`` and ``new``."""
    folder = tmp_path_factory.mktemp("play")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(train, "show_results", lambda *_: None)
        train.main([*SMALL, "experiment=old"]).run.folder.close()
        train.main([*SMALL, "experiment=new", "seed=7"]).run.folder.close()
    return folder


@pytest.fixture
def run_parent(runs, monkeypatch):
    monkeypatch.chdir(runs)
    return runs


@pytest.fixture
def refused(capsys, run_parent):
    def refuse(*arguments, command=play.main):
        before = sorted(run_parent.rglob("*"))
        with pytest.raises(SystemExit) as stop:
            command(list(arguments))
        out, err = capsys.readouterr()
        assert stop.value.code == 2 and sorted(run_parent.rglob("*")) == before
        assert "Traceback" not in out + err and err.startswith("error: ")
        return err

    return refuse


def played(capsys):
    """Return the played file and the numbers of the last line."""
    out = capsys.readouterr().out
    file = re.search(r"^playing (.*)$", out, re.MULTILINE)[1]
    numbers = re.search(r"mean return (\S+) \+- (\S+), episode length (\S+) steps, over (\d+) games", out)
    return file, [float(number) for number in numbers.groups()]


def test_the_played_checkpoint(run_parent, capsys):
    best = run_parent / "runs" / "old" / "nn" / "old.pth"
    (last,) = (run_parent / "runs" / "old" / "nn").glob("last_old_ep_2_*.pth")
    for overrides, file in (
        (["runs/old"], best),
        (["checkpoint=runs/old"], best),
        ([str(last)], last),
        ([], run_parent / "runs" / "new" / "nn" / "new.pth"),
        (["task=Cartpole"], run_parent / "runs" / "new" / "nn" / "new.pth"),
    ):
        result = play.main([*overrides, "games_num=3"])
        name, (mean, std, length, games) = played(capsys)
        assert (run_parent / name).resolve() == file.resolve()
        assert (games, result.games) == (3, 3)
        assert (mean, std, length) == pytest.approx(
            (result.mean_reward, result.std_reward, result.mean_steps), abs=0.06
        )


def test_the_default_number_of_environments_is_that_of_the_games(run_parent, monkeypatch):
    sizes = []

    def spy(self, vec_env=None):
        player = create(self, vec_env)
        sizes.append((player.env.num_envs, player.is_deterministic, player.params.seed, player.games_num))
        return player

    create = play_runner().create_player
    monkeypatch.setattr(play_runner(), "create_player", spy)
    play.main(["runs/old", "games_num=5"])
    play.main(["runs/old", "games_num=100"])
    play.main(["runs/old", "num_envs=2", "games_num=5", "deterministic=False", "seed=9"])
    # At most 64 environments, as in training.
    assert sizes == [(5, True, 42, 5), (64, True, 42, 100), (2, False, 9, 5)]


def play_runner():
    from manybody.runner import Runner

    return Runner


def test_the_same_seed_plays_the_same_games(run_parent):
    overrides = ["runs/old", "num_envs=4", "games_num=8", "deterministic=False"]
    results = [play.main([*overrides, f"seed={seed}"]) for seed in (1, 1, 2)]
    assert results[0] == results[1] != results[2]


def test_train_with_test_true_plays(run_parent, capsys):
    result = train.main(["task=Cartpole", "test=True", "num_envs=4", "train.params.config.player.games_num=8"])
    name, numbers = played(capsys)
    assert name.endswith("new.pth") and numbers[3] == result.games == 8
    train.main(
        [
            "task=Cartpole",
            "test=True",
            "checkpoint=runs/old",
            "num_envs=4",
            "train.params.config.player.games_num=4",
        ]
    )
    assert played(capsys)[0].endswith("old.pth")


def test_overrides_take_precedence_over_the_run(run_parent):
    """``play`` and ``train test=True`` accept the same overrides."""
    overrides = ["task.env.episodeLength=20", "seed=5", "sigma=-30", "games_num=4", "deterministic=False"]
    results = [
        play.main(["runs/old", *overrides]),
        train.main(["task=Cartpole", "test=True", "checkpoint=runs/old", *overrides, "max_iterations=2"]),
        play.main(["runs/old", *overrides[:2], "games_num=4"]),  # sigma exp(-30) is practically zero
    ]
    assert results[0] == results[1] and results[0].mean_steps <= 20
    assert results[0].mean_reward == pytest.approx(results[2].mean_reward)
    assert play.main(["runs/old", *overrides[:2], "games_num=4", "deterministic=False"]) != results[0]


def test_a_checkpoint_outside_a_run_folder_needs_a_task(run_parent, tmp_path, refused):
    (tmp_path / "some.pth").write_bytes((run_parent / "runs" / "old" / "nn" / "old.pth").read_bytes())
    assert "so it is unknown what was trained" in refused(str(tmp_path / "some.pth"))
    assert play.main([str(tmp_path / "some.pth"), "task=Cartpole", "games_num=2"]).games == 2


def test_a_checkpoint_outside_a_run_folder_is_played_with_a_file(run_parent, tmp_path, refused):
    """``--file X`` and ``--file=X`` work before and after the path, as with ``manybody train``."""
    checkpoint, file = str(tmp_path / "some.pth"), str(tmp_path / "cartpole.yaml")
    (tmp_path / "some.pth").write_bytes((run_parent / "runs" / "old" / "nn" / "old.pth").read_bytes())
    params = yaml.safe_load((run_parent / "runs" / "old" / "config.yaml").read_text())["train"]["params"]
    params["config"]["env_name"] = "Cartpole"
    (tmp_path / "cartpole.yaml").write_text(yaml.safe_dump({"params": params}))
    games = ["games_num=2", "seed=3"]
    results = [
        play.main(["--file", file, f"checkpoint={checkpoint}", *games]),
        play.main([checkpoint, "--file", file, *games]),
        play.main([f"--file={file}", checkpoint, *games]),
        train.main([f"--file={file}", "test=True", f"checkpoint={checkpoint}", *games]),
    ]
    assert results[0].games == 2 and all(result == results[0] for result in results)
    for overrides in ([checkpoint, f"--fil={file}"], [checkpoint, "--fil", file]):
        assert "--fil: unknown option; did you mean '--file'?" in refused(*overrides)
    assert "--fil: unknown option; did you mean '--file'?" in refused(f"--fil={file}", command=train.main)
    for overrides in (["--file"], ["--file="], ["--file", "--video"]):
        assert "--file: got" in refused(*overrides) and "expected the path" in refused(*overrides, command=train.main)
    assert f"--file: got {file}, b.yaml; expected one file" in refused("--file", file, "--file=b.yaml")
    assert "no such file" in refused("--file=none.yaml", checkpoint)


WRONG = {
    "no run": (["train_dir=nowhere"], "nowhere: no run with a checkpoint here. Train one first"),
    "no run of the task": (
        ["task=Ant"],
        "no run of Ant with a checkpoint here. Train one first: manybody train task=Ant.",
    ),
    "no such path": (["runs/none"], "runs/none: got a path that does not exist"),
    "no run folder": (["runs"], "got a folder without nn/"),
    "unknown": (["game_num=3"], "game_num: unknown key; did you mean 'games_num'?"),
    "text for a number": (["num_envs=many"], "num_envs: got 'many'; expected a whole number"),
    "a flag for a number": (["games_num=True"], "games_num: got True; expected a whole number"),
    "zero": (["games_num=0"], "games_num: got 0; expected a number of at least 1"),
    "negative": (["seed=-2"], "seed: got -2; expected"),
    "a number for a flag": (["deterministic=7"], "deterministic: got 7; expected true or false"),
    "not YAML": (["games_num=[1"], "games_num: got '[1'"),
    "two paths": (["runs/old", "runs/new"], "runs/new: a second path"),
    "an option": (
        ["--video"],
        "--video: unknown option; settings are key=value without dashes, such as video=True",
    ),
    "another task": (
        ["runs/old", "task=Ant"],
        "is a run of task=Cartpole with a2c_continuous; leave this out",
    ),
    "several": (["a=1", "num_envs=0", "train.params.config.gama=1", "sigma=x"], "4 problems"),
    "settings of training": (
        [
            "runs/old",
            "max_iterations=9",
            "train.params.config.learning_rate=3",
            "capture_video_len=3",
            "num_envs=3",
        ],
        "max_iterations: only affects training; leave it out to play",
    ),
}


@pytest.mark.parametrize("arguments,message", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused(refused, arguments, message):
    assert message in refused(*arguments)


def test_train_with_test_true_refuses_wrong_arguments(refused):
    assert "no run of Ant" in refused("task=Ant", "test=True", command=train.main)
    assert "does not exist" in refused("test=True", "checkpoint=runs/none", command=train.main)


def test_damaged_runs_are_refused(refused, run_parent, tmp_path):
    import shutil

    run = run_parent / "runs" / "old"
    shutil.copytree(run, tmp_path / "run")
    broken = tmp_path / "run"
    best = broken / "nn" / "old.pth"
    best.write_bytes(best.read_bytes()[:-1])
    (last,) = broken.glob("nn/last_*.pth")
    assert f"use checkpoint='{last}'" in refused(str(best))
    assert play.main([str(broken), "games_num=1"]).games == 1  # the folder still has an intact checkpoint
    (broken / "config.yaml").write_text("a: [1\n")
    assert "config.yaml:2" in refused(str(broken)) or "not valid YAML" in refused(str(broken))
    (broken / "config.yaml").write_text("a: 1\n")
    assert "config.yaml" in refused(str(broken))
    (broken / "config.yaml").unlink()
    assert "expected an intact checkpoint" in refused(str(best))  # reported before the missing configuration
    assert "so it is unknown what was trained; give the whole run folder" in refused(str(broken))


def test_a_run_of_the_runner_is_played(tmp_path, monkeypatch):
    from manybody.runner import Runner

    runner = Runner()
    runner.load(task_params("Cartpole", 64, tmp_path, max_epochs=1))
    agent = runner.run({"train": True})
    assert play.main([str(agent.run.folder.path), "games_num=2"]).games == 2
    with pytest.raises(ConfigError, match="did you mean 'games_num'"):
        play.play_run(str(agent.run.folder.path), ["gamesnum=3"])


def test_the_player_has_the_saved_weights(run_parent):
    from manybody.engine.checkpoint import load_checkpoint
    from manybody.engine.run_folder import RunFolder

    folder, file = RunFolder.resolve("runs/old")
    runner = build_runner()
    player = play.load_player(runner, resolve_play(runner, str(folder.path), []))
    saved = load_checkpoint(file)["model"]
    assert all(torch.equal(value, saved[name]) for name, value in player.model.state_dict().items())
