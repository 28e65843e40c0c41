import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils import env_checker
from gymnasium.utils.passive_env_checker import (
    check_action_space,
    check_observation_space,
    env_reset_passive_checker,
)
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from toy import ToyEnv

from manybody.envs.base import VecEnv
from manybody.envs.vector import GymnasiumVectorEnv
from manybody.tasks import make


@pytest.fixture(params=["Cartpole", "Ant"])
def env(request):
    wrapped = GymnasiumVectorEnv(make(request.param, num_envs=3))
    yield wrapped
    wrapped.close()


class FirstOf(gymnasium.Env):
    """Row 0 of a vector environment, for `check_env`, which takes no vector environment."""

    def __init__(self, vector):
        self.vector = vector
        self.observation_space, self.action_space = (
            vector.single_observation_space,
            vector.single_action_space,
        )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        obs, infos = self.vector.reset(seed=seed, options=options)
        return obs[0], infos

    def step(self, action):
        actions = np.stack([action] * self.vector.num_envs)
        obs, reward, terminated, truncated, infos = self.vector.step(actions)
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), infos


def test_passes_gymnasiums_checker(env):
    # On the batch itself, what of check_env does not insist on a single environment.
    assert isinstance(env, gymnasium.vector.VectorEnv)
    check_action_space(env.action_space)
    check_observation_space(env.observation_space)
    env_checker.check_seed_deprecation(env)
    env_checker.check_reset_return_type(env)
    env_checker.check_reset_seed_determinism(env)
    env_checker.check_reset_options(env)
    env_reset_passive_checker(env)
    # On one environment of it, the whole of check_env.
    env_checker.check_env(FirstOf(env), skip_render_check=True)


def test_same_seed_same_batch(env):
    first, _ = env.reset(seed=5)
    second, _ = env.reset(seed=5)
    np.testing.assert_array_equal(first, second)
    other, _ = env.reset(seed=6)
    assert not np.array_equal(first, other)


def test_shapes_types_and_spaces(env):
    obs, infos = env.reset(seed=1)
    assert env.observation_space.contains(obs)
    assert infos == {}
    env.action_space.seed(0)
    obs, reward, terminated, truncated, infos = env.step(env.action_space.sample())
    assert env.observation_space.contains(obs)
    assert reward.shape == (3,) and reward.dtype == np.float32
    assert terminated.shape == truncated.shape == (3,)
    assert terminated.dtype == truncated.dtype == np.bool_
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP


def test_results_are_not_overwritten_by_the_next_step(env):
    obs, _ = env.reset(seed=1)
    kept = obs.copy()
    env.step(np.ones((3, env.single_action_space.shape[0]), dtype=np.float32))
    np.testing.assert_array_equal(obs, kept)


def test_final_obs_of_an_ended_episode():
    env = GymnasiumVectorEnv(make("Cartpole", num_envs=2, cfg={"env": {"episodeLength": 3}}))
    env.reset(seed=0)
    for _ in range(2):
        _, _, _, _, infos = env.step(np.zeros((2, 1)))
        assert "final_obs" not in infos
    obs, _, terminated, truncated, infos = env.step(np.zeros((2, 1)))
    assert truncated.all() and not terminated.any()
    assert infos["_final_obs"].tolist() == [True, True]
    assert infos["final_obs"].dtype == object and infos["final_obs"][0].shape == (4,)
    assert not np.array_equal(infos["final_obs"][0], obs[0])
    env.close()


def test_gymnasiums_episode_statistics_work_on_top():
    env = RecordEpisodeStatistics(GymnasiumVectorEnv(make("Cartpole", num_envs=2, cfg={"env": {"episodeLength": 5}})))
    env.reset(seed=0)
    for _ in range(5):
        *_, infos = env.step(np.zeros((2, 1)))
    assert infos["episode"]["l"].tolist() == [5, 5]


def test_a_seed_for_an_environment_without_one_is_refused():
    task = make("Cartpole", num_envs=2)

    class Unseeded(VecEnv):
        num_envs, device, spec = task.num_envs, task.device, task.spec
        reset, step = task.reset, task.step

    with pytest.raises(ValueError, match=r"seed: got 3; expected None, as Unseeded has no seed"):
        GymnasiumVectorEnv(Unseeded()).reset(seed=3)


def test_extras_are_infos_with_those_of_ended_episodes_apart():
    class Reporting(ToyEnv):
        def step(self, actions):
            step = super().step(actions)
            mask = torch.tensor([True, False])
            return step._replace(
                extras={
                    "height": torch.tensor([1.0, 2.0]),
                    "_height": mask,
                    "episode": {"r": torch.tensor([3.0, 4.0])},
                    "count": torch.tensor(5),
                }
            )

    env = GymnasiumVectorEnv(Reporting(2, length=2))
    env.reset()
    *_, terminated, truncated, infos = env.step(np.zeros((2, 2), np.float32))
    assert (terminated | truncated).tolist() == [False, True]
    assert infos["height"].tolist() == [1.0, 2.0] and infos["_height"].tolist() == [True, False]
    assert infos["_final_info"].tolist() == [False, True] and "count" not in infos
    assert "episode" not in infos  # Gymnasium's own statistics have that name
    final = infos["final_info"]
    assert final["_height"].tolist() == [False, False]
    assert final["episode"]["r"].tolist() == [3.0, 4.0] and final["episode"]["_r"].tolist() == [False, True]
