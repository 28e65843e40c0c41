"""What stands in a file beside ``params``, where it starts from, and what becomes of both."""

import copy

import pytest
import yaml
from toy import ToyEnv, toy_params

from manybody import train
from manybody.config import ConfigError, ConfigWarning
from manybody.config.errors import Problems
from manybody.engine.run_folder import RunFolder
from manybody.launch.configuration import without_start
from manybody.launch.overrides import parse_overrides
from manybody.launch.resolve import resolve
from manybody.launch.rl_games_checkpoint import _resolved
from manybody.launch.rl_games_yaml import compose_content
from manybody.launch.saved_run import compose_saved, load_saved
from manybody.launch.validate import first_checkpoint
from manybody.runner import Runner, build_runner

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def file(tmp_path):
    """``file(beside, **params)``: the path of a file for the toy."""

    def write(beside=None, config=None, **params):
        base = toy_params(env_name="toy", max_epochs=1, **(config or {}))
        base = {**base, "torch_threads": 1, **params}
        path = tmp_path / "file.yaml"
        path.write_text(yaml.safe_dump({**(beside or {}), "params": base}, sort_keys=False))
        return str(path)

    return write


def content_of(path):
    with open(path) as stream:
        return yaml.safe_load(stream)


def settings(path, *words):
    return resolve(build_runner(), words, path).params


def problems(path, *words):
    with pytest.raises(ConfigError) as error:
        settings(path, *words)
    return [str(problem).replace(path, "FILE") for problem in error.value.problems]


def test_root_keys_act_as_on_a_command_line(file):
    path = file({"seed": 7, "num_envs": 16, "max_iterations": 3, "experiment": "walk", "games_num": 9}, seed=5)
    params = settings(path)
    assert (params.seed, params.config.num_actors, params.config.max_epochs) == (7, 16, 3)
    assert (params.config.full_experiment_name, params.config.player.games_num) == ("walk", 9)
    params = settings(path, "seed=1", "params.config.num_actors=8")
    assert (params.seed, params.config.num_actors) == (1, 8)  # the command line wins


def test_keys_that_cannot_act_are_refused_in_one_go(file):
    beside = {"sead": 7, "test": True, "task": "Ant", "num_envs": "many", "horovod": 1}
    told = problems(file(beside))
    assert [line.partition("): ")[0] + ")" for line in told] == [
        *("sead (FILE:1)", "test (FILE:2)", "task (FILE:3)", "horovod (FILE:5)"),
        "num_envs (FILE:4)",
    ]
    assert "did you mean 'seed'?" in told[0]
    assert "add test=True to the command line" in told[1]
    assert told[-1].endswith("got 'many'; expected a whole number")


def test_a_list_of_defaults_is_refused_alone(tmp_path):
    path = tmp_path / "kuka.yaml"
    path.write_text("defaults:\n  - KukaPPO\nparams:\n  config: {minibatch_size: 32768}\n")
    (told,) = problems(str(path))
    assert told.startswith(
        f"defaults ({path}:1): got ['KukaPPO']; expected one complete file".replace(str(path), "FILE")
    )
    assert "manybody train task=… train=…" in told and "copy the content of those files" in told


@pytest.mark.filterwarnings("ignore:wandb", "ignore:asymmetric")
@pytest.mark.parametrize("block", [{"enabled": False, "policy_idx": 0}, "no_pbt", None])
def test_keys_that_ask_for_nothing_are_noticed(file, block):
    with pytest.warns(ConfigWarning, match=r"pbt \(.*file.yaml:1\): has no effect"):
        settings(file({"pbt": block, "wandb_activate": False, "asymmetric_obs": True}))
    assert "pbt (FILE:1)" in problems(file({"pbt": {"enabled": True}}))[0]


def test_keys_about_the_launch_act(file):
    root = resolve(build_runner(), [], file({"sigma": 0.5, "video": False})).root
    assert (root.sigma, root.video) == (0.5, False)


def test_a_reference_follows_the_command_line(file):
    path = file(
        {"num_envs": "${resolve_default:16,''}"},
        config={"minibatch_size": "${.num_actors}", "name": "${.env_name}"},
    )
    assert settings(path).config.minibatch_size == 16
    params = settings(path, "params.config.num_actors=8").config
    assert (params.minibatch_size, params.name) == (8, "toy")


def test_a_reference_without_a_value_has_one_sentence(file):
    path = file(config={"num_actors": "${....task.env.numEnvs}", "minibatch_size": "${.num_actors}", "gamma": 2})
    told = problems(path)
    assert len(told) == 2 and "add num_envs=<number>" in told[0]
    assert told[1].startswith("params.config.gamma")
    assert "gamma" in problems(path, "num_envs=8")[0]


# --- where it starts from --------------------------------------------------------------------------------------------


def trained(path, *words):
    agent = train.prepare(list(words), path).start()
    agent.run.folder.close()
    return agent


def test_load_path_is_what_checkpoint_is_and_a_resumed_run_has_its_own(file):
    first = trained(file(), "experiment=first")
    loads = file(load_checkpoint=True, load_path=str(first.run.folder.newest()))
    second = trained(loads, "experiment=second", "max_iterations=2")
    assert second.epoch_num == 2 and second.run.folder.path.name == "second"
    assert {file.name.split("_ep_")[1][0] for file in second.run.folder.nn.glob("last_*")} == {"2"}  # not 1
    recorded = yaml.safe_load(second.run.folder.config_file.read_text())
    assert not recorded["params"].get("load_checkpoint")
    resumed = trained(loads, f"checkpoint={second.run.folder.path}", "max_iterations=3")
    assert resumed.epoch_num == 3 and resumed.run.folder.path == second.run.folder.path


def test_a_resumed_run_resolves_the_file_under_the_new_words(file):
    """Eight environments of eight steps are a batch of 64, sixteen one of 128."""
    path = file(config={"num_actors": "${....task.env.numEnvs}", "minibatch_size": "${.num_actors}"})
    folder = trained(path, "experiment=first", "num_envs=8").run.folder.path
    config = settings(path, f"checkpoint={folder}", "num_envs=16", "max_iterations=2").config
    assert (config.num_actors, config.minibatch_size) == (16, 16)
    assert (config.full_experiment_name, config.max_epochs) == ("first", 2)
    wrong = Problems()
    compose_saved(load_saved(folder), [], file({"sead": 1}), folder, wrong)
    assert [problem.path for problem in wrong] == ["sead"]


def test_the_command_line_wins_over_load_path(file):
    path = file(load_checkpoint=True, load_path="no.pth")
    for word in ("checkpoint=", "params.load_checkpoint=False"):
        assert first_checkpoint(settings(path, word)) is None


@pytest.mark.parametrize("path", ["", "None", None])
def test_load_checkpoint_without_a_path_is_refused(file, path):
    (told,) = problems(file(load_checkpoint=True, load_path=path))
    assert told == "params.load_path: missing; expected the path of a checkpoint, because load_checkpoint is true"


def test_a_load_path_that_is_not_there_is_refused(file):
    (told,) = problems(file(load_checkpoint=True, load_path="no.pth"))
    assert told.startswith("params.load_path: no.pth: got a path that does not exist")


# --- scripts ---------------------------------------------------------------------------------------------------------


def test_a_runner_reads_the_same_file(file):
    content = content_of(file({"seed": 7, "mine": 1}, config={"name": "${.env_name}"}))
    before = copy.deepcopy(content)
    runner = Runner()
    runner.load(content)
    assert (runner.seed, runner.params.config.name) == (7, "toy") and content == before
    assert runner.run_config["mine"] == 1 and "seed" not in runner.run_config
    with pytest.raises(ConfigError, match="defaults: got "):
        Runner().load({**content, "defaults": ["other"]})


def test_a_runner_starts_from_load_path(file):
    first = trained(file(), "experiment=first")
    content = content_of(file(load_checkpoint=True, load_path=str(first.run.folder.newest())))
    content["params"]["config"] |= {"max_epochs": 2, "full_experiment_name": "second"}
    runner = Runner()
    runner.load(content)
    agent = runner.run({"train": True, "vec_env": ToyEnv()})
    assert agent.epoch_num == 2 and agent.frame == first.frame * 2
    assert not yaml.safe_load(agent.run.folder.config_file.read_text())["params"].get("load_checkpoint")
    agent.run.folder.close()
    content["params"]["load_path"] = ""
    runner.load(content)
    with pytest.raises(ConfigError, match=r"params.load_path: missing"):
        runner.run({"train": True, "vec_env": ToyEnv()})
    assert RunFolder.open("runs/second").newest()


def test_what_a_file_holds_is_composed_without_a_file():
    problems = Problems()
    overrides = parse_overrides(["seed=3"], problems)
    cfg = compose_content({"params": {"seed": "${...seed}"}}, overrides, problems)
    assert (cfg["params"]["seed"], problems) == (3, [])


def test_the_tree_starts_from_load_path_too(tmp_path):
    words = ["task=Cartpole", "train.params.load_checkpoint=True", "train.params.load_path=no.pth"]
    with pytest.raises(ConfigError, match=r"train.params.load_path: no.pth: got a path that does not exist"):
        resolve(build_runner(), words)
    began = {"load_checkpoint": True, "load_path": "old.pth", "seed": 1}
    assert without_start({"train": {"params": began}}) == {"train": {"params": {"seed": 1}}}


def test_playing_a_file_plays_its_load_path(file):
    first = trained(file(), "experiment=first")
    best = first.run.folder.newest()
    trained(file(), "experiment=newer")
    run = train.prepare(["test=True"], file(load_checkpoint=True, load_path=str(best)))
    assert run.run.start.checkpoint == best


def test_an_imported_run_has_no_references(file):
    path = file({"num_envs": 4}, {"name": "${.env_name}", "full_experiment_name": "${.name}"})
    _, config = _resolved(build_runner(), path, [])
    assert config["params"]["config"]["name"] == "toy" and config["params"]["config"]["num_actors"] == 4


@pytest.mark.filterwarnings("error")
def test_a_minibatch_size_on_the_command_line_replaces_the_other_of_the_file(file):
    """A batch is 8 x 8 = 64; Cartpole's training file has minibatch_size_per_env."""
    path = file(config={"minibatch_size": None, "minibatch_size_per_env": 4})
    assert settings(path).config.resolved_minibatch_size == 32
    assert settings(path, "params.config.minibatch_size=16").config.minibatch_size_per_env is None
    words = ["task=Cartpole", "num_envs=64", "train.params.config.minibatch_size=512"]
    assert resolve(build_runner(), words).params.config.minibatch_size_per_env is None
