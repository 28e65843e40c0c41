"""What a command line is refused for, and in which words: everything at once, and nothing is left behind (F9)."""

import pytest
import yaml
from toy_env import toy_params

from manybody import tasks
from manybody.config import ConfigError
from manybody.config.errors import Problems
from manybody.launch.configuration import Configuration
from manybody.launch.hydra_tree import compose
from manybody.launch.overrides import parse_overrides, raw_values
from manybody.launch.resolve import resolve, unused_in_play
from manybody.launch.saved_run import compose_saved
from manybody.launch.validate import check_camera
from manybody.runner import build_runner
from manybody.tasks.cartpole import Cartpole

pytestmark = pytest.mark.usefixtures("quick")
SMALL = [
    *("task=Cartpole", "num_envs=64", "max_iterations=1", "train.params.torch_threads=1"),
    *("train.params.config.minibatch_size=512", "train.params.config.mini_epochs=2"),
]

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
    "two kinds of action": (
        ["++train.params.network.space.discrete=null"],
        ["params.network.space: got a block with continuous, discrete; expected exactly one of continuous"],
    ),
    "misplaced": (["train.params.gamma=0.9"], ["params.gamma: unknown key; it belongs to params.config"]),
    "wrong type": (
        ["train.params.config.gamma=high"],
        ["params.config.gamma: got 'high'; expected a number"],
    ),
    "wrong type in two places": (
        ["num_envs=many", "max_iterations=-5"],
        [
            "2 problems",
            "- num_envs: got 'many'; expected a whole number",
            "- max_iterations: got -5; expected -1 (no limit) or at least 1",
        ],
    ),
    "wrong type in the task": (
        ["task.env.numEnvs=many"],
        ["configuration: task.env.numEnvs: got 'many'; expected"],
    ),
    "wrong type at the root": (["num_threads=few"], ["num_threads: got 'few'; expected a whole number"]),
    "not true or false": (
        ["torch_deterministic=maybe"],
        ["torch_deterministic: got 'maybe'; expected true or false"],
    ),
    "out of range": (
        ["train.params.config.gamma=1.5"],
        ["params.config.gamma: got 1.5; expected a number"],
    ),
    "out of range in the task": (["task.sim.dt=-1"], ["task.sim.dt: got -1; expected a number above 0"]),
    "indivisible batch": (
        ["train.params.config.minibatch_size=500"],
        ["got 500; expected a divisor of 1024", "such as 512"],
    ),
    "unknown task": (
        ["task=Cartpol"],
        ["task: got 'Cartpol'; expected one of Ant, Cartpole", "did you mean 'Cartpole'?"],
    ),
    "no motion": (
        ["task=HumanoidAMP", "task.env.motion_file=[]"],
        ["configuration: task.env.motion_file: got []; expected the name of a clip, a file, or a list of them"],
    ),
    "an empty motion": (
        ["task=HumanoidAMP", "task.env.motion_file="],
        ["configuration: task.env.motion_file: "],
    ),
    "null for a motion": (
        ["task=HumanoidAMP", "task.env.motion_file=null"],
        ["configuration: task.env.motion_file: got None; expected the name of a clip"],
    ),
    "a number for a motion": (
        ["task=HumanoidAMP", "task.env.motion_file=[walk,3]"],
        ["configuration: task.env.motion_file: got ['walk', 3]; expected the name of a clip"],
    ),
    "no discriminator": (
        ["task=HumanoidAMP", "train.params.model.name=continuous_a2c_logstd"],
        ["params.model.name: got 'continuous_a2c_logstd'; expected 'continuous_amp', with which 'amp_cont"],
    ),
    "fastest below slowest": (
        ["task=HumanoidAMPHeading", "task.env.targetSpeedMin=2", "task.env.targetSpeedMax=1"],
        ["configuration: task.env.targetSpeedMax: got 1; expected at least targetSpeedMin, which is 2"],
    ),
    "unknown algorithm": (
        ["train.params.algo.name=ppo"],
        ["params.algo.name: no algorithm is registered as 'ppo'"],
    ),
    "unknown network": (
        ["train.params.network.name=actor"],
        ["params.network.name: no network is registered as 'actor'"],
    ),
    "no physics there": (["sim_device=cuda:0"], ["sim_device: got 'cuda:0'; expected 'cpu'"]),
    "no such device": (["rl_device=gpu"], ["rl_device: got 'gpu'; expected a device"]),
    "not key=value": (["max_iterations"], ["max_iterations: is not of the form key=value"]),
    "broken syntax": (
        ["train.params.network.mlp.units=[1"],
        ["train.params.network.mlp.units: got '[1'; expected a number, true, false"],
    ),
    "several values": (["seed=1,2"], ["seed: got '1,2'; expected one value; add --multirun"]),
    "an option": (
        ["--gpu"],
        ["--gpu: unknown option; settings are key=value without dashes, such as gpu=True"],
    ),
    "sigma": (["sigma=wide"], ["sigma: got 'wide'; expected a number"]),
    "sigma without a parameter": (
        ["sigma=0.3", "experiment=sg", "train.params.network.space.continuous.fixed_sigma=False"],
        ["sigma: got 0.3; expected no sigma: the network predicts its own"],
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
            "wandb_activate: got 'True'; there is no Weights & Biases here",
            "horovod: got 'True'; there is no Horovod here",
            "pbt: got 'pbt_default'; there is no population based training here",
            "multi_gpu: got True; expected false: this version trains in one process",
            "full_experiment_name: got 'x'; write experiment=<name>",
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
            "headless: got 'maybe'; expected true or false",
            "sigma: got 'abc'; expected a number",
            "seed: got '1,2'; expected one value",
            "run name 'a/b': a name cannot contain a path separator",
            "checkpoint: runs/none.pth: got a path that does not exist",
            "params.config.stop_fn: got 'json:stop', which names no function",
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
    err = refused(*[word for word in SMALL if word.split("=")[0] not in {w.split("=")[0] for w in words}], *words)
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
        "params.config.tau: got '[1'; expected",
        "params.config.gamma",
        "got 7; expected a number of at most 1",
        "num_envs",
        "got 'abc'; expected a whole number",
        "sigma: got 'x'; expected a number",
    ):
        assert told in err, err


def test_compose_reports_what_hydra_refuses():
    with pytest.raises(ConfigError, match=r"in: task=Ant seed=\$\{nothing\}"):
        compose(["task=Ant", "seed=${nothing}"])


def under(saved, texts, folder):
    """A run's configuration under overrides."""
    return compose_saved(Configuration(saved), parse_overrides(texts, Problems()), None, folder, Problems())


def test_what_of_amp_acts_while_training_only(tmp_path):
    tree = compose(["task=HumanoidAMP"])
    settings = [
        *("disc_coef=3", "disc_logit_reg=1", "disc_grad_penalty=1", "disc_weight_decay=1"),
        *("amp_batch_size=4", "amp_minibatch_size=4", "amp_replay_keep_prob=0.5"),
        *("amp_obs_demo_buffer_size=4", "amp_replay_buffer_size=4", "save_amp_buffers=True"),
        *("task_reward_w=1", "disc_reward_w=2", "disc_reward_scale=1"),
    ]
    words = [f"train.params.config.{setting}" for setting in settings]
    played = ["train.params.config.normalize_amp_input=False"]
    cfg = under(tree, [*words, *played], tmp_path)
    told = {
        x.path: x.message
        for x in unused_in_play(build_runner(), Configuration(tree), Configuration(cfg), raw_values(words), None)
    }
    assert set(told) == {word.split("=")[0] for word in words}
    assert set(told.values()) == {"only affects training; leave it out to play"}


def test_a_camera_of_the_model_films_by_either_name(tmp_path):
    for word in ("video.camera=track", "+video.camera=track", "video_camera=track"):
        assert resolve(build_runner(), ["task=Ant", word, "video.seconds=2"]).root.video_camera == "track"
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"params": toy_params()}))
    file = str(tmp_path / "a.yaml")
    assert resolve(build_runner(), ["video.camera=12"], file).root.video_camera == "12"
    assert raw_values(["video.camera=side"]) == {"video_camera": "side"}


def test_an_unknown_camera_is_refused_with_those_of_the_model(refused, tmp_path, monkeypatch):
    class Filmed(Cartpole):
        asset = """<mujoco><worldbody><camera name="side"/><camera name="top"/></worldbody></mujoco>"""

    monkeypatch.setitem(tasks.TASKS, "Cartpole", Filmed)
    told = "video.camera: got 'sid'; expected one of side, top"
    assert told in refused("task=Cartpole", "video.camera=sid")
    content = {"params": toy_params(env_name="Cartpole")}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content))
    assert told in refused("--file", "a.yaml", "video.camera=sid")
    problems = Problems()
    for camera, task in (("top", "Cartpole"), ("track", "Cartpole"), ("sid", "an environment of another library")):
        check_camera(camera, task, problems)
    assert problems == []


def test_a_run_of_an_earlier_version_lacks_keys_and_gets_their_defaults(tmp_path):
    cfg = compose(["task=Cartpole"])
    del cfg["video_seconds"], cfg["task"]["env"]["resetDist"]
    cfg["task"]["env"]["maxEffort"] = 300.0
    played = under(cfg, ["seed=7"], tmp_path)
    assert (played["video_seconds"], played["task"]["env"]["resetDist"]) == (5.0, 3.0)
    assert played["task"]["env"]["maxEffort"] == 300.0  # the run's own
