"""The class chain, the names and the aliases that the documentation promises."""

import inspect

import pytest
import torch
from gymnasium import spaces
from toy import ToyEnv, toy_params

from manybody.algos.a2c import (
    A2CAgent,
    A2CBase,
    A2CBuilder,
    A2CNetwork,
    ContinuousA2CBase,
    DiscreteA2CAgent,
    DiscreteA2CBase,
    ModelA2CContinuous,
    ModelA2CContinuousLogStd,
    OnPolicyAgent,
    PPOPlayerContinuous,
    PpoPlayerContinuous,
)
from manybody.algos.base import BaseAlgorithm, EnvAlgorithm
from manybody.algos.model import BaseModel, BaseModelNetwork
from manybody.algos.network import BaseNetwork, NetworkBuilder
from manybody.algos.player import BasePlayer
from manybody.config import parse_params
from manybody.engine.observers import AlgoObserver, DefaultAlgoObserver, IsaacAlgoObserver

LEFT_TO_SUBCLASSES = [
    "train",
    "train_epoch",
    "update_epoch",
    "prepare_dataset",
    "train_actor_critic",
    "calc_gradients",
]


@pytest.mark.parametrize(("agent", "kind"), [(A2CAgent, ContinuousA2CBase), (DiscreteA2CAgent, DiscreteA2CBase)])
def test_the_chain_of_agents(agent, kind):
    """The chain of six classes is defined in four modules."""
    chain = [agent, kind, OnPolicyAgent, A2CBase, EnvAlgorithm, BaseAlgorithm]
    assert list(agent.__mro__[:6]) == chain
    assert len({cls.__module__ for cls in chain}) == 4


def test_an_iteration_is_defined_in_two_files():
    methods = [*LEFT_TO_SUBCLASSES, "play_steps"]
    assert {inspect.getsourcefile(inspect.unwrap(getattr(A2CAgent, name))) for name in methods} == {
        inspect.getsourcefile(OnPolicyAgent),
        inspect.getsourcefile(A2CBase),
    }


def test_the_base_classes_are_abstract():
    assert inspect.isabstract(BaseAlgorithm) and inspect.isabstract(A2CBase) and inspect.isabstract(BasePlayer)
    assert not inspect.isabstract(A2CAgent) and not inspect.isabstract(PpoPlayerContinuous)


@pytest.mark.parametrize("name", ["play_steps", "env_step", "env_reset", "get_action_values", "get_values"])
def test_a2c_base_implements_collection(name):
    assert not getattr(getattr(A2CBase, name), "__isabstractmethod__", False)


@pytest.mark.parametrize("name", LEFT_TO_SUBCLASSES)
def test_a2c_base_leaves_learning_to_subclasses(name):
    assert name in A2CBase.__abstractmethods__
    assert callable(getattr(A2CAgent, name)) and not getattr(getattr(A2CAgent, name), "__isabstractmethod__", False)


@pytest.mark.parametrize(
    "name",
    [
        "device",
        "clear_stats",
        "train",
        "train_epoch",
        "get_full_state_weights",
        "set_full_state_weights",
        "get_weights",
        "set_weights",
        "get_param",
        "set_param",
    ],
)
def test_abstract_methods_of_every_algorithm(name):
    assert name in BaseAlgorithm.__abstractmethods__


@pytest.mark.parametrize(
    "name",
    [
        *LEFT_TO_SUBCLASSES,
        "init_tensors",
        "set_train",
        "update_lr",
        "calc_losses",
        "preprocess_actions",
        "clear_stats",
        "save",
        "restore",
        "rollout_fields",
        "shape_rewards",
        "extra_batch",
        "extra_losses",
    ],
)
def test_overridable_methods_of_the_agent(name):
    assert callable(getattr(A2CAgent, name))


def test_calc_grad_is_calc_gradients():
    class Doubled(A2CAgent):
        def calc_gradients(self, minibatch):
            return 2 * minibatch

    assert Doubled.calc_grad(Doubled.__new__(Doubled), 21) == 42


def test_players():
    assert issubclass(PpoPlayerContinuous, BasePlayer) and PPOPlayerContinuous is PpoPlayerContinuous
    for name in ("run", "restore", "reset", "get_action", "get_masked_action"):
        assert callable(getattr(BasePlayer, name))


def test_a_continuous_player_has_no_masks():
    player = PpoPlayerContinuous(parse_params(toy_params()), vec_env=ToyEnv())
    with pytest.raises(NotImplementedError, match="no discrete actions to mask"):
        player.get_masked_action({"obs": torch.zeros(8, 3)}, torch.ones(8, 2))


def test_nested_names_are_module_level_classes():
    assert A2CBuilder.Network is A2CNetwork and A2CNetwork.__qualname__ == "A2CNetwork"
    assert issubclass(A2CNetwork, BaseNetwork) and issubclass(BaseNetwork, torch.nn.Module)
    assert NetworkBuilder.BaseNetwork is BaseNetwork and issubclass(A2CBuilder, NetworkBuilder)
    for model in (ModelA2CContinuous, ModelA2CContinuousLogStd):
        assert issubclass(model, BaseModel) and callable(model.build)
        assert issubclass(model.Network, BaseModelNetwork) and "." not in model.Network.__qualname__


def test_a_network_takes_a_dictionary_and_returns_a_tuple():
    builder = A2CBuilder()
    builder.load(parse_params(toy_params()).network)
    network = builder.build("a2c", actions_num=2, input_shape=(3,), value_size=1, num_seqs=8, unknown=1)
    result = network({"obs": torch.zeros(5, 3), "is_train": False})
    assert isinstance(result, tuple) and len(result) == 4
    mu, sigma, value, states = result
    assert mu.shape == sigma.shape == (5, 2) and value.shape == (5, 1) and states is None
    assert isinstance(builder("a2c", actions_num=2, input_shape=(3,)), A2CNetwork)
    assert not network.is_rnn() and network.get_default_rnn_state() is None
    assert network.get_value_layer() is network.value and network.get_aux_loss() is None
    assert not network.is_separate_critic()


def test_a_builder_builds_its_overridden_network_class():
    class CustomBuilder(A2CBuilder):
        class Network(A2CNetwork):
            pass

    builder = CustomBuilder()
    builder.load(parse_params(toy_params()).network)
    assert type(builder.build("a2c", actions_num=2, input_shape=(3,))) is CustomBuilder.Network


def test_agent_network_builds_agent_model(make_agent):
    agent = make_agent()
    assert isinstance(agent.model, torch.nn.Module) and isinstance(agent.network, BaseModel)
    rebuilt = agent.network.build(agent.build_config())
    assert type(rebuilt) is type(agent.model) and rebuilt is not agent.model
    assert agent.build_config() == {
        "actions_num": 2,
        "input_shape": (3,),
        "num_seqs": 8,
        "value_size": 1,
        "normalize_value": True,
        "normalize_input": True,
    }


def test_state_dict_names(make_agent):
    statistics = ["running_mean", "running_var", "count"]
    trunks = [f"a2c_network.{mlp}.{i}.{p}" for mlp in ("actor_mlp", "critic_mlp") for i in (0, 2) for p in PARTS]
    heads = [f"a2c_network.{head}.{p}" for head in ("value", "mu") for p in PARTS]
    expected = {
        *(f"{owner}.{name}" for owner in ("running_mean_std", "value_mean_std") for name in statistics),
        *trunks,
        *heads,
        "a2c_network.sigma",
    }
    assert set(make_agent(network={"separate": True}).model.state_dict()) == expected


PARTS = ("weight", "bias")


def test_checkpoint_keys(make_agent):
    agent = make_agent()
    agent.start_training()
    state = agent.get_full_state_weights()
    assert {"model", "epoch", "frame", "optimizer", "last_mean_rewards", "env_state"} <= set(state)
    assert set(agent.get_weights()) == {"model"}


def test_model_outputs(make_agent):
    model = make_agent().model.eval()
    acting = {"actions", "neglogpacs", "values", "mus", "sigmas", "rnn_states"}
    training = {"prev_neglogp", "values", "entropy", "mus", "sigmas", "rnn_states"}
    obs = torch.zeros(5, 3)
    assert set(model({"is_train": False, "obs": obs})) == acting
    assert set(model({"is_train": True, "obs": obs, "prev_actions": torch.zeros(5, 2)})) == training


def test_observers():
    assert issubclass(DefaultAlgoObserver, AlgoObserver) and issubclass(IsaacAlgoObserver, AlgoObserver)
    for hook in (
        "before_init",
        "after_init",
        "process_infos",
        "after_steps",
        "after_clear_stats",
        "after_print_stats",
    ):
        assert callable(getattr(AlgoObserver, hook))


def test_actions_are_clipped_and_rescaled_for_the_environment(make_agent):
    """Actions are clipped to +-1 and mapped to the bounds of the action space, +-2; the rollout stores the sample."""
    env = ToyEnv()
    agent = make_agent(env=env)
    agent.start_training()
    with torch.no_grad():
        batch = agent.play_steps()
    sent = torch.stack(env.actions).transpose(0, 1).reshape(-1, 2)
    assert batch["actions"].abs().max() > 1.0
    torch.testing.assert_close(sent, 2.0 * batch["actions"].clamp(-1.0, 1.0))

    env = ToyEnv()
    agent = make_agent(env=env, clip_actions=False)
    agent.start_training()
    with torch.no_grad():
        batch = agent.play_steps()
    assert torch.equal(torch.stack(env.actions).transpose(0, 1).reshape(-1, 2), batch["actions"])


def test_get_env_info_uses_rl_games_names():
    info = ToyEnv(value_size=3).get_env_info()
    assert isinstance(info["observation_space"], spaces.Box) and isinstance(info["action_space"], spaces.Box)
    assert (info["agents"], info["value_size"]) == (1, 3)


def test_several_value_heads(make_agent):
    agent = make_agent(env=ToyEnv(value_size=3))
    agent.start_training()
    agent.update_epoch()
    agent.train_epoch()
    assert agent.experience_buffer.tensor_dict["values"].shape == (8, 8, 3)
    assert agent.game_rewards.mean.shape == (3,)


def test_get_param_and_set_param(make_agent):
    agent = make_agent()
    agent.set_param("learning_rate", 5e-4)
    agent.set_param("entropy_coef", 0.5)
    agent.set_param("mini_epochs", 7)
    assert agent.get_param("learning_rate") == pytest.approx(5e-4) == agent.optimizer.lr.item()
    assert (agent.get_param("entropy_coef"), agent.get_param("mini_epochs")) == (0.5, 7)
