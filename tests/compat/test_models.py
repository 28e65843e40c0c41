"""Models of RL Games' clients on this library compared with the real one; both combined; the registries."""

import copy

import pytest
import torch
from toy import toy_params
from toy_client import build, network_section, side

import manybody.algos.rnd  # noqa: F401  provides rnd_curiosity
from manybody import model_builder
from manybody.algos.a2c import A2CNetwork, LogStdModelNetwork
from manybody.compat.rl_games.algos_torch import model_builder as legacy
from manybody.compat.rl_games.algos_torch import models, network_builder
from manybody.config import parse_params

BUILD = {
    "actions_num": 2,
    "input_shape": (3,),
    "num_seqs": 5,
    "value_size": 1,
    "normalize_value": True,
    "normalize_input": True,
}
ARGUMENTS = {"obs_shape": (3,), "normalize_value": False, "normalize_input": False, "value_size": 1}
TRAINING = {"prev_neglogp", "values", "entropy", "rnn_states"}
ACTING = {"neglogpacs", "values", "actions", "rnn_states"}


@pytest.fixture(scope="module")
def sides():
    return side("manybody"), side("rl_games")


@pytest.fixture
def registries(monkeypatch):
    """Both registries, which are empty again afterwards."""
    monkeypatch.setattr(model_builder, "NETWORK_REGISTRY", networks := {})
    monkeypatch.setattr(model_builder, "MODEL_REGISTRY", made := {})
    monkeypatch.setattr(legacy, "NETWORK_REGISTRY", networks)
    monkeypatch.setattr(legacy, "MODEL_REGISTRY", made)


@pytest.fixture
def build_both(sides):
    """``build_both(model, builder, section, **config)``: live models of equal weights and statistics."""

    def make(model, builder, section, **config):
        config = {**BUILD, **config}
        lives = []
        for one in sides:
            recipe = getattr(one, builder, None) or getattr(one.network_builder, builder)
            kind = getattr(one, model, None) or getattr(one.models, model)
            network = recipe()
            network.load(copy.deepcopy(section))
            lives.append(kind(network).build(dict(config)))
        ours, theirs = lives
        ours.running_mean_std.update(1.0 + 2.0 * torch.randn(50, 3))
        ours.value_mean_std.update(3.0 + 4.0 * torch.randn(50, config["value_size"]))
        assert list(ours.state_dict()) == list(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict())
        return ours.eval(), theirs.eval()

    return make


def answers(lives, **inputs):
    """The outputs of each live model for copies of the same inputs and one seed, and the inputs afterwards."""
    result = []
    for live in lives:
        copied = copy.deepcopy(inputs)
        torch.manual_seed(7)
        result.append((live(copied), copied))
    return result


def assert_equal(ours, theirs):
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        if isinstance(value, list | tuple):
            for one, other in zip(ours[name], value, strict=True):
                torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)
        elif value is None:
            assert ours[name] is None
        else:
            torch.testing.assert_close(ours[name], value, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_a_gaussian_model(separate, training, build_both):
    lives = build_both("ModelA2CContinuousLogStd", "A2CBuilder", network_section(separate=separate), value_size=2)
    obs, actions = torch.randn(6, 3), torch.randn(6, 2)
    (ours, left), (theirs, expected) = answers(lives, obs=obs, is_train=training, prev_actions=actions, mine="kept")
    assert_equal(ours, theirs)
    assert set(ours) == {*(TRAINING if training else ACTING), "mus", "sigmas"}
    torch.testing.assert_close(left["obs"], expected["obs"], atol=1e-6, rtol=1e-6)  # normalised now
    assert left["mine"] == "kept"


def test_a_recurrent_model(build_both):
    section = network_section(rnn={"name": "lstm", "units": 7, "layers": 1}, separate=True)
    lives = build_both("ModelA2CContinuousLogStd", "A2CBuilder", section)
    states = tuple(torch.randn(1, 5, 7) for _ in range(4))
    (ours, _), (theirs, _) = answers(lives, obs=torch.randn(5, 3), is_train=False, rnn_states=states)
    assert_equal(ours, theirs)
    assert lives[0].is_rnn()
    assert [state.shape for state in lives[0].get_default_rnn_state()] == [(1, 5, 7)] * 4


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_a_model_of_choices(training, masked, build_both):
    lives = build_both("ModelA2C", "A2CBuilder", network_section("discrete"), actions_num=5)
    masks = {"action_masks": torch.rand(6, 5) < 0.5} if masked else {}
    if masked:
        masks["action_masks"][:, 2] = True
    inputs = {"obs": torch.randn(6, 3), "is_train": training, "prev_actions": torch.full((6,), 2), **masks}
    (ours, _), (theirs, _) = answers(lives, **inputs)
    assert_equal(ours, theirs)
    assert set(ours) == {*(TRAINING if training else ACTING), "logits"}
    if masked and not training:
        assert masks["action_masks"].gather(1, ours["actions"].unsqueeze(1)).all()


@pytest.mark.parametrize("training", [True, False])
def test_a_model_of_several_choices(training, build_both):
    lives = build_both("ModelA2CMultiDiscrete", "A2CBuilder", network_section("multi_discrete"), actions_num=(2, 4))
    actions = torch.tensor([[0, 3]] * 6)
    (ours, _), (theirs, _) = answers(lives, obs=torch.randn(6, 3), is_train=training, prev_actions=actions)
    assert_equal(ours, theirs)
    assert [logits.shape for logits in ours["logits"]] == [(6, 2), (6, 4)]


def test_masks_of_several_choices(sides):
    network = build(
        sides[0].network_builder.A2CBuilder,
        network_section("multi_discrete"),
        actions_num=(2, 3),
        input_shape=(3,),
    )
    live = models.ModelA2CMultiDiscrete.Network(network)
    masks = torch.tensor([[True, False, False, True, False]] * 6)  # allow 0 of the first and 1 of the second
    result = live({"obs": torch.randn(6, 3), "is_train": False, "action_masks": masks})
    assert result["actions"].tolist() == [[0, 1]] * 6
    # The only choice that is left is certain.
    torch.testing.assert_close(result["neglogpacs"], torch.zeros(6))


def test_a_central_value(build_both):
    section = network_section(central_value=True)
    del section["space"]
    lives = build_both("ModelCentralValue", "A2CBuilder", section)
    for training in (True, False):
        (ours, _), (theirs, _) = answers(lives, obs=torch.randn(6, 3), is_train=training)
        assert_equal(ours, theirs)


def test_a_model_of_deviations_keeps_them_above_zero(sides):
    # RL Games' continuous_a2c cannot act.
    network = build(sides[0].network_builder.A2CBuilder, network_section(), actions_num=2, input_shape=(3,))
    live = models.ModelA2CContinuous.Network(network, obs_shape=(3,))
    result = live({"obs": torch.randn(6, 3), "is_train": False})
    assert result["sigmas"].unique().tolist() == pytest.approx([0.001])  # of -0.5


@pytest.mark.parametrize("training", [True, False])
def test_an_amp_model(training, build_both):
    disc = {"units": [6], "activation": "relu", "initializer": {"name": "default"}}
    lives = build_both("ModelAMP", "AMPBuilder", network_section(separate=True, disc=disc), amp_input_shape=(4,))
    inputs = {"obs": torch.randn(6, 3), "is_train": training, "prev_actions": torch.randn(6, 2)}
    (ours, _), (theirs, _) = answers(lives, **inputs, amp_obs=torch.randn(6, 4))
    assert_equal(ours, theirs)
    assert ("disc_agent_logit" in ours) is training
    assert lives[0].is_separate_critic()


def test_a_model_that_was_written_for_normalised_observations(sides):
    # RL Games 1.1.4: Network(a2c_network), and nothing else.
    network = build(sides[0].network_builder.A2CBuilder, network_section(), actions_num=2, input_shape=(3,))
    live = models.ModelA2CContinuousLogStd.Network(network)
    obs = torch.randn(6, 3)
    result = live({"obs": obs, "is_train": False})
    torch.testing.assert_close(result["mus"], network({"obs": obs})[0])
    assert list(live.state_dict()) == [f"a2c_network.{name}" for name in network.state_dict()]


def test_statistics_are_merged_in_training_mode_only(build_both):
    ours, theirs = build_both("ModelA2CContinuousLogStd", "A2CBuilder", network_section())
    for live in (ours, theirs):
        live.train()
        live.value_mean_std.eval()
    answers((ours, theirs), obs=5.0 + torch.randn(6, 3), is_train=True, prev_actions=torch.randn(6, 2))
    assert ours.running_mean_std.count.item() == 57.0  # 1 assumed, 50 before, 6 now
    torch.testing.assert_close(ours.running_mean_std.running_mean, theirs.running_mean_std.running_mean)
    returns = torch.randn(6, 1)
    torch.testing.assert_close(ours.value_mean_std(returns, True), theirs.value_mean_std(returns, True))


def file_params(network, model="continuous_a2c_logstd"):
    """``params`` of a client's file."""
    return {**toy_params(), "network": network, "model": {"name": model}}


def parsed(params):
    """As a runner of ours reads the file."""
    known = model_builder.ModelBuilder()
    return parse_params(params, networks=known.network_factory.schemas, models=known.model_factory.schemas)


def test_their_network_in_our_model(sides, registries):
    legacy.register_network("client", lambda **kwargs: sides[0].EncodersBuilder())
    section = network_section(encoders={"depth": 4})
    section["space"]["continuous"] |= {"min_sigma": 0.25}
    for _ in range(2):  # the network takes keys out of its settings; the file keeps them
        recipe = model_builder.ModelBuilder().load(parsed(file_params(section)))
        live = recipe.build({**BUILD, "input_shape": {"depth": (6,), "policy": (3,)}})
    assert type(live) is LogStdModelNetwork
    obs = {"depth": torch.randn(5, 6), "policy": torch.randn(5, 3)}
    before = copy.deepcopy(obs)
    result = live({"obs": obs, "is_train": False})
    assert result["actions"].shape == (5, 2)
    # exp(-0.5) + 0.25: a setting of a later RL Games acts in a plain dictionary too.
    assert result["sigmas"][0, 0].item() == pytest.approx(0.6065307 + 0.25)
    assert all(torch.equal(obs[key], before[key]) for key in obs)


def test_our_network_in_their_model(sides, registries):
    legacy.register_model("client_model", lambda network, **kwargs: models.ModelA2CContinuousLogStd(network))
    section = {**network_section(), "name": "actor_critic"}
    recipe = model_builder.ModelBuilder().load(parsed(file_params(section, "client_model")))
    live = recipe.build(dict(BUILD))
    assert isinstance(live, models.ModelA2CContinuousLogStd.Network)
    assert isinstance(live.a2c_network, A2CNetwork)
    result = live({"obs": torch.randn(5, 3), "is_train": True, "prev_actions": torch.zeros(5, 2)})
    assert set(result) == {*TRAINING, "mus", "sigmas"}


@pytest.mark.parametrize("central", [False, True])
def test_a_network_from_scratch_in_our_models(central, sides, registries):
    legacy.register_network("client", sides[0].OwnBuilder)
    section = {"name": "client", "central_value": central}
    factories = model_builder.ModelBuilder()
    network = factories.network_factory.load(section)
    kind = "central_value" if central else "discrete_a2c"
    live = factories.model_factory.create(kind, network=network).build(
        {**BUILD, "input_shape": {"pos": (3,), "info": (2,)}, "actions_num": 4}
    )
    result = live({"obs": {"pos": torch.randn(5, 3), "info": torch.randn(5, 2)}, "is_train": False})
    assert result["values"].shape == (5, 1)
    assert central or result["actions"].shape == (5,)
    assert live.get_aux_loss()["aux"].shape == ()


def test_raw_settings_build_what_clients_know(registries):
    section = {**network_section(), "name": "actor_critic"}
    builder = legacy.ModelBuilder()
    live = builder.load({"model": {"name": "continuous_a2c_logstd"}, "network": section}).build(dict(BUILD))
    assert type(live) is models.ModelA2CContinuousLogStd.Network
    assert type(live.a2c_network) is network_builder.A2CBuilder.Network
    assert live.a2c_network.space_config["fixed_sigma"] is True
    assert builder.get_network_builder() is builder.network_builder
    assert "actor_critic" in builder.network_builder.network_factory.builders
    builder.network_factory.register_builder("mine", lambda **kwargs: network_builder.A2CBuilder())
    assert type(builder.network_builder.load({**section, "name": "mine"})) is network_builder.A2CBuilder


def test_what_a_client_registers_wins(sides, registries):
    legacy.register_network("actor_critic", lambda **kwargs: sides[0].AMPBuilder())
    legacy.register_model("continuous_a2c_logstd", lambda network, **kwargs: sides[0].ModelAMP(network))
    assert set(model_builder.NETWORK_REGISTRY) == set(legacy.NETWORK_REGISTRY) == {"actor_critic"}
    params = {"model": {"name": "continuous_a2c_logstd"}, "network": {"name": "actor_critic"}}
    for builder in (legacy.ModelBuilder(), model_builder.ModelBuilder()):
        recipe = builder.load(params)
        assert type(recipe) is sides[0].ModelAMP
        assert type(recipe.network_builder) is sides[0].AMPBuilder


def test_an_unregistered_network_is_reported(registries):
    with pytest.raises(ValueError, match="no network is registered as 'actor_critik'; did you mean 'actor_critic'"):
        legacy.NetworkBuilder().load({"name": "actor_critik"})


def test_networks_of_ours_that_rl_games_never_had(registries):
    section = {
        **network_section(),
        "name": "rnd_curiosity",
    }
    network = legacy.NetworkBuilder().load(section).build("a2c", actions_num=2, input_shape=(3,))
    assert network.curiosity.novelty(torch.randn(5, 3)).shape == (5,)
