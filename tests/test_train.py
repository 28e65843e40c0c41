"""``manybody train`` up to the first epoch: what is composed, what is refused, and how."""

import pytest
import torch
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
    "added at the root": (["+foo=3"], ["foo: unknown key (known: task, train"]),
    "added below": (["++train.params.config.bar=3"], ["train.params.config.bar: unknown key"]),
    "at home elsewhere": (
        ["learning_rate=3", "params.config.gamma=0.9"],
        [
            "learning_rate: unknown key; did you mean 'train.params.config.learning_rate'?",
            "params.config.gamma: unknown key; did you mean 'train.params.config.gamma'?",
        ],
    ),
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
    "wrong type in two places": (
        ["num_envs=many", "max_iterations=-5"],
        [
            "2 problems",
            "- num_envs: given 'many'; expected a whole number",
            "- max_iterations: given -5; expected -1 (no limit) or at least 1",
        ],
    ),
    "wrong type in the task": (
        ["task.env.numEnvs=many"],
        ["configuration: task.env.numEnvs: given 'many'; expected"],
    ),
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
    "no such device": (["rl_device=gpu"], ["rl_device: given 'gpu'; expected a device"]),
    "not key=value": (["max_iterations"], ["max_iterations: is not of the form key=value"]),
    "broken syntax": (
        ["train.params.network.mlp.units=[1"],
        ["train.params.network.mlp.units: given '[1'; expected a number, true, false"],
    ),
    "several values": (["seed=1,2"], ["seed: given '1,2', several values; add --multirun"]),
    "an option": (
        ["--gpu"],
        ["--gpu: unknown option; settings are key=value without dashes, such as gpu=True"],
    ),
    "sigma": (["sigma=wide"], ["sigma: given 'wide'; expected a number"]),
    "sigma without a parameter": (
        ["sigma=0.3", "experiment=sg", "train.params.network.space.continuous.fixed_sigma=False"],
        ["sigma: given 0.3, but this network has no deviation of its own to override"],
    ),
    "what is not there": (
        [
            "wandb_activate=True",
            "horovod=True",
            "pbt=pbt_default",
            "multi_gpu=True",
            "full_experiment_name=x",
        ],
        [
            "5 problems",
            "wandb_activate: given 'True'; there is no Weights & Biases here",
            "horovod: given 'True'; there is no Horovod here",
            "pbt: given 'pbt_default'; there is no population based training here",
            "multi_gpu: given True; expected false: this version trains in one process",
            "full_experiment_name: given 'x'; write experiment=<name>",
        ],
    ),
    "everything at once": (
        [
            "numenvs=3",
            "num_threads=-1",
            "task.env.foo=2",
            "train.params.config.gama=1",
            "train.params.network.mpl=2",
            "headless=maybe",
            "sigma=abc",
            "seed=1,2",
            "experiment=a/b",
            "checkpoint=runs/none.pth",
            "train.params.config.stop_fn=json:stop",
            "train.params.config.env_name=Pendulun-v1",
            "train_dir=/dev/null/runs",
        ],
        [
            "13 problems",
            "headless: given 'maybe'; expected true or false",
            "sigma: given 'abc'; expected a number",
            "seed: given '1,2', several values",
            "run name 'a/b': a name cannot hold a path separator",
            "checkpoint: runs/none.pth: does not exist",
            "params.config.stop_fn: given 'json:stop', which names no function",
            "params.config.env_name: no environment 'Pendulun-v1'; did you mean 'Pendulum-v1'?",
            "/dev/null: cannot be written (Not a directory)",
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
    "no Box": (
        ["train.params.config.env_name=CartPole-v1"],
        "'CartPole-v1' takes actions Discrete(2); expected 'a2c_discrete'",
    ),
    "unknown argument": (
        ["train.params.config.env_name=Pendulum-v1", "train.params.config.env_config.gravity=9"],
        "Gymnasium cannot make 'Pendulum-v1' with {'gravity': 9}",
    ),
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
    words = [
        "max_epochs=3",
        "seeed=9",
        "num_actors=16",
        "paramz=1",
        "task=Ant",
        "train.params.seed=3",
        "gamma",
    ]
    words += [
        "params.cfg.gamma=1",
        "params.config.tau=[1",
        "params.config.gamma=7",
        "num_envs=abc",
        "sigma=x",
    ]
    err = refused("--file", "rl.yaml", *words)
    for told in (
        f"{len(words)} problems",
        "max_epochs: unknown key; did you mean 'params.config.max_epochs'?",
        "seeed: unknown key; did you mean 'seed'?",
        "num_actors: unknown key; did you mean 'params.config.num_actors'?",
        "paramz: unknown key; did you mean 'params'?",
        "task: chooses or changes a task of the configuration tree",
        "train.params.seed: in an RL Games file this is params.seed",
        "gamma: is not of the form key=value",
        "params.cfg: unknown key; did you mean 'config'?",
        "params.config.tau: given '[1'; expected",
        "params.config.gamma",
        "given 7; expected a number above 0",
        "num_envs",
        "given 'abc'; expected a whole number",
        "sigma: given 'x'; expected a number",
    ):
        assert told in err, err


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


def test_a_run_folder_of_another_task_is_refused(refused, tmp_path):
    train.main([*SMALL, "experiment=a"]).run.folder.close()
    err = refused("checkpoint=runs/a", "task=Ant")
    assert (
        "task=Ant: " in err and "runs/a is a run of task=Cartpole with a2c_continuous; leave this out" in err
    )
    (tmp_path / "rl.yaml").write_text(yaml.safe_dump({"params": toy_params()}))
    err = refused("--file", "rl.yaml", "checkpoint=runs/a", "params.config.gamma=0.5")
    assert "--file: rl.yaml: " in err and "is a run of task=Cartpole with a2c_continuous" in err
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

    monkeypatch.setattr("manybody.train.register_tree", interrupt)
    with pytest.raises(SystemExit) as stop:
        train.main(SMALL)
    assert stop.value.code == 130 and capsys.readouterr().err.endswith("error: interrupted\n")


# --- the rest of the command -----------------------------------------------------------------------------------------


@pytest.fixture
def of_a_file(tmp_path):
    """A run ``runs/a`` of one epoch, made with ``--file rl.yaml``."""
    (tmp_path / "rl.yaml").write_text(yaml.safe_dump({"params": toy_params() | {"torch_threads": 1}}))
    words = ["max_iterations=1", "experiment=a", "seed=9", "params.config.tau=0.9"]
    agent = train.main(["--file", "rl.yaml", *words])
    assert (agent.epoch_num, agent.params.seed) == (1, 9)
    return agent.run.folder


def test_a_run_of_a_file_goes_on_with_the_file_or_without(of_a_file, capsys):
    second = train.main(["checkpoint=runs/a", "max_iterations=2", "params.config.gamma=0.9"])
    third = train.main(["--file", "rl.yaml", "checkpoint=runs/a", "max_iterations=3"])
    for epochs, agent in ((2, second), (3, third)):
        assert agent.epoch_num == epochs and agent.run.folder.path == of_a_file.path
        assert (agent.params.seed, agent.tau, agent.gamma) == (9, 0.9, 0.9)
    recorded = yaml.safe_load(of_a_file.config_file.read_text())
    assert recorded["params"]["config"]["max_epochs"] == 3 and recorded["task_name"] == "toy"


def test_a_run_of_a_file_is_played_with_the_file_or_without(of_a_file, refused):
    before = sorted(of_a_file.path.rglob("*"))
    for words in (["checkpoint=runs/a"], ["--file", "rl.yaml", "checkpoint=runs/a"], ["--file", "rl.yaml"]):
        result = train.main([*words, "test=True", "games_num=3", "seed=4"])
        assert result.games == 3
    assert sorted(of_a_file.path.rglob("*")) == before
    err = refused("--file", "rl.yaml", "checkpoint=runs/a", "test=True", "params.config.gamma=0.5")
    assert "params.config.gamma: acts while training only" in err
    assert "task=Ant: " in refused("checkpoint=runs/a", "test=True", "task=Ant")


def test_another_file_cannot_go_on_in_a_run(of_a_file, refused, tmp_path):
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({"params": toy_params(env_name="faulty")}))
    err = refused("--file", "other.yaml", "checkpoint=runs/a")
    assert "--file: other.yaml: " in err and "runs/a is a run of toy with a2c_continuous" in err


def test_sigma_is_about_one_launch(tmp_path):
    train.main([*SMALL, "experiment=a", "sigma=-1"])
    again = train.main(["checkpoint=runs/a", "max_iterations=1"])
    saved = load_checkpoint(again.run.folder.newest())["model"]["a2c_network.sigma"]
    assert float(saved) != -1 and torch.equal(again.model.a2c_network.sigma, saved)


def test_keys_of_isaac_gym_that_change_nothing_are_told_once(tmp_path, capsys):
    words = ["pipeline=gpu", "graphics_device_id=0", "wandb_activate=False", "pbt=no_pbt", "headless=False"]
    assert train.main([*SMALL, *words, "experiment=é a=1"]).run.folder.path.name == "é a=1"
    err = capsys.readouterr().err
    for word in words:
        assert err.count(f"warning: {word.partition('=')[0]}: has no effect: ") == 1


def test_multirun_trains_every_combination_after_checking_all(tmp_path, refused):
    jobs = "train.params.config.learning_rate=1e-3,2e-3"
    assert "params.config.gamma: given 7" in refused(
        "--multirun", *SMALL, jobs, "train.params.config.gamma=0.9,7"
    )
    assert "experiment: given 'a'; 2 runs would share this folder" in refused(
        "--multirun", *SMALL, jobs, "experiment=a"
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
