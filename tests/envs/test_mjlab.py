"""mjlab's interface as a ``VecEnv``, on an environment that has it; benchmarks/mjlab trains the real one."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from gymnasium import spaces
from lab_env import LabCfg, MjlabLikeEnv
from toy import toy_params

from manybody.engine.observers import IsaacAlgoObserver
from manybody.envs import registration, vecenv
from manybody.envs.base import EnvError
from manybody.envs.registration import create_vec_env
from manybody.runner import Runner


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """mjlab's modules, with a task ``Mjlab-Lab``; ``mine.tasks`` registers ``Mine`` when it is imported."""
    tasks = {"Mjlab-Lab": {"actor": 2, "critic": 3}}

    def load_env_cfg(task):
        return LabCfg(groups=tasks[task])

    modules = {
        "mjlab": {},
        "mjlab.envs": {"ManagerBasedRlEnv": MjlabLikeEnv},
        "mjlab.tasks": {},
        "mjlab.tasks.registry": {"list_tasks": lambda: sorted(tasks), "load_env_cfg": load_env_cfg},
    }
    for name, parts in modules.items():
        module = ModuleType(name)
        vars(module).update(parts)
        monkeypatch.setitem(sys.modules, name, module)
    return tasks


def make(task="Mjlab-Lab", **env_config):
    return create_vec_env(f"mjlab:{task}", 4, **{"device": "cpu", **env_config})


def test_a_task_by_name(installed):
    env = make(seed=5, clip_actions=0.5, clip_obs=150.0, sim={"dt": 0.5})
    cfg = env.env.cfg
    assert (cfg.seed, cfg.scene.num_envs, cfg.sim.dt, env.device) == (5, 4, 0.5, torch.device("cpu"))
    assert env.spec.observation_space == spaces.Box(-torch.inf, torch.inf, (2,))
    assert env.spec.action_space == spaces.Box(-0.5, 0.5, (2,))
    obs = env.reset()  # 100 n + t + j / 10, up to 150
    assert obs["obs"][1].tolist() == pytest.approx([100.0, 100.1]) and obs["states"][3].tolist() == [150.0] * 3
    assert env.step(torch.full((4, 2), 9.0)).reward.tolist() == [1.0] * 4


def test_the_group_of_older_tasks_and_parts(installed):
    installed["Old"] = {"policy": {"joints": 2, "image": 1}}
    env = make("Old")
    assert env.spec.observation_space["joints"].shape == (2,) and env.spec.state_space is None
    assert env.reset()["obs"]["image"].flatten().tolist() == [0, 100, 200, 300]


@pytest.mark.parametrize("auto_reset", [True, False])
def test_ends_with_and_without_its_own_reset(installed, auto_reset):
    """Row 0 fails in step 3, row 2 in step 5, where the time of rows 1 and 3 is up."""
    env = make(auto_reset=auto_reset)
    env.reset()
    zero = torch.zeros(4, 2)
    steps = [env.step(zero) for _ in range(5)]
    assert [step.done.nonzero().flatten().tolist() for step in steps] == [[], [], [0], [], [1, 2, 3]]
    assert steps[4].truncated.tolist() == [False, True, False, True]
    assert steps[4].terminated.tolist() == [False, False, True, False]
    assert steps[4].obs["obs"][:, 0].tolist() == [2, 100, 200, 300]  # begun anew, row 0 two steps ago
    assert steps[4].extras["episode"] == {"Episode/steps": 5, "Episode/ended": 3}
    if auto_reset:
        assert all(step.final_obs is None for step in steps)
    else:
        assert steps[4].final_obs["obs"][:, 0].tolist() == [2, 105, 205, 305]
        assert steps[4].final_obs["states"][1].tolist() == pytest.approx([105.0, 105.1, 105.2])
        assert steps[3].final_obs is not None  # so that every step of a rollout is told alike


def test_what_cannot_be_made_is_told_in_a_line(installed, monkeypatch):
    with pytest.raises(EnvError, match=r"^env_name: got 'mjlab:Mjlab-Lob'; .*did you mean Mjlab-Lab\? module:id"):
        make("Mjlab-Lob")
    with pytest.raises(EnvError, match=r"^env_config: got 'decimation'; expected one of scene, sim, rewards"):
        make(decimation=4)
    with pytest.raises(EnvError, match=r"expected a name after the colon"):
        make("")
    monkeypatch.setitem(sys.modules, "mjlab.tasks", None)
    with pytest.raises(
        EnvError, match=r"needs mjlab \(.*mjlab.tasks.*\), which works with an older MuJoCo than this pack"
    ):
        make()


def test_a_module_registers_its_own(installed, monkeypatch):
    class Mine(ModuleType):
        @property
        def __spec__(self):
            installed["Mine"] = {"actor": 1}
            return SimpleNamespace(_initializing=False)

    monkeypatch.setitem(sys.modules, "mine", ModuleType("mine"))
    monkeypatch.setitem(sys.modules, "mine.tasks", Mine("mine.tasks"))
    assert make("mine.tasks:Mine").spec.observation_space.shape == (1,)


@pytest.mark.parametrize("auto_reset", [True, False])
def test_training(installed, auto_reset, tmp_path):
    config = {"env_name": "mjlab:Mjlab-Lab", "num_actors": 4, "minibatch_size": 16, "max_epochs": 2}
    env_config = {"device": "cpu", "clip_actions": 1.0, "auto_reset": auto_reset}
    runner = Runner()
    runner.load({"params": toy_params(**config, env_config=env_config, train_dir=str(tmp_path))})
    agent = runner.run({"train": True})
    # 16 steps end 5 episodes of row 0, each 3 long, and 3 of each other row, each 5 long.
    assert agent.epoch_num == 2 and agent.game_lengths.mean.item() == pytest.approx((5 * 3 + 9 * 5) / 14)


def test_a_file_of_rl_games_names_the_task_in_its_env_config(installed, tmp_path, monkeypatch):
    monkeypatch.setattr(registration, "configurations", configurations := {})
    monkeypatch.setattr(vecenv, "configurations", configurations)
    config = {"env_name": "mjlab_lab", "vecenv_type": "MJLAB", "algo_observer": "isaac", "num_actors": 4}
    sizes = {"minibatch_size": 16, "max_epochs": 1, "train_dir": str(tmp_path)}
    env_config = {"task_name": "Mjlab-Lab", "device": "cpu"}
    runner = Runner()
    runner.load({"params": toy_params(**config, **sizes, env_config=env_config)})
    assert isinstance(runner.algo_observer, IsaacAlgoObserver)
    agent = runner.run({"train": True})
    assert agent.vec_env.spec.observation_space.shape == (2,)  # the group actor
    assert agent.vec_env.spec.state_space.shape == (3,)  # the group critic
