"""The registers of environments, the protocols and the interfaces under RL Games' names."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from rl_games.interfaces.base_algorithm import BaseAlgorithm as TheirAlgorithm
from toy import ToyEnv

from manybody.algos.a2c import A2CAgent
from manybody.compat.rl_games.common import env_configurations, ivecenv, object_factory, vecenv
from manybody.compat.rl_games.interfaces.base_algorithm import BaseAlgorithm
from manybody.envs import env_configurations as native_configurations
from manybody.envs import vecenv as native_vecenv
from manybody.envs.rl_games import IVecEnv as NativeIVecEnv


@pytest.fixture(autouse=True)
def registers():
    """Remove after each test what it registered."""
    both = native_configurations.configurations, native_vecenv.vecenv_config
    before = [dict(register) for register in both]
    yield
    for register, content in zip(both, before, strict=True):
        register.clear()
        register.update(content)


class Counter:
    """Legacy gym's protocol: ends at 3 by itself, at 2 by the clock where ``cut`` is set."""

    observation_space = spaces.Box(-10, 10, (2,), dtype=np.float64)
    action_space = spaces.Discrete(2)

    def __init__(self, cut=False, step_size=1):
        self.cut, self.step_size = cut, step_size
        self.seeds = []

    def seed(self, seed):
        self.seeds.append(seed)

    def reset(self):
        self.at = 0
        return np.zeros(2)

    def step(self, action):
        self.at += self.step_size
        cut = self.cut and self.at == 2
        done = cut or self.at == 3
        return np.full(2, float(self.at)), float(action), done, {"time_outs": True} if cut else {}

    def close(self):
        self.at = None


class NewCounter(gymnasium.Env):
    """The same in Gymnasium's protocol."""

    observation_space, action_space = Counter.observation_space, Counter.action_space

    def __init__(self, **config):
        self.old = Counter(**config)

    def reset(self, seed=None, options=None):
        self.seen = seed
        return self.old.reset(), {"info": 1}

    def step(self, action):
        obs, reward, done, info = self.old.step(action)
        cut = "time_outs" in info
        return obs, reward, done and not cut, cut, info


def test_one_register_under_both_names():
    assert env_configurations.configurations is native_configurations.configurations
    assert vecenv.configurations is native_configurations.configurations
    assert vecenv.vecenv_config is native_vecenv.vecenv_config
    env_configurations.register("rlgpu", {"vecenv_type": "RLGPU", "env_creator": lambda **kwargs: kwargs})
    assert native_configurations.configurations["rlgpu"]["env_creator"](a=1) == {"a": 1}


def test_environments_of_clients_are_unchanged():
    class RLGPUEnv(vecenv.IVecEnv):
        def __init__(self, config_name, num_actors, **kwargs):
            self.env = env_configurations.configurations[config_name]["env_creator"](**kwargs)

        def step(self, actions):
            return self.env.step(actions)

        def reset(self):
            return self.env.reset()

        def get_env_info(self):
            return {"action_space": self.env.action_space, "observation_space": self.env.observation_space}

    env_configurations.register("rlgpu", {"vecenv_type": "RLGPU", "env_creator": lambda **kw: Counter(**kw)})
    vecenv.register("RLGPU", lambda config_name, num_actors, **kw: RLGPUEnv(config_name, num_actors, **kw))
    env = vecenv.create_vec_env("rlgpu", 1, cut=True)
    assert type(env) is RLGPUEnv
    assert env.env.cut
    assert env.reset().tolist() == [0.0, 0.0]
    assert (env.get_number_of_agents(), env.has_action_masks(), env.get_env_state()) == (1, False, None)
    env.seed(1), env.set_train_info(5, env), env.set_env_state(None)


def test_environments_of_this_library_get_the_old_protocol():
    env_configurations.register("toy", {"vecenv_type": "TOY"})
    vecenv.register("TOY", lambda config_name, num_actors, **kw: ToyEnv(num_actors))
    env = vecenv.create_vec_env("toy", 4)
    assert env.reset().shape == (4, 3)
    obs, rewards, dones, infos = env.step(torch.zeros(4, 2))
    assert (obs.shape, rewards.shape, dones.shape, infos["time_outs"].shape) == ((4, 3), (4,), (4,), (4,))


@pytest.mark.parametrize("creator", [Counter, NewCounter])
@pytest.mark.parametrize("cut", [False, True])
def test_copies_of_one_environment(creator, cut):
    """Episodes of three steps, or of two if they are truncated."""
    env_configurations.register("count", {"vecenv_type": "RAY", "env_creator": creator})
    env = vecenv.RayVecEnv("count", 2, cut=cut, seed=7)
    info = env.get_env_info()
    assert info["observation_space"].shape == (2,)
    assert env.get_number_of_agents() == 1
    assert env.reset().tolist() == [[0.0, 0.0]] * 2
    steps = [env.step(np.array([0, 1])) for _ in range(4)]
    ends = [bool(dones.all()) for _, _, dones, _ in steps]
    assert ends == ([False, True, False, True] if cut else [False, False, True, False])
    assert steps[0][1].tolist() == [0.0, 1.0]
    last = ends.index(True)
    assert [info["time_outs"] for info in steps[last][3]] == [cut, cut]
    assert steps[last][0].tolist() == [[0.0, 0.0]] * 2  # the new episode's first
    assert env.get_action_masks() is None
    env.close()


def test_legacy_environments_are_seeded():
    made = []
    env_configurations.register(
        "count", {"vecenv_type": "RAY", "env_creator": lambda **kw: made.append(Counter(**kw)) or made[-1]}
    )
    vecenv.RayVecEnv("count", 2, seed=7).reset()
    assert [env.seeds for env in made if env.seeds] == [[7], [8]]


def test_gymnasium_protocol():
    """Either protocol, and the old one in a subclass of Gymnasium's class."""

    class Mixed(Counter, gymnasium.Env):
        def reset(self):
            return Counter.reset(self)

    for env in (Counter(cut=True), NewCounter(cut=True), Mixed(cut=True)):
        new = env_configurations.GymnasiumEnv(env)
        obs, info = new.reset(seed=4)
        assert (obs.tolist(), isinstance(info, dict)) == ([0.0, 0.0], True)
        assert [new.step(1)[2:4] for _ in range(2)] == [(False, False), (False, True)]
        assert new.observation_space == Counter.observation_space


def test_env_info():
    env_configurations.register("count", {"vecenv_type": "RAY", "env_creator": Counter})
    info = env_configurations.get_env_info(Counter(cut=True))
    assert (info["action_space"].n, info["agents"], info["value_size"]) == (2, 1, 1)

    class Team(Counter):
        value_size = 3

        def get_number_of_agents(self):
            return 2

    info = env_configurations.get_env_info(Team())
    assert (info["agents"], info["value_size"]) == (2, 3)


def test_protocol_may_be_incomplete():
    env = ivecenv.IVecEnv()
    assert isinstance(env, NativeIVecEnv)
    assert vecenv.IVecEnv is ivecenv.IVecEnv
    for call, words in ((env.reset, ()), (env.step, (None,))):
        with pytest.raises(NotImplementedError, match="IVecEnv has no"):
            call(*words)


def test_factories():
    factory = object_factory.ObjectFactory()
    factory.register_builder("a", lambda **kwargs: ("a", kwargs))
    assert factory.create("a", x=1) == ("a", {"x": 1})
    factory.set_builders({"b": dict})
    with pytest.raises(ValueError, match="a"):
        factory.create("a")


def test_algorithms():
    assert BaseAlgorithm.__abstractmethods__ == TheirAlgorithm.__abstractmethods__
    assert issubclass(A2CAgent, BaseAlgorithm)
    methods = dict.fromkeys(BaseAlgorithm.__abstractmethods__, lambda self, *_: None)
    assert type("Mine", (BaseAlgorithm,), methods)("name", {}).train() is None
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (BaseAlgorithm,), {})("name", {})


def test_the_registries_import_no_simulators():
    """Nor Ray, legacy gym or a GPU."""
    code = """
import sys
for name in ("ray", "gym", "brax", "envpool", "cv2", "kornia", "jax"):
    sys.modules[name] = None
import manybody.compat.rl_games as compat
compat.install()
from rl_games.common import env_configurations, vecenv
from rl_games.common.vecenv import IVecEnv, RayVecEnv
from rl_games.common.ivecenv import IVecEnv as Same
from rl_games.algos_torch import torch_ext, running_mean_std, moving_mean_std, sac_helper, self_play_manager
from rl_games.common import algo_observer, common_losses, datasets, experience, schedulers, tr_helpers, diagnostics
from rl_games.common import experiment, interval_summary_writer, divergence, object_factory
from rl_games.common.layers import recurrent
from rl_games.common.extensions import distributions
from rl_games.interfaces import base_algorithm
assert IVecEnv is Same
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
