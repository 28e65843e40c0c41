"""``--multirun``: names of folders, the table at the end, and what is said about a swept learning rate."""

from types import SimpleNamespace

import pytest

from manybody import train
from manybody.algos.player import PlayResult
from manybody.config import ConfigError, Problem
from manybody.config.errors import Problems
from manybody.launch import sweep
from manybody.launch.overrides import parse_overrides
from manybody.launch.resolve import resolve_play
from manybody.runner import TrainingStopped, build_runner

pytestmark = pytest.mark.usefixtures("quick")
SMALL = [
    *("num_envs=16", "max_iterations=1", "train.params.torch_threads=1", "video=False"),
    *("train.params.config.minibatch_size=128", "train.params.config.mini_epochs=1"),
]


def in_folders(texts, label="Ant"):
    return sweep._in_folders(parse_overrides(texts, Problems(), sweep=True), label)


def placed(*texts, label="Ant"):
    """Parent folder and name of each job."""
    found = [sweep.raw_values(job) for job in in_folders(texts, label)]
    return [(job["train_dir"], job["experiment"]) for job in found]


def test_folders_are_named_by_what_differs_as_it_was_typed():
    (first, second) = placed("task=Ant", "train.params.config.learning_rate=1e-3,3e-4", "seed=7")
    assert first[1] == "Ant_learning_rate=1e-3" and second[1] == "Ant_learning_rate=3e-4"
    assert first[0] == second[0] and first[0].startswith("runs/Ant_sweep_")
    names = [name for _, name in placed("task=Ant,Cartpole", "seed=range(1,3)", "experiment=try 1")]
    assert names == ["Ant_seed=1", "Ant_seed=2", "Cartpole_seed=1", "Cartpole_seed=2"]
    assert {parent for parent, _ in placed("task=Ant", "seed=1,2", "experiment=try 1")} == {"runs/try 1"}
    assert {parent for parent, _ in placed("seed=1,2", "train_dir=/tmp/x", "experiment=a")} == {"/tmp/x/a"}


def test_keys_with_the_same_last_part_are_told_apart():
    names = [name for _, name in placed("a.name=x,y", "b.name=x,y")]
    assert names[0] == "Ant_a.name=x_b.name=x" and len(set(names)) == 4


def test_values_that_no_file_name_can_hold_still_get_folders_of_their_own():
    names = [name for _, name in placed("task=Ant", "train.params.config.env_name='a/b','a:b'")]
    assert len(set(names)) == 2 and not any("/" in name or ":" in name for name in names)
    long = ",".join("x" * 200 + str(i) for i in range(3))
    names = [name for _, name in placed("task=Ant", f"train.params.config.env_name={long}")]
    assert len(set(names)) == 3 and max(map(len, names)) < 150


def test_a_name_for_each_run_is_kept_where_nothing_else_differs(refused):
    jobs = in_folders(["task=Ant", "experiment=a,b"])
    assert [sweep.raw_values(job)["experiment"] for job in jobs] == ["a", "b"]
    err = refused("--multirun", "task=Cartpole", "experiment=a,b", "seed=1,2")
    assert "experiment: got 'a,b'; expected one name, for the folder of all runs" in err


def test_a_sweep_ends_with_a_table_and_the_newest_of_its_runs_is_played(capsys):
    rates = "train.params.config.learning_rate=1e-3,1e-2"
    agents = train.main(["--multirun", "task=Cartpole", *SMALL, rates, "experiment=rates", "seed=1"])
    out, err = capsys.readouterr()
    assert [agent.run.folder.path.parent.name for agent in agents] == ["rates", "rates"]
    lines = out[out.index("best return") :].splitlines()
    best = sorted(agents, key=lambda agent: -agent.run.best_seen)[0]
    assert lines[2].split()[0] == best.run.folder.path.name and f"{best.frame:,}" in lines[2]
    assert f"manybody compare {best.run.folder.path.parent}" in out
    assert "lr_schedule is 'adaptive', which changes the rate" in err
    for agent in agents:
        agent.run.folder.close()
    assert resolve_play(build_runner(), None, []).start.folder.path == agents[1].run.folder.path


def test_without_an_adaptive_schedule_nothing_is_said(capsys):
    rates = ["train.params.config.learning_rate=1e-3,1e-2", "train.params.config.lr_schedule=constant"]
    train.main(["--multirun", "task=Cartpole", *SMALL, *rates])
    assert "lr_schedule" not in capsys.readouterr().err


def test_a_run_that_fails_leaves_the_table_of_those_before_it(capsys):
    def prepare(job):
        prepared = train.prepare(job)
        return SimpleNamespace(run=prepared.run, start=fail) if "seed=2" in job else prepared

    def fail():
        raise ConfigError([Problem("seed", "no luck")])

    with pytest.raises(ConfigError, match="no luck"):
        sweep.run_sweep(["task=Cartpole", *SMALL, "seed=1,2,3"], prepare)
    out = capsys.readouterr().out
    table, _, left = out[out.index("best return") :].partition("not started:")
    assert "Cartpole_seed=1" in table and "Cartpole_seed=2" not in table
    assert left.split() == ["Cartpole_seed=3"]


def test_a_run_that_is_stopped_is_in_the_table(capsys):
    stop = SimpleNamespace(exit_code=130)
    run = SimpleNamespace(best_seen=1.5, mean_reward=1.0, elapsed=60.0, folder=None, stop=stop)
    agent = SimpleNamespace(frame=640, run=run)

    def stopped():
        raise TrainingStopped(agent)

    job = SimpleNamespace(run=SimpleNamespace(playing=True), start=stopped)
    with pytest.raises(SystemExit):
        sweep.run_sweep(["task=Cartpole", *SMALL, "seed=1,2"], lambda _: job)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3].split() == ["Cartpole_seed=1", "1.5", "1.0", "640", "1.0"]
    assert lines[-1].split() == ["not", "started:", "Cartpole_seed=2"]


def test_a_sweep_of_playing_returns_the_results_and_prints_no_table(capsys):
    result = PlayResult(games=1, mean_reward=1.0, std_reward=0.0, mean_steps=8.0)
    job = SimpleNamespace(run=SimpleNamespace(playing=True), start=lambda: result)
    assert sweep.run_sweep(["test=True", "seed=1,2"], lambda _: job) == [result, result]
    assert "best return" not in capsys.readouterr().out
