"""``manybody train`` up to the first epoch: what is composed, what is refused, and how."""

import pytest
import yaml
from toy import ToyEnv
from toy_env import Fault, FaultyEnv, toy_params

from manybody import train
from manybody.config import ConfigError
from manybody.engine.checkpoint import load_checkpoint
from manybody.engine.run_folder import RunFolder
from manybody.envs import registration
from manybody.hydra_tree import compose

SMALL = [
    *("task=Cartpole", "num_envs=64", "max_iterations=1", "train.params.torch_threads=1"),
    *("train.params.config.minibatch_size=512", "train.params.config.mini_epochs=2"),
]


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    """In an empty folder, without pictures, with a toy that can break."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "show_results", lambda *_: None)
    monkeypatch.setattr(registration, "_creators", dict(registration._creators))
    registration.register("toy", lambda num_actors, **_: ToyEnv(num_actors))
    registration.register(
        "faulty", lambda num_actors, **_: FaultyEnv(Fault("obs", float("nan")), num_envs=num_actors)
    )


@pytest.fixture
def refused(capsys, tmp_path):
    """``refused(words)``: the message of a command that exits with 2 and leaves nothing behind."""

    def refuse(*words, code=2):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as stop:
            train.main(list(words))
        out, err = capsys.readouterr()
        assert stop.value.code == code
        assert sorted(tmp_path.rglob("*")) == before
        assert "Traceback" not in out + err and err.startswith("error: ")
        return err

    return refuse


# --- F9: configuration -------------------------------------------------------------------------------------------

WRONG = {
    "unknown at the root": (["numenvs=3"], ["numenvs: unknown key; did you mean 'num_envs'?"]),
    "added at the root": (["+foo=3"], ["foo: unknown key"]),
    "unknown in the task": (
        ["task.env.resetDistance=3"],
        ["task.env.resetDistance: unknown key; did you mean 'resetDist'?"],
    ),
    "unknown in task.sim": (["task.sim.gravty=3"], ["task.sim.gravty: unknown key; did you mean 'gravity'?"]),
    "unknown in params": (["train.params.sed=3"], ["params.sed: unknown key; did you mean 'seed'?"]),
    "unknown in config": (
        ["train.params.config.gama=1"],
        ["params.config.gama: unknown key; did you mean 'gamma'?"],
    ),
    "unknown in network": (
        ["train.params.network.mpl=1"],
        ["params.network.mpl: unknown key; did you mean 'mlp'?"],
    ),
    "unknown deep in network": (
        ["train.params.network.mlp.unit=[1]"],
        ["params.network.mlp.unit: unknown key; did you mean 'units'?"],
    ),
    "misplaced": (["train.params.gamma=0.9"], ["params.gamma: unknown key; it belongs to params.config"]),
    "wrong type": (
        ["train.params.config.gamma=high"],
        ["params.config.gamma: given 'high'; expected a number"],
    ),
    "wrong type in the task": (["num_envs=many"], ["task.env.numEnvs: given 'many'; expected"]),
    "wrong type at the root": (["num_threads=few"], ["num_threads: given 'few'; expected a whole number"]),
    "not true or false": (
        ["torch_deterministic=maybe"],
        ["torch_deterministic: given 'maybe'; expected true or false"],
    ),
    "out of range": (
        ["train.params.config.gamma=1.5"],
        ["params.config.gamma: given 1.5; expected a number"],
    ),
    "out of range in the task": (["task.sim.dt=-1"], ["task.sim.dt: given -1; expected a number above 0"]),
    "indivisible batch": (
        ["train.params.config.minibatch_size=500"],
        ["given 500; expected a divisor of 1024", "such as 512"],
    ),
    "unknown task": (
        ["task=Cartpol"],
        ["task: given 'Cartpol'; expected one of Ant, Cartpole", "did you mean 'Cartpole'?"],
    ),
    "unknown algorithm": (
        ["train.params.algo.name=ppo"],
        ["params.algo.name: no algorithm is registered as 'ppo'"],
    ),
    "unknown network": (
        ["train.params.network.name=actor"],
        ["params.network.name: no network is registered as 'actor'"],
    ),
    "no physics there": (["sim_device=cuda:0"], ["sim_device: given 'cuda:0'; expected 'cpu'"]),
    "no such device for physics": (["sim_device=gpu"], ["sim_device: given 'gpu'; expected a device"]),
    "no such device": (["rl_device=gpu"], ["params.config.device: given 'gpu'; expected a device"]),
    "not key=value": (["max_iterations"], ["max_iterations: is not of the form key=value"]),
    "broken syntax": (["train.params.network.mlp.units=[1"], ["train.params.network.mlp.units=[1"]),
    "unknown option": (["--gpu"], ["--gpu: unknown option (known: --file, --multirun)"]),
    "sigma": (["sigma=wide"], ["sigma: given 'wide'; expected a number"]),
    "everything at once": (
        [
            "numenvs=3",
            "num_threads=-1",
            "task.env.foo=2",
            "train.params.config.gama=1",
            "train.params.network.mpl=2",
        ],
        [
            "5 problems",
            "numenvs: ",
            "num_threads: ",
            "task.env.foo: ",
            "params.config.gama: ",
            "params.network.mpl: ",
        ],
    ),
}


@pytest.mark.parametrize("words,told", WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_named_with_the_way_out(refused, words, told):
    if words[0].startswith("task="):
        words = [*SMALL[1:], *words]
    err = refused(
        *[word for word in SMALL if word.split("=")[0] not in {w.split("=")[0] for w in words}], *words
    )
    assert all(text in err for text in told), err


LATER = {
    "unknown environment": (["train.params.config.env_name=Pendulun-v1"], "did you mean 'Pendulum-v1'?"),
    "no Box": (
        ["train.params.config.env_name=CartPole-v1"],
        "the action space of 'CartPole-v1' is Discrete(2)",
    ),
    "unknown argument": (
        ["train.params.config.env_name=Pendulum-v1", "train.params.config.env_config.gravity=9"],
        "Gymnasium cannot make 'Pendulum-v1' with {'gravity': 9}",
    ),
    "no such stop_fn": (
        ["train.params.config.stop_fn=json:stop"],
        "params.config.stop_fn: given 'json:stop'",
    ),
    "no such checkpoint": (["checkpoint=runs/none.pth"], "runs/none.pth: does not exist"),
    "impossible name": (["experiment=a/b"], "run name 'a/b'"),
}


@pytest.mark.parametrize("words,told", LATER.values(), ids=LATER)
def test_what_shows_when_the_run_is_built_leaves_nothing_behind_either(refused, words, told):
    assert told in refused(*SMALL, *words)


YAML = {
    "a tab": ("params:\n\tseed: 1\n", ":2"),
    "a key twice": ("params:\n  seed: 1\n  seed: 2\n", ":3"),
    "a tag": ("params: !!python/object/apply:os.system ['touch here']\n", ":1"),
    "no yaml": ("params: [1\n", "not valid YAML"),
    "nothing": ("", "empty"),
    "a list": ("- 1\n", "list"),
    "no params": ("config: {}\n", "params: missing"),
    "wrong inside": ("params:\n  algo: {name: a2c_continuous}\n  sed: 1\n", "rl.yaml:3"),
}


@pytest.mark.parametrize("text,told", YAML.values(), ids=YAML)
def test_a_bad_file_is_refused_with_its_line(refused, tmp_path, text, told):
    (tmp_path / "rl.yaml").write_text(text)
    assert told in refused("--file", "rl.yaml")


def test_bad_words_after_a_file(refused, tmp_path):
    (tmp_path / "rl.yaml").write_text(yaml.safe_dump({"params": toy_params()}))
    assert "no such file" in refused("--file", "other.yaml")
    assert "expected the path" in refused("--file")
    assert "params.cfg.gamma=1: expected key=value with a key of rl.yaml" in refused(
        "--file", "rl.yaml", "params.cfg.gamma=1"
    )
    assert "params.config.gamma: given '[1', which is not YAML" in refused(
        "--file", "rl.yaml", "params.config.gamma=[1"
    )
    assert "given 7; expected a number above 0" in refused("--file", "rl.yaml", "params.config.gamma=7")


# --- checkpoints ---------------------------------------------------------------------------------------------------


def test_bad_checkpoints_are_refused_and_the_previous_good_one_is_offered(refused, tmp_path):
    agent = train.main([*SMALL, "experiment=a", "train.params.config.save_frequency=1", "max_iterations=2"])
    old, new = sorted(agent.run.folder.nn.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    agent.run.folder.close()
    assert "_ep_2_" in new.name
    assert "missing a2c_network" in refused("task=Ant", f"checkpoint={old}")  # another task's
    new.write_bytes(new.read_bytes()[:-1000])
    err = refused(*SMALL, f"checkpoint={new}")
    assert f"{new}: file: found" in err and f"use checkpoint='{old}'" in err
    old.write_bytes(b"")
    assert "an empty file" in refused(*SMALL, f"checkpoint={old}")
    assert "holds no intact checkpoint" in refused(*SMALL, "checkpoint=runs/a")


def test_a_folder_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(tmp_path):
    words = [*SMALL, "experiment=a", "train.params.config.save_frequency=1", "max_iterations=3"]
    agent = train.main(words)
    newest = agent.run.folder.newest()
    newest.write_bytes(newest.read_bytes()[:-1000])
    agent.run.folder.close()
    again = train.main(["checkpoint=runs/a"])
    assert again.epoch_num == 3 and load_checkpoint(newest)["epoch"] == 3  # made again


def test_a_run_folder_goes_on_under_its_own_configuration_and_the_given_changes(tmp_path, capsys):
    first = train.main([*SMALL, "experiment=a", "seed=3", "train.params.config.gamma=0.97"])
    first.run.folder.close()
    second = train.main(["checkpoint=runs/a", "max_iterations=2"])
    assert (second.epoch_num, second.num_actors, second.gamma, second.params.seed) == (2, 64, 0.97, 3)
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["a"]
    second.run.folder.close()
    third = train.main(
        ["checkpoint=runs/a", "max_iterations=3", "task=Cartpole", "train.params.config.gamma=0.98"]
    )
    assert (third.epoch_num, third.gamma) == (3, 0.98)
    third.run.folder.close()
    fourth = train.main(["checkpoint=runs/a"])  # what was changed stays changed
    assert (fourth.epoch_num, fourth.max_epochs, fourth.gamma) == (3, 3, 0.98)


def test_a_run_folder_of_another_task_is_refused(refused):
    train.main([*SMALL, "experiment=a"]).run.folder.close()
    assert "task=Ant: runs/a is a run of Cartpole" in refused("checkpoint=runs/a", "task=Ant")
    assert "numenvs: unknown key" in refused("checkpoint=runs/a", "numenvs=3")


def test_a_checkpoint_file_is_gone_on_from_in_a_new_run(tmp_path):
    first = train.main([*SMALL, "experiment=a"])
    second = train.main(
        [*SMALL, "experiment=b", "max_iterations=2", f"checkpoint={first.run.folder.newest()}"]
    )
    assert second.epoch_num == 2 and second.run.folder.path == tmp_path / "runs" / "b"
    assert not list(first.run.folder.nn.glob("*_ep_2_*"))


# --- how it ends -----------------------------------------------------------------------------------------------------


def test_the_guard_ends_training_with_exit_code_3_and_a_checkpoint(tmp_path, capsys):
    words = [
        "train.params.config.env_name=faulty",
        "train.params.config.guard=abort",
        "experiment=a",
        "max_iterations=9",
    ]
    with pytest.raises(SystemExit) as stop:
        train.main([*SMALL, *words])
    err = capsys.readouterr().err
    assert stop.value.code == 3 and "Traceback" not in err
    # fault: step 20 of the run in environment 3; rollouts of 16 steps, so step 4 of the second one
    assert (
        err.startswith("error: training stopped: NaN, infinite") and "obs of environment 3 at step 4" in err
    )
    (file,) = (tmp_path / "runs" / "a" / "nn").iterdir()
    assert f"The last good weights are in {file}" in err and load_checkpoint(file)["epoch"] == 2


def test_an_interruption_while_building_is_no_traceback(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("manybody.runner.register_tree", interrupt)
    with pytest.raises(SystemExit) as stop:
        train.main(SMALL)
    assert stop.value.code == 130 and capsys.readouterr().err.endswith("error: interrupted\n")


# --- the rest of the command -----------------------------------------------------------------------------------------


def test_an_rl_games_file_trains_and_goes_on(tmp_path, capsys):
    (tmp_path / "rl.yaml").write_text(yaml.safe_dump({"params": toy_params() | {"torch_threads": 1}}))
    first = train.main(
        ["--file", "rl.yaml", "params.config.max_epochs=1", "params.config.full_experiment_name=a"]
    )
    assert first.epoch_num == 1
    first.run.folder.close()
    second = train.main(["--file", "rl.yaml", "params.config.max_epochs=2", "checkpoint=runs/a"])
    assert second.epoch_num == 2 and second.run.folder.path == tmp_path / "runs" / "a"


def test_multirun_trains_every_combination_after_checking_all(tmp_path, refused):
    jobs = "train.params.config.learning_rate=1e-3,2e-3"
    assert "params.config.gamma: given 7" in refused(
        "--multirun", *SMALL, jobs, "train.params.config.gamma=0.9,7"
    )
    agents = train.main(["--multirun", *SMALL, jobs, "train.params.config.lr_schedule=constant"])
    assert [float(agent.last_lr) for agent in agents] == pytest.approx([1e-3, 2e-3])
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_gymnasium_environment_by_name(tmp_path):
    agent = train.main(
        [
            *SMALL,
            "num_envs=8",
            "train.params.config.env_name=Pendulum-v1",
            "train.params.config.minibatch_size=64",
        ]
    )
    assert agent.epoch_num == 1 and agent.obs_shape == (3,)


def test_compose_reports_what_hydra_refuses():
    with pytest.raises(ConfigError, match=r"in: task=Ant seed=\$\{nothing\}"):
        compose(["task=Ant", "seed=${nothing}"])


def test_the_saved_configuration_is_the_resolved_tree(tmp_path):
    agent = train.main([*SMALL, "experiment=a", "seed=5"])
    saved = yaml.safe_load(RunFolder.open(tmp_path / "runs" / "a").config_file.read_text())
    assert saved["command"] == [*SMALL, "experiment=a", "seed=5"]
    assert saved["task_name"] == "Cartpole" and saved["task"]["env"]["numEnvs"] == 64
    assert saved["train"]["params"]["seed"] == agent.params.seed == 5
