"""Names of environments: those that were registered, then Gymnasium's."""

import pytest
import torch
from toy import ToyEnv

from manybody.envs import registration
from manybody.envs.base import EnvError
from manybody.envs.gymnasium import GymnasiumEnv
from manybody.envs.registration import check_env_name, create_vec_env, register, registered


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    monkeypatch.setattr(registration, "_creators", {})


def test_a_registered_name_gets_its_arguments():
    register("toy", lambda num_actors, length: ToyEnv(num_actors, length))
    env = create_vec_env("toy", 4, length=7)
    assert (env.num_envs, env.length) == (4, 7)
    assert registered() == ["toy"]


def test_a_later_registration_wins_even_over_gymnasium():
    register("Pendulum-v1", lambda num_actors: ToyEnv(num_actors))
    register("Pendulum-v1", lambda num_actors: ToyEnv(num_actors, 9))
    assert create_vec_env("Pendulum-v1", 2).length == 9


def test_gymnasiums_names_need_no_registration():
    env = create_vec_env("Pendulum-v1", 2, seed=1)
    assert isinstance(env, GymnasiumEnv) and env.num_envs == 2
    assert torch.isfinite(env.reset()["obs"]).all()


def test_an_unknown_name_lists_what_there_is():
    register("toy", ToyEnv)
    register("walker", ToyEnv)
    for call in (check_env_name, lambda name: create_vec_env(name, 2)):
        with pytest.raises(
            EnvError, match=r"no environment 'wlaker'; did you mean 'walker'\? \(registered: toy, walker;"
        ):
            call("wlaker")
        with pytest.raises(EnvError, match="did you mean 'Pendulum-v1'"):
            call("Pendulum")
    with pytest.raises(EnvError, match=r"no environment 'qqqq' \("):
        check_env_name("qqqq")
    assert issubclass(EnvError, ValueError)


def test_an_error_inside_a_creator_is_its_own():
    def broken(num_actors):
        raise RuntimeError("the simulator is not installed")

    register("broken", broken)
    with pytest.raises(RuntimeError, match="not installed"):
        create_vec_env("broken", 1)
