"""Registries create objects by their configured names; user registrations take precedence over built-in ones."""

import pytest
import torch
from toy import ToyEnv, toy_params

import manybody
from manybody import model_builder
from manybody.algos.a2c import (
    A2CAgent,
    A2CBuilder,
    A2CNetwork,
    ModelA2CContinuous,
    ModelA2CContinuousLogStd,
    PpoPlayerContinuous,
)
from manybody.config import ConfigError, Params, parse_params
from manybody.engine.observers import AlgoObserver
from manybody.envs import registration
from manybody.envs.registration import create_vec_env, register
from manybody.model_builder import ModelBuilder, register_model, register_network
from manybody.registry import ObjectFactory
from manybody.runner import Runner
from manybody.train import build_runner


@pytest.fixture(autouse=True)
def _own_registries(monkeypatch):
    monkeypatch.setattr(model_builder, "NETWORK_REGISTRY", {})
    monkeypatch.setattr(model_builder, "MODEL_REGISTRY", {})
    monkeypatch.setattr(registration, "_creators", dict(registration._creators))


# --- ObjectFactory ---------------------------------------------------------------------------------------------------


def test_create_passes_the_keywords_to_the_builder():
    factory = ObjectFactory("thing")
    factory.register_builder("pair", lambda **kwargs: kwargs)
    assert factory.create("pair", a=1, b=2) == {"a": 1, "b": 2}


def test_an_unknown_name_lists_the_registered_names():
    factory = ObjectFactory("thing")
    with pytest.raises(ValueError, match=r"no thing is registered as 'x' \(registered: none\)"):
        factory.create("x")
    factory.register_builder("circle", dict)
    factory.register_builder("square", dict)
    with pytest.raises(ValueError, match=r"'cirle'; did you mean 'circle'\? \(registered: circle, square\)"):
        factory.create("cirle")


def test_a_later_registration_replaces_and_set_builders_copies():
    builders = {"a": lambda: 1}
    factory = ObjectFactory()
    factory.set_builders(builders)
    factory.register_builder("a", lambda: 2)
    assert factory.create("a") == 2 and builders["a"]() == 1


# --- networks and models ---------------------------------------------------------------------------------------------


def test_built_in_networks_and_models():
    builder = ModelBuilder()
    assert builder.network_factory.builders["actor_critic"] is A2CBuilder
    for name, model in {
        "continuous_a2c": ModelA2CContinuous,
        "continuous_a2c_logstd": ModelA2CContinuousLogStd,
    }.items():
        assert type(builder.model_factory.create(name, network=A2CBuilder())) is model


def test_model_builder_load_creates_the_configured_model():
    params = parse_params(toy_params())
    model = ModelBuilder().load(params)
    assert type(model) is ModelA2CContinuousLogStd
    assert type(model.network_builder) is A2CBuilder and model.network_builder.params is params.network


class TinyNetwork(A2CNetwork):
    pass


class TinyBuilder(A2CBuilder):
    Network = TinyNetwork


class TinyModel(ModelA2CContinuousLogStd):
    pass


@pytest.mark.parametrize(
    "register_both",
    [
        lambda network, model: (register_network(network, TinyBuilder), register_model(model, TinyModel)),
        # As in IsaacGymEnvs.
        lambda network, model: (
            register_network(network, lambda **kwargs: TinyBuilder()),
            register_model(model, lambda network, **kwargs: TinyModel(network)),
        ),
    ],
    ids=["classes", "functions"],
)
@pytest.mark.parametrize("names", [("tiny", "tiny_model"), ("actor_critic", "continuous_a2c_logstd")])
def test_registered_networks_and_models(register_both, names, tmp_path):
    register_both(*names)
    mapping = toy_params(train_dir=str(tmp_path), max_epochs=1)
    # The built-in class reads the validated section; a name without a schema receives the section unvalidated.
    builder = ModelBuilder()
    assert type(builder.network_factory.create(names[0])) is TinyBuilder
    assert builder.network_factory.schemas[names[0]] is None
    mapping["network"]["name"], mapping["model"]["name"] = names
    params = parse_params(mapping, networks=builder.network_factory.schemas, models=builder.model_factory.schemas)
    assert type(builder.load(params)) is TinyModel


def test_a_registered_network_trains(tmp_path):
    class Builder(TinyBuilder):
        def load(self, params):
            self.factor = params["factor"]  # a private key
            super().load(parse_params(toy_params()).network)

    register_network("tiny", Builder)
    mapping = toy_params(train_dir=str(tmp_path), max_epochs=1)
    mapping["network"] = {"name": "tiny", "factor": 3}
    runner = Runner()
    runner.load({"params": mapping})
    agent = runner.run({"train": True, "vec_env": ToyEnv()})
    assert type(agent.model.a2c_network) is TinyNetwork and agent.network.network_builder.factor == 3


def test_building_does_not_change_the_user_registries():
    register_network("tiny", TinyBuilder)
    ModelBuilder()
    assert list(model_builder.NETWORK_REGISTRY) == ["tiny"] and model_builder.MODEL_REGISTRY == {}


# --- Runner ----------------------------------------------------------------------------------------------------------


def test_the_runner_has_the_methods_of_rl_games():
    runner = Runner()
    for name in ("load", "load_config", "run", "run_train", "run_play", "create_player", "reset"):
        assert callable(getattr(runner, name))
    assert isinstance(runner.algo_observer, AlgoObserver)
    assert runner.reset() is None
    assert manybody.Runner is Runner


def test_algorithms_and_players_are_registered_under_the_same_names():
    runner = build_runner()
    assert "a2c_continuous" in runner.algo_factory.builders
    assert set(runner.algo_factory.builders) == set(runner.player_factory.builders)
    with pytest.raises(ValueError, match=r"no algorithm is registered as 'ppo' \(registered: a2c_continuous"):
        runner.algo_factory.create("ppo")
    with pytest.raises(ValueError, match="no player is registered as"):
        runner.player_factory.create("ppo")


def test_an_unknown_algorithm_is_refused_when_loading():
    with pytest.raises(ConfigError, match=r"params\.algo\.name.*a2c_continuos.*a2c_continuous"):
        Runner().load({"params": toy_params() | {"algo": {"name": "a2c_continuos"}}})


def test_run_trains_then_plays(tmp_path):
    runner = Runner()
    runner.load({"params": toy_params(train_dir=str(tmp_path), max_epochs=2, save_best_after=0)})
    assert isinstance(runner.params, Params)
    agent = runner.run({"train": True, "play": False, "vec_env": ToyEnv()})
    assert type(agent) is A2CAgent and agent.epoch_num == 2
    checkpoint = agent.run.folder.nn / "Toy.pth"
    result = runner.run({"train": False, "play": True, "checkpoint": checkpoint, "vec_env": ToyEnv()})
    assert result.games == 100 and result.mean_steps == pytest.approx(5.0, abs=1.0)


def test_run_trains_without_flags(tmp_path):
    runner = Runner()
    runner.load({"params": toy_params(train_dir=str(tmp_path), max_epochs=1)})
    assert type(runner.run({"vec_env": ToyEnv()})) is A2CAgent


def test_a_player_restores_the_trained_policy(tmp_path):
    runner = Runner()
    runner.load({"params": toy_params(train_dir=str(tmp_path), max_epochs=1, save_best_after=0)})
    agent = runner.run_train({"vec_env": ToyEnv()})
    player = runner.create_player(vec_env=ToyEnv())
    assert type(player) is PpoPlayerContinuous
    player.restore(str(agent.run.folder.nn / "Toy.pth"))
    obs = {"obs": torch.randn(8, 3)}
    agent.model.eval()
    with torch.no_grad():
        expected = 2.0 * agent.get_action_values(obs)["mus"].clamp(-1.0, 1.0)  # the action space is +-2
        torch.testing.assert_close(player.get_action(obs, is_deterministic=True), expected)


def test_sigma_can_be_overridden(tmp_path):
    runner = Runner()
    runner.load({"params": toy_params(train_dir=str(tmp_path), max_epochs=1, learning_rate=1e-9)})
    agent = runner.run_train({"vec_env": ToyEnv(), "sigma": -1.5})
    assert agent.model.a2c_network.sigma.tolist() == pytest.approx([-1.5, -1.5], abs=1e-6)


def test_registered_agents_and_players(tmp_path):
    class MyAgent(A2CAgent):
        pass

    class MyPlayer(PpoPlayerContinuous):
        pass

    runner = build_runner()
    runner.algo_factory.register_builder("mine", lambda **kwargs: MyAgent(**kwargs), schema=A2CAgent.Config)
    runner.player_factory.register_builder("mine", lambda **kwargs: MyPlayer(**kwargs))
    runner.load({"params": toy_params(train_dir=str(tmp_path), max_epochs=1) | {"algo": {"name": "mine"}}})
    assert type(runner.run({"train": True, "vec_env": ToyEnv()})) is MyAgent
    assert type(runner.create_player(vec_env=ToyEnv())) is MyPlayer


def test_an_agent_registered_as_a_function_needs_a_schema(tmp_path):
    class MyAgent(A2CAgent):
        pass

    class MyPlayer(PpoPlayerContinuous):
        pass

    params = toy_params(train_dir=str(tmp_path), max_epochs=1) | {"algo": {"name": "mine"}}
    runner = build_runner()
    runner.algo_factory.register_builder("mine", lambda **kwargs: MyAgent(**kwargs))
    runner.player_factory.register_builder("mine", lambda **kwargs: MyPlayer(**kwargs))
    runner.load({"params": params})
    with pytest.raises(ConfigError, match=r"params\.config: .* of MyAgent\. Register 'mine' with schema="):
        runner.run({"train": True, "vec_env": ToyEnv()})
    with pytest.raises(ConfigError, match=r"params\.config: .* of MyPlayer\. Register 'mine' with schema="):
        runner.create_player(vec_env=ToyEnv())
    runner.algo_factory.register_builder("mine", MyAgent)
    runner.load({"params": params})
    assert type(runner.run({"train": True, "vec_env": ToyEnv()})) is MyAgent
    assert type(runner.create_player(vec_env=ToyEnv())) is MyPlayer


def test_a_registered_algorithm_replaces_the_built_in_one(tmp_path):
    class MyAgent(A2CAgent):
        pass

    runner = Runner()
    runner.algo_factory.register_builder("a2c_continuous", MyAgent, schema=A2CAgent.Config)
    runner.load({"params": toy_params(train_dir=str(tmp_path), max_epochs=1)})
    assert type(runner.run({"train": True, "vec_env": ToyEnv()})) is MyAgent


def test_environments_by_name(tmp_path):
    created = []

    def creator(num_actors, **env_config):
        created.append((num_actors, env_config))
        return ToyEnv(num_actors)

    register("toy", creator)
    runner = Runner()
    runner.load({"params": toy_params(train_dir=str(tmp_path), max_epochs=1, env_config={"wind": 3})})
    runner.run({"train": True})
    assert created == [(8, {"seed": 0, "wind": 3})]
    with pytest.raises(ValueError, match=r"no environment 'tpy'; did you mean 'toy'\? \(registered: .*toy"):
        create_vec_env("tpy", 8)
