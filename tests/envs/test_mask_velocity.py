"""CartPole and its kin without velocities."""

import gymnasium
import pytest

from manybody.envs.base import EnvError
from manybody.envs.gymnasium import GymnasiumEnv, without_velocities
from manybody.envs.registration import create_vec_env


def test_cartpole_shows_position_and_angle_alone():
    plain = GymnasiumEnv("CartPole-v1", 4, seed=3).reset()["obs"]
    masked = GymnasiumEnv("CartPole-v1", 4, seed=3, mask_velocity=True).reset()["obs"]
    assert masked[:, [0, 2]].tolist() == plain[:, [0, 2]].tolist()
    assert masked[:, [1, 3]].abs().max() == 0.0 < plain[:, [1, 3]].abs().max()


def test_rl_games_name_is_the_same_environment():
    one = create_vec_env("CartPoleMaskedVelocity-v1", 2, seed=3).reset()["obs"]
    assert one.tolist() == GymnasiumEnv("CartPole-v1", 2, seed=3, mask_velocity=True).reset()["obs"].tolist()


def test_pendulum_of_any_version():
    assert GymnasiumEnv("Pendulum-v1", 2, mask_velocity=True).reset()["obs"][:, 2].tolist() == [0.0, 0.0]


def test_an_environment_whose_velocities_are_not_known_is_refused():
    with pytest.raises(EnvError, match=r"mask_velocity: got 'Acrobot-v1'; expected one of CartPole"):
        without_velocities(gymnasium.make("Acrobot-v1"))
