"""Isaac Lab's interface as a ``VecEnv``, on an environment that has it (Isaac Sim itself cannot be had here)."""

import builtins
import math
import sys
from types import ModuleType, SimpleNamespace

import gymnasium
import pytest
import torch
from gymnasium import spaces
from lab_env import LabCfg, LabEnv
from toy import toy_params
from validated_env import ValidatedEnv

from manybody.config import ConfigError
from manybody.engine.observers import IsaacAlgoObserver
from manybody.envs.base import EnvError
from manybody.envs.isaaclab import IsaacLabEnv
from manybody.envs.registration import create_vec_env
from manybody.runner import Runner

ZERO = torch.zeros(4, 2)


def lab(**cfg):
    """Four environments; a key of ``IsaacLabEnv`` goes there, the others into the configuration."""
    options = {name: cfg.pop(name) for name in ("obs_groups", "concat_obs_groups", "clip_obs") if name in cfg}
    options |= {"clip_actions": cfg.pop("clip_actions", math.inf)}
    settings = LabCfg(**cfg)
    settings.scene.num_envs, settings.sim.device = 4, "cpu"
    return ValidatedEnv(IsaacLabEnv(LabEnv(settings), **options), "lab")


def test_groups_become_observations_and_states():
    env = lab()
    assert (env.spec.observation_space.shape, env.spec.state_space.shape) == ((2,), (3,))
    assert (env.num_envs, env.device, env.spec.action_space.shape) == (4, torch.device("cpu"), (2,))
    obs = env.reset()
    assert obs["obs"][3].tolist() == pytest.approx([300.0, 300.1])  # 100 n + t + j / 10
    assert obs["states"][1].tolist() == pytest.approx([100.0, 100.1, 100.2])
    second = env.step(ZERO)
    assert obs["obs"][0, 0] == 0 and second.obs["obs"][0, 0] == 1  # the first was not overwritten
    assert second.final_obs is None


def test_ends_are_told_apart():
    """Row 0 fails in step 3; in step 5 time is up for all that go on, and row 2 fails too, which counts for more."""
    env = lab()
    env.reset()
    steps = [env.step(ZERO) for _ in range(5)]
    assert [step.terminated.nonzero().flatten().tolist() for step in steps] == [[], [], [0], [], [2]]
    assert [step.truncated.nonzero().flatten().tolist() for step in steps] == [[], [], [], [], [1, 3]]
    assert steps[2].obs["obs"][:, 0].tolist() == [0, 103, 203, 303]  # row 0 has begun anew
    assert "time_outs" not in steps[4].extras


def test_with_a_finite_horizon_running_out_of_time_is_the_end():
    env = lab(is_finite_horizon=True)
    env.reset()
    *_, last = [env.step(ZERO) for _ in range(5)]
    assert last.terminated.tolist() == [False, True, True, True] and not last.truncated.any()


def test_the_log_becomes_episode_and_stays_as_it_was():
    env = lab()
    env.reset()
    third, *_, fifth = [env.step(ZERO) for _ in range(5)][2:]
    assert (third.extras["episode"]["Episode/steps"], third.extras["episode"]["Episode/ended"]) == (3, 1)
    assert (fifth.extras["episode"]["Episode/steps"], fifth.extras["episode"]["Episode/ended"]) == (5, 3)
    assert "log" not in fifth.extras


def test_a_group_of_parts_is_a_dictionary():
    env = lab(groups={"policy": {"joints": 2, "image": 3}})
    assert {key: part.shape for key, part in env.spec.observation_space.items()} == {
        "joints": (2,),
        "image": (3,),
    }
    assert env.spec.state_space is None
    assert env.reset()["obs"]["image"][1].tolist() == pytest.approx([100.0, 100.1, 100.2])


def test_groups_of_choice():
    groups = {"policy": 2, "critic": 3, "teacher": 1}
    env = lab(groups=groups, obs_groups={"obs": ["teacher", "policy"], "states": []})
    assert env.reset()["obs"][2].tolist() == pytest.approx([200.0, 200.0, 200.1]) and env.spec.state_space is None
    apart = lab(groups=groups, obs_groups={"states": ["critic", "policy"]}, concat_obs_groups=False)
    assert {key: tuple(part.shape) for key, part in apart.reset()["states"].items()} == {
        "critic": (4, 3),
        "policy": (4, 2),
    }
    with pytest.raises(EnvError, match=r"obs_groups: got obs: \['eyes'\]; expected lists 'obs' and 'states' of gr"):
        lab(obs_groups={"obs": ["eyes"]})
    with pytest.raises(EnvError, match=r"got value: \['critic'\]; expected lists 'obs' and 'states'"):
        lab(obs_groups={"value": ["critic"]})
    with pytest.raises(EnvError, match=r"got obs: \['policy'\].* LabEnv has: \['actor'\]"):
        lab(groups={"actor": 2})
    with pytest.raises(EnvError, match=r"obs_groups.obs: got \['policy', 'critic'\].*concat_obs_groups: False"):
        lab(groups={"policy": 2, "critic": {"a": 1}}, obs_groups={"obs": ["policy", "critic"]})


def test_clipping():
    env = lab(clip_obs=150.0, clip_actions=0.5)
    assert env.reset()["obs"][:, 0].tolist() == [0, 100, 150, 150]
    assert env.spec.action_space == spaces.Box(-0.5, 0.5, (2,))
    assert env.step(torch.full((4, 2), 3.0)).reward.tolist() == [1.0] * 4  # 0.5 + 0.5
    assert lab().spec.action_space == spaces.Box(-math.inf, math.inf, (2,))
    assert lab().step(torch.full((4, 2), 3.0)).reward.tolist() == [6.0] * 4


def test_choices_arrive_in_a_column():
    env = lab(discrete=True, clip_actions=1.0)
    env.step(torch.tensor([0, 1, 2, 2]))
    assert env.env.received[0].tolist() == [[0], [1], [2], [2]]


@pytest.fixture
def installed(monkeypatch):
    """Isaac Lab's modules, with a task ``Isaac-Lab-v0``; what ``AppLauncher`` was started with."""
    started = []

    class AppLauncher:
        def __init__(self, **arguments):
            started.append(arguments)
            builtins.ISAAC_LAUNCHED_FROM_TERMINAL = False
            self.app = SimpleNamespace(close=lambda: None)

    def parse_env_cfg(task, device, num_envs):
        cfg = gymnasium.spec(task).kwargs["env_cfg_entry_point"]()
        cfg.sim.device, cfg.scene.num_envs = device, num_envs
        return cfg

    for name, parts in {
        "isaaclab": {},
        "isaaclab.app": {"AppLauncher": AppLauncher},
        "isaaclab_tasks": {},
        "isaaclab_tasks.utils": {"parse_env_cfg": parse_env_cfg},
    }.items():
        module = ModuleType(name)
        vars(module).update(parts)
        monkeypatch.setitem(sys.modules, name, module)
    gymnasium.register("Isaac-Lab-v0", LabEnv, kwargs={"env_cfg_entry_point": LabCfg})
    yield started
    del gymnasium.registry["Isaac-Lab-v0"]
    vars(builtins).pop("ISAAC_LAUNCHED_FROM_TERMINAL", None)


def test_another_interface_is_told():
    with pytest.raises(
        EnvError, match=r"^PendulumEnv: got PendulumEnv, which has no num_envs; expected a DirectRLEnv or a Man"
    ):
        IsaacLabEnv(gymnasium.make("Pendulum-v1"))


def test_by_name_isaac_sim_is_started_once_and_the_configuration_filled_in(installed):
    settings = {"seed": 7, "device": "cpu", "app": {"enable_cameras": True}, "clip_obs": 5.0}
    env = create_vec_env("isaaclab:Isaac-Lab-v0", 4, **settings, sim={"dt": 0.5}, rewards={"alive": {"weight": 2.0}})
    assert installed == [{"headless": True, "device": "cpu", "enable_cameras": True}]
    cfg = env.env.unwrapped.cfg
    assert (cfg.seed, cfg.sim.dt, cfg.scene.num_envs) == (7, 0.5, 4) and cfg.rewards["alive"].weight == 2.0
    assert env.reset()["obs"].max() == 5.0
    env.close()
    assert env.env.unwrapped.closed
    create_vec_env("isaaclab:Isaac-Lab-v0", 4, device="cpu")
    assert len(installed) == 1


def test_what_cannot_be_made_is_told_in_a_line(installed, monkeypatch):
    with pytest.raises(EnvError, match=r"^env_name: got 'isaaclab:Isaac-Lob-v0'; .*did you mean .*Isaac-Lab-v0"):
        create_vec_env("isaaclab:Isaac-Lob-v0", 4)
    with pytest.raises(EnvError, match=r"^env_name: got 'isaaclab:CartPole-v1'; expected a registered task"):
        create_vec_env("isaaclab:CartPole-v1", 4)
    with pytest.raises(EnvError, match=r"^env_config.sim: got 'dd'; expected one of (num.*|device, dt)$"):
        create_vec_env("isaaclab:Isaac-Lab-v0", 4, device="cpu", sim={"dd": 1})
    with pytest.raises(EnvError, match=r"'isaaclab:mine.tasks:Isaac-Lab-v0' needs Isaac Lab \(No module named 'mine"):
        create_vec_env("isaaclab:mine.tasks:Isaac-Lab-v0", 4)
    monkeypatch.setitem(sys.modules, "isaaclab_tasks.utils", None)
    with pytest.raises(EnvError, match=r"needs Isaac Lab \(.*isaaclab_tasks.*\); install Isaac Lab with its own guide"):
        create_vec_env("isaaclab:Isaac-Lab-v0", 4)


def test_training_with_the_states_and_the_log(installed, tmp_path):
    config = {"env_name": "isaaclab:Isaac-Lab-v0", "env_config": {"device": "cpu", "clip_actions": 1.0}}
    config |= {"num_actors": 4, "minibatch_size": 16, "max_epochs": 2, "train_dir": str(tmp_path)}
    config |= {"value_bootstrap": True}
    central = {"minibatch_size": 16, "mini_epochs": 1, "learning_rate": 1e-3, "clip_value": True}
    central |= {"normalize_input": True}
    network = {"name": "actor_critic", "central_value": True, "mlp": {"units": [8], "activation": "elu"}}
    runner = Runner(IsaacAlgoObserver())
    runner.load({"params": toy_params(**config, central_value_config=central | {"network": network})})
    agent = runner.run({"train": True})
    # 16 steps end 5 episodes of row 0, 3 of each other row; the last 100 count: (5 x 3 + 9 x 5) / 14.
    assert agent.epoch_num == 2 and agent.game_lengths.mean.item() == pytest.approx(60 / 14)
    assert agent.central_value is not None
    written = (next(tmp_path.glob("*")) / "metrics.jsonl").read_text()
    assert "Episode/Episode/steps" in written


def test_a_made_environment_is_trained_as_scripts_of_isaac_lab_do(tmp_path):
    env = lab(clip_actions=1.0, is_finite_horizon=True)
    mapping = toy_params(num_actors=4, minibatch_size=16, max_epochs=2, train_dir=str(tmp_path), env_name="lab")
    runner = Runner()
    runner.load({"params": mapping})
    agent = runner.run({"train": True, "vec_env": env})
    assert agent.epoch_num == 2 and len(env.env.received) == 16
    runner.load({"params": mapping | {"config": mapping["config"] | {"clip_actions": True}}})
    with pytest.raises(ConfigError, match=r"(?s)clip_actions: got True.*'lab' takes actions Box"):
        runner.run({"train": True, "vec_env": lab()})
