"""Tasks, agents and networks of one's own, from the command line: by module, and by entry point."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import manybody.tasks
from manybody import cli, model_builder, play, train
from manybody.config import ConfigError, plugins
from manybody.envs import registration

pytestmark = pytest.mark.slow  # whole commands

EXAMPLES = Path(__file__).parents[2] / "examples"
TASK = """
import torch
import manybody
from manybody.config.task import EnvConfig, TaskConfig

class RailEnvConfig(EnvConfig):
    episodeLength: int = 7
    gain: float = 1.0

class RailConfig(TaskConfig):
    name: str = "Rail"
    env: RailEnvConfig = RailEnvConfig()

class Rail(manybody.MujocoTask):
    Config, asset = RailConfig, "rail.xml"
    num_observations, num_actions = 2, 1

    def pre_physics_step(self, actions):
        self.sim.ctrl.copy_(self.cfg.env.gain * actions)

    def compute_observations(self):
        return torch.cat([self.sim.qpos, self.sim.qvel], dim=1)

    def compute_reward(self):
        return -self.sim.qpos[:, 0].abs(), self.sim.qpos[:, 0].abs() > 5.0

    def reset_where(self, mask):
        self.sim.reset(mask, torch.zeros_like(self.sim.qpos), torch.zeros_like(self.sim.qvel))
"""
MODEL = """<mujoco><worldbody><body><joint name="j" type="slide"/><geom size=".1"/></body></worldbody>
<actuator><motor joint="j"/></actuator></mujoco>"""
SMALL = ["num_envs=8", "max_iterations=1", "video=False", "train.params.torch_threads=1"]


@pytest.fixture(autouse=True)
def own(quick, tmp_path, monkeypatch):
    """``rail_task.py`` and its model in the current folder; nothing that a test registers outlives it."""
    (tmp_path / "rail_task.py").write_text(TASK)
    (tmp_path / "rail.xml").write_text(MODEL)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(plugins, "_modules", {})
    monkeypatch.setattr(manybody.tasks, "TASKS", dict(manybody.tasks.TASKS))
    monkeypatch.setattr(registration, "_creators", dict(registration._creators))
    monkeypatch.setattr(model_builder, "NETWORK_REGISTRY", dict(model_builder.NETWORK_REGISTRY))
    yield tmp_path
    for name in ("rail_task", "names", "broken", "tuned", "custom_agent", "custom_network", "rail_plugin"):
        sys.modules.pop(name, None)


def moved(monkeypatch, own):
    """As a new process in another folder: nothing is imported, and the module is not on Python's path."""
    monkeypatch.setattr(plugins, "_modules", {})
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder != str(own)])
    for name in ("Rail", "rail_task:Rail"):
        manybody.tasks.TASKS.pop(name, None)
        registration._creators.pop(name, None)
    sys.modules.pop("rail_task", None)
    (own / "elsewhere").mkdir()
    monkeypatch.chdir(own / "elsewhere")


def test_a_task_is_named_by_its_module_and_its_run_plays_from_another_folder(own, monkeypatch):
    agent = train.main(["task=rail_task:Rail", *SMALL, "task.env.gain=0.5"])
    folder = agent.run.folder
    assert folder.path.name.startswith("Rail_") and agent.vec_env.cfg.env.gain == 0.5
    assert (agent.num_actors, agent.vec_env.max_episode_length) == (8, 7)
    recorded = yaml.safe_load(folder.config_file.read_text())
    assert recorded["task_name"] == "rail_task:Rail" and recorded["import_path"] == [str(own)]
    folder.close()
    moved(monkeypatch, own)
    assert play.main([str(folder.path), "games_num=2"]).mean_steps == 7.0
    again = train.main([f"checkpoint={folder.path}", "max_iterations=2", "task.env.gain=0.25"])
    assert again.epoch_num == 2 and again.vec_env.cfg.env.gain == 0.25


def test_the_schema_of_an_own_task_is_checked_like_ours(refused):
    err = refused("task=rail_task:Rail", "task.env.gian=1", "task.env.episodeLength=soon", "num_env=3")
    assert "task.env.gian: unknown key; did you mean 'gain'?" in err
    assert "task.env.episodeLength: got 'soon'; expected a whole number" in err
    assert "num_env: unknown key; did you mean 'num_envs'?" in err


def test_what_cannot_be_imported_is_named_with_the_reason(refused, own):
    assert "task: got 'rail_task:Rial', but module 'rail_task' has no 'Rial'; did you mean 'Rail'?" in refused(
        "task=rail_task:Rial"
    )
    assert "task: got 'rale_task'; expected a module that Python finds." in refused("task=rale_task:Rail")
    assert "got 'rail_task:RailConfig'; expected a subclass" in refused("task=rail_task:RailConfig")
    (own / "broken.py").write_text("import rail_task\nprint(undefined)\n")
    err = refused("task=Cartpole", "import_modules=[broken]")
    assert "import_modules: importing 'broken' fails: NameError" in err and "broken.py:2" in err
    (own / "needs.py").write_text("import not_there\n")
    assert "importing 'needs' fails: ModuleNotFoundError: No module named 'not_there'" in refused(
        "task=Cartpole", "import_modules=needs"
    )


def test_every_job_of_a_sweep_trains_the_own_task():
    agents = train.main(["task=rail_task:Rail", "seed=1,2", *SMALL, "--multirun"])
    assert [agent.params.seed for agent in agents] == [1, 2]
    assert all(type(agent.vec_env).__name__ == "Rail" for agent in agents)


def test_a_module_registers_a_task_by_name(own):
    (own / "names.py").write_text(
        "import manybody\nfrom rail_task import Rail\nmanybody.register_task('Glide', Rail)\n"
    )
    agent = train.main(["task=Glide", "import_modules=[names]", *SMALL])
    assert agent.vec_env.num_envs == 8 and agent.name == "Glide"


def test_a_task_names_its_own_training_file(own, monkeypatch):
    ant = (Path(cli.__file__).parents[1] / "cfg/train/CartpolePPO.yaml").read_text()
    (own / "rail_ppo.yaml").write_text(ant.replace("gamma: 0.99", "gamma: 0.5"))
    (own / "tuned.py").write_text("import rail_task\nclass Tuned(rail_task.Rail):\n    train = 'rail_ppo.yaml'\n")
    assert train.main(["task=tuned:Tuned", *SMALL]).gamma == 0.5
    assert train.main(["task=tuned:Tuned", "train=AntPPO", *SMALL]).gamma == 0.99
    agent = train.main(["task=Cartpole", "train=rail_ppo.yaml", *SMALL])
    assert agent.gamma == 0.5
    agent.run.folder.close()
    moved(monkeypatch, own)
    assert play.main([str(agent.run.folder.path), "games_num=1", "num_envs=1"]).games == 1


def test_an_agent_and_a_network_of_ones_own(own, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    agent = train.main(
        [
            *("task=Ant", *SMALL, "import_modules=[custom_agent,custom_network]"),
            *("train.params.algo.name=paced", "train.params.config.target_speed=1"),
        ]
    )
    assert type(agent).__name__ == "PacedAgent"
    agent.run.folder.close()
    assert play.main([str(agent.run.folder.path), "games_num=1", "task.env.episodeLength=3"]).games == 1
    network = "train.params.network={name: residual, width: 8, blocks: 1}"
    agent = train.main(["task=Cartpole", *SMALL, "import_modules=custom_network", network])
    assert type(agent.model.a2c_network).__name__ == "ResidualNetwork"


def test_an_rl_games_file_names_an_own_task(own):
    content = yaml.safe_load((EXAMPLES / "rl_games_cartpole.yaml").read_text())
    content["params"]["config"]["env_name"] = "rail_task:Rail"
    (own / "file.yaml").write_text(yaml.safe_dump(dict(content)))
    agent = train.main(["--file", "file.yaml", "max_iterations=1", "video=False"])
    assert type(agent.vec_env).__name__ == "Rail"


def test_a_run_from_python_plays_from_the_command_line(own, monkeypatch):
    module = plugins.import_module("rail_task")
    manybody.register_task("Rail", module.Rail)
    content = yaml.safe_load((EXAMPLES / "rl_games_cartpole.yaml").read_text())
    content["params"]["config"] |= {"env_name": "Rail", "max_epochs": 1}
    runner = manybody.Runner()
    runner.load(content)
    folder = runner.run({"train": True}).run.folder
    assert yaml.safe_load(folder.config_file.read_text())["import_modules"] == ["rail_task:Rail"]
    folder.close()
    moved(monkeypatch, own)
    assert play.main([str(folder.path), "games_num=2", "num_envs=2"]).mean_steps == 7.0


def test_a_package_announces_its_tasks_by_an_entry_point(own, monkeypatch, capsys):
    info = own / "rail-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rail\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[manybody.plugins]\nrail = rail_plugin\nsick = not_there\n")
    (own / "rail_plugin.py").write_text(
        "import manybody\nfrom rail_task import Rail\nmanybody.register_task('Rail', Rail)\n"
    )
    plugins.load_installed.cache_clear()
    with pytest.warns(UserWarning, match="plugin 'sick' is left out: got 'not_there'"):
        cli.main(["tasks"])
    assert "Rail " in capsys.readouterr().out
    assert train.main(["task=Rail", *SMALL]).name == "Rail"


def test_the_list_of_tasks_shows_those_of_a_module(capsys):
    cli.main(["tasks", "rail_task"])
    assert "rail_task:Rail " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["tasks", "rail_tas"])


def test_the_running_script_is_not_imported_a_second_time(own, monkeypatch):
    main = plugins.import_module("rail_task")
    monkeypatch.setattr(plugins, "_modules", {})
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(main, "__spec__", None)
    assert plugins.import_object("rail_task:Rail") is main.Rail
    monkeypatch.setattr(main.Rail, "__module__", "__main__")
    assert plugins.home_of(main.Rail) == "rail_task:Rail"


def test_folders_of_installed_packages_are_not_kept(own):
    plugins.import_module("rail_task")
    assert plugins.folders_of(["rail_task:Rail", "numpy", "json", "manybody_nothing"]) == [str(own)]


def test_the_console_script_sees_modules_in_the_current_folder(own):
    """As installed: its own folder comes first on Python's path, the current one is missing."""
    code = "import sys; sys.path = [p for p in sys.path if p]; from manybody.cli import main; main()"
    command = [sys.executable, "-c", code, "tasks", "rail_task"]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=own)
    assert shown.returncode == 0 and "rail_task:Rail " in shown.stdout, shown.stderr


def test_python_can_be_asked_not_to_look_there(monkeypatch):
    monkeypatch.setattr(sys, "path", ["/nowhere"])
    monkeypatch.setattr(sys, "flags", SimpleNamespace(safe_path=True))
    cli.find_modules_here()
    assert sys.path == ["/nowhere"]


def test_training_nothing_prints_the_usage(capsys):
    for words in (["train"], ["train", "--multirun"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert stop.value.code == 2
        assert "expected what to train, such as 'manybody train task=Ant'" in capsys.readouterr().err


def test_a_run_configuration_error_names_the_modules_key():
    with pytest.raises(ConfigError, match=r"import_modules: got 'nowhere'; expected a module"):
        manybody.Runner().load({"import_modules": "nowhere", "params": {}})


def test_a_registered_task_that_python_trains_plays_from_another_folder(own, monkeypatch):
    """``manybody.train`` of a name: the run keeps the module of the class."""
    manybody.register_task("Rail", plugins.import_module("rail_task").Rail)
    agent = manybody.train("Rail", num_envs=8, max_iterations=1, video=False)
    folder = agent.run.folder
    recorded = yaml.safe_load(folder.config_file.read_text())
    assert (recorded["import_modules"], recorded["import_path"]) == (["rail_task:Rail"], [str(own)])
    folder.close()
    moved(monkeypatch, own)
    assert play.main([str(folder.path), "games_num=2"]).mean_steps == 7.0


def test_a_gymnasium_environment_of_ones_own_plays_from_another_folder(own, monkeypatch):
    (own / "rail_task.py").write_text(
        "import gymnasium\n"
        "class Point(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Box(-1, 1, (2,))\n"
        "    action_space = gymnasium.spaces.Box(-1, 1, (1,))\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        self.t = 0\n"
        "        return self.observation_space.low, {}\n"
        "    def step(self, action):\n"
        "        self.t += 1\n"
        "        return self.observation_space.low, 1.0, False, self.t >= 5, {}\n"
        "gymnasium.register('Point-v0', entry_point=Point)\n"
    )
    content = yaml.safe_load((EXAMPLES / "rl_games_cartpole.yaml").read_text())
    content["params"]["config"] |= {"env_name": "rail_task:Point-v0", "minibatch_size": 64, "num_actors": 4}
    (own / "file.yaml").write_text(yaml.safe_dump(content))
    folder = train.main(["--file", "file.yaml", "max_iterations=1", "video=False"]).run.folder
    folder.close()
    moved(monkeypatch, own)
    assert play.main([str(folder.path), "games_num=2", "num_envs=2"]).mean_steps == 5.0


def test_the_usual_slips_in_naming_a_task_get_a_hint(refused, own):
    assert "expected the name of a module, 'rail_task' without .py" in refused("task=rail_task.py:Rail")
    assert "'rail_task' is a module; name the class in it: task=rail_task:MyTask" in refused("task=rail_task")
    assert "did you mean task=rail_task:Rail?" in refused("rail_task:Rail")
    (own / "names.py").write_text("import manybody\nmanybody.train('Cartpole', num_envs=0)\n")
    assert "It trains while it is imported" in refused("task=Cartpole", "import_modules=names")
