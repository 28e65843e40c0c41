"""Names of environments: those that were registered, then Gymnasium's."""

import gymnasium
import pytest
import torch
from toy import ToyEnv, toy_params

from manybody.algos.a2c.agent import A2CAgent
from manybody.config import parse_params
from manybody.envs import env_configurations, registration, vecenv
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
    assert registered() == ["CartPoleMaskedVelocity-v1", "envpool", "gymnasium", "openai_gym", "toy"]


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
            EnvError, match=r"no environment 'wlaker'; did you mean 'walker'\? \(registered: .*toy, walker;"
        ):
            call("wlaker")
        with pytest.raises(EnvError, match="did you mean 'Pendulum-v1'"):
            call("Pendulum")
    with pytest.raises(EnvError, match=r"no environment 'qqqq' \("):
        check_env_name("qqqq")
    assert issubclass(EnvError, ValueError)


def test_a_creator_may_return_a_gymnasium_vector_environment():
    register("mine", lambda num_actors, seed: gymnasium.make_vec("CartPole-v1", num_actors))
    assert create_vec_env("mine", 3, seed=1).reset()["obs"].shape == (3, 4)


@pytest.mark.parametrize(
    ("creator", "told"),
    [
        (
            lambda num_actors, seed: gymnasium.make("CartPole-v1"),
            "its creator returned .*; expected a VecEnv of 3",
        ),
        (lambda num_actors, seed: None, "its creator returned NoneType"),
        (
            lambda num_actors: ToyEnv(num_actors),
            r"unexpected keyword argument 'seed'; expected creator\(num_actors",
        ),
    ],
)
def test_a_creator_of_another_kind_is_told(creator, told):
    register("mine", creator)
    with pytest.raises(EnvError, match=told):
        create_vec_env("mine", 3, seed=1)


def test_an_error_inside_a_creator_is_its_own():
    def broken(num_actors):
        raise RuntimeError("the simulator is not installed")

    register("broken", broken)
    with pytest.raises(RuntimeError, match="not installed"):
        create_vec_env("broken", 1)


def test_rl_games_names_come_after_ours_and_before_gymnasiums(monkeypatch):
    monkeypatch.setattr(env_configurations, "configurations", configurations := dict(env_configurations.configurations))
    monkeypatch.setattr(registration, "configurations", configurations)
    monkeypatch.setattr(vecenv, "configurations", configurations)
    env_configurations.register(
        "Pendulum-v1", {"vecenv_type": "RAY", "env_creator": lambda: gymnasium.make("Acrobot-v1")}
    )
    assert create_vec_env("Pendulum-v1", 2).spec.observation_space.shape == (6,)
    register("Pendulum-v1", ToyEnv)
    assert isinstance(create_vec_env("Pendulum-v1", 2), ToyEnv)


def test_rl_games_general_names():
    assert create_vec_env("openai_gym", 2, name="Pendulum-v1", seed=None).num_envs == 2
    one = create_vec_env("gymnasium", 2, env_name="Pendulum-v1", seed=4, use_async=True)
    assert one.reset()["obs"].tolist() == create_vec_env("Pendulum-v1", 2, seed=4).reset()["obs"].tolist()
    one.close()


def test_a_module_that_registers_its_environments_may_stand_before_the_id(tmp_path, monkeypatch):
    lines = "import gymnasium\ngymnasium.register('Mine-v0', 'gymnasium.envs.classic_control:PendulumEnv')\n"
    (tmp_path / "my_envs.py").write_text(lines)
    monkeypatch.syspath_prepend(tmp_path)
    assert create_vec_env("my_envs:Mine-v0", 2).spec.observation_space.shape == (3,)
    del gymnasium.registry["Mine-v0"]


def test_packages_that_announce_their_namespace_are_asked(monkeypatch):
    class Plugin:
        @staticmethod
        def load():
            return lambda: gymnasium.register("Space/Mine-v0", "gymnasium.envs.classic_control:PendulumEnv")

    monkeypatch.setattr(registration, "entry_points", lambda group, name: [Plugin] if name == "Space" else [])
    check_env_name("Space/Mine-v0")
    del gymnasium.registry["Space/Mine-v0"]
    with pytest.raises(EnvError, match="no environment 'Elsewhere/Mine-v0'"):
        check_env_name("Elsewhere/Mine-v0")


def test_what_is_made_by_name_is_validated_by_its_learner():
    class Wrong(ToyEnv):
        def reset(self):
            return super().reset()["obs"]

    register("wrong", lambda num_actors, seed: Wrong(num_actors))
    params = parse_params(toy_params(env_name="wrong"))
    with pytest.raises(EnvError, match=r"wrong: reset\(\): got a tensor .*; expected a dict"):
        A2CAgent("run", params).env_reset()


@pytest.mark.parametrize("name", ["envpool:", "pettingzoo:"])
def test_a_prefix_alone_is_no_name(name):
    with pytest.raises(EnvError, match=f"env_name: got '{name}'; expected a name after the colon"):
        create_vec_env(name, 2)
