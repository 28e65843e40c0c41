"""Networks of RL Games' clients on manybody's base and on the real one: names, loaded weights, outputs."""

import copy
import itertools

import pytest
import torch
from torch import nn
from toy_client import CONTINUOUS, build, network_section, side

from manybody.config import ConfigError

S, L = 3, 4
KINDS = {"continuous": 2, "discrete": 5, "multi_discrete": (2, 5, 3)}
INITIALIZER = {"name": "glorot_uniform_initializer", "gain": 0.5}


@pytest.fixture(scope="module")
def sides():
    return side("manybody"), side("rl_games")


@pytest.fixture
def build_both(sides):
    """``ours, theirs = build_both(builder, section, **kwargs)``, ``builder`` a name; equal parameters are asserted."""

    def make(builder, section, **kwargs):
        networks = []
        for one in sides:
            recipe = getattr(one, builder, None) or getattr(one.network_builder, builder)
            networks.append(build(recipe, copy.deepcopy(section), **copy.deepcopy(kwargs)))
        states = [network.state_dict() for network in networks]
        assert list(states[0]) == list(states[1])
        networks[0].load_state_dict(states[1])
        orders = [[name for name, _ in network.named_parameters()] for network in networks]
        assert orders[0] == orders[1]
        return networks

    return make


def equal(ours, theirs):
    """Both sequences agree to 1e-6, and the sequences in them too."""
    if isinstance(ours, tuple | list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            equal(one, other)
    elif ours is None:
        assert theirs is None
    else:
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def inputs(obs, **keys):
    """A new input dictionary: clients change theirs."""
    return {"obs": copy.deepcopy(obs), "is_train": False, **copy.deepcopy(keys)}


def random_image_section(kind, **keys):
    convs = [
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": 1},
        {"filters": 5, "kernel_size": 2, "strides": 1, "padding": 0},
    ]
    cnn = {"type": kind, "activation": "relu", "initializer": dict(INITIALIZER), "convs": convs}
    return network_section("discrete", cnn=cnn, **keys)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("mlp", [{}, {"d2rl": True}, {"units": []}])
def test_hidden_layers_and_heads(kind, separate, mlp, build_both):
    section = network_section(kind, separate=separate)
    section["mlp"] |= mlp
    ours, theirs = build_both(
        "A2CBuilder", section, actions_num=KINDS[kind], input_shape=(3,), value_size=2, num_seqs=7
    )
    obs = torch.randn(6, 3)
    equal(ours(inputs(obs)), theirs(inputs(obs)))
    assert ours.is_separate_critic() is separate
    assert (ours.is_rnn(), ours.get_default_rnn_state(), ours.get_aux_loss()) == (False, None, None)


@pytest.mark.parametrize("fixed", [True, False])
def test_a_spread_that_is_predicted(fixed, build_both):
    space = {"continuous": {**CONTINUOUS, "fixed_sigma": fixed, "mu_init": dict(INITIALIZER)}}
    section = {**network_section(), "space": space}
    ours, theirs = build_both("A2CBuilder", section, actions_num=2, input_shape=(3,))
    equal(ours(inputs(torch.ones(4, 3))), theirs(inputs(torch.ones(4, 3))))


@pytest.mark.parametrize("normalization", ["layer_norm", "batch_norm"])
@pytest.mark.parametrize("mlp", [{}, {"d2rl": True}])
def test_normalised_hidden_layers_as_in_1_6_5(normalization, mlp, build_both):
    # There, d2rl alone heeds the setting: checkpoints hold no other normalisation.
    section = network_section(normalization=normalization)
    section["mlp"] |= mlp
    ours, theirs = build_both("A2CBuilder", section, actions_num=2, input_shape=(3,))
    obs = torch.randn(6, 3)
    equal(ours(inputs(obs)), theirs(inputs(obs)))


@pytest.mark.parametrize("normalization", [None, "layer_norm", "batch_norm"])
@pytest.mark.parametrize("kind", ["conv2d", "conv2d_flatten", "conv2d_spatial_softargmax", "coord_conv2d"])
@pytest.mark.parametrize("separate", [False, True])
def test_images(kind, normalization, separate, build_both):
    section = random_image_section(kind, separate=separate, normalization=normalization)
    ours, theirs = build_both("A2CBuilder", section, actions_num=5, input_shape=(9, 9, 3))
    # In float64: sums over whole images in float32 differ by some 1e-6 between processors.
    obs = torch.rand(6, 9, 9, 3).double()
    for training in (True, False):
        ours.double().train(training), theirs.double().train(training)
        equal(ours(inputs(obs)), theirs(inputs(obs)))


@pytest.mark.parametrize("normalization", [None, "batch_norm"])
def test_signals(normalization, build_both):
    section = random_image_section("conv1d", normalization=normalization)
    ours, theirs = build_both("A2CBuilder", section, actions_num=5, input_shape=(3, 11))
    obs = torch.rand(6, 3, 11)
    equal(ours(inputs(obs)), theirs(inputs(obs)))


RECURRENT = list(itertools.product(["lstm", "gru"], [False, True], [False, True], [False, True]))


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize(("name", "before_mlp", "concat", "layer_norm"), RECURRENT)
def test_recurrent_layers(name, before_mlp, concat, layer_norm, separate, build_both):
    rnn = {"name": name, "units": 7, "layers": 2, "before_mlp": before_mlp, "layer_norm": layer_norm}
    section = network_section(
        separate=separate, rnn={**rnn, "concat_input": concat and not before_mlp, "concat_output": concat}
    )
    ours, theirs = build_both("A2CBuilder", section, actions_num=2, input_shape=(3,), num_seqs=S)
    assert ours.is_rnn()
    equal(ours.get_default_rnn_state(), theirs.get_default_rnn_state())
    states = tuple(torch.randn_like(state) for state in ours.get_default_rnn_state())
    obs, dones = torch.randn(S * L, 3), torch.zeros(S, L)
    dones[0, 0] = dones[1, 2] = dones[2, 2] = 1.0
    for given in (dones.flatten(), torch.zeros(S * L), None):
        keys = {"rnn_states": states, "seq_length": L, "dones": given, "bptt_len": 0}
        mine, real = ours(inputs(obs, **keys)), theirs(inputs(obs, **keys))
        equal(mine[:-1], real[:-1])
        if given is None:  # training reads no states
            equal(mine[-1], real[-1])
    equal(ours(inputs(obs[:S], rnn_states=states)), theirs(inputs(obs[:S], rnn_states=states)))


def test_a_state_that_is_missing_is_zero(build_both):
    section = network_section(rnn={"name": "gru", "units": 7, "layers": 1})
    ours, _ = build_both("A2CBuilder", section, actions_num=2, input_shape=(3,), num_seqs=S)
    obs = torch.randn(S, 3)
    equal(ours(inputs(obs)), ours(inputs(obs, rnn_states=ours.get_default_rnn_state())))


def test_the_recurrent_layer_without_memory(sides):
    section = network_section(rnn={"name": "identity", "units": 8, "layers": 1})
    builder = sides[0].network_builder.A2CBuilder
    network = build(builder, section, actions_num=2, input_shape=(3,), num_seqs=S)
    plain = build(builder, network_section(), actions_num=2, input_shape=(3,))
    obs, states = torch.randn(S, 3), network.get_default_rnn_state()
    assert [state.shape for state in states] == [(1, S, 1)]
    equal(network(inputs(obs, rnn_states=states))[:3], plain(inputs(obs))[:3])


def test_a_central_value(build_both):
    section = network_section(central_value=True)
    del section["space"]
    ours, theirs = build_both("A2CBuilder", section, actions_num=0, input_shape=(3,), value_size=1)
    obs = torch.randn(6, 3)
    equal(ours(inputs(obs)), theirs(inputs(obs)))


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("rnn", [None, {"name": "gru", "units": 7, "layers": 1}])
def test_residual_convolutions(kind, rnn, build_both):
    section = network_section(kind, cnn={"conv_depths": [3, 4]}, **({"rnn": rnn} if rnn else {}))
    ours, theirs = build_both("A2CResnetBuilder", section, actions_num=KINDS[kind], input_shape=(9, 9, 3), num_seqs=S)
    obs = torch.rand(S, 9, 9, 3)
    states = {"rnn_states": (torch.randn(1, S, 7),)} if rnn else {}
    equal(ours(inputs(obs, **states)), theirs(inputs(obs, **states)))


@pytest.mark.parametrize("learned", [True, False])
def test_an_amp_network(learned, build_both):
    disc = {"units": [6, 4], "activation": "relu", "initializer": dict(INITIALIZER)}
    section = network_section(separate=True, disc=disc)
    section["space"]["continuous"]["learn_sigma"] = learned
    ours, theirs = build_both(
        "AMPBuilder", section, actions_num=2, input_shape=(3,), amp_input_shape=(5,), value_size=1
    )
    obs, amp_obs = torch.randn(6, 3), torch.randn(6, 5)
    equal(ours(inputs(obs)), theirs(inputs(obs)))
    equal(ours.eval_disc(amp_obs), theirs.eval_disc(amp_obs))
    equal(ours.eval_critic(obs), theirs.eval_critic(obs))
    equal(ours.eval_actor(obs), ours(inputs(obs))[:2])
    assert ours.sigma.requires_grad is learned


def test_a_network_with_encoders_of_its_own(build_both):
    section = network_section(encoders={"depth": 4})
    shapes = {"depth": (6,), "policy": (3,)}
    ours, theirs = build_both("EncodersBuilder", section, actions_num=2, input_shape=shapes)
    for training in (True, False):  # statistics too
        obs = {"depth": torch.randn(8, 6), "policy": torch.randn(8, 3)}
        ours.train(training), theirs.train(training)
        equal(ours(inputs(obs)), theirs(inputs(obs)))
    # 1 sample assumed at first, then the 8 of the pass in training mode.
    assert ours.encoders["depth"][0].count.item() == 9.0


@pytest.mark.parametrize("central_value", [False, True])
def test_a_network_from_scratch(central_value, build_both):
    section = {"name": "client", "central_value": central_value}
    ours, theirs = build_both("OwnBuilder", section, actions_num=4, input_shape={"pos": (3,), "info": (2,)})
    obs = {"pos": torch.randn(6, 3), "info": torch.randn(6, 2)}
    equal(ours(inputs(obs)), theirs(inputs(obs)))
    equal(ours.get_aux_loss()["aux"], theirs.get_aux_loss()["aux"])


def test_the_attributes_that_clients_read(build_both):
    rnn = {"name": "lstm", "units": 7, "layers": 2}
    ours, theirs = build_both("A2CBuilder", network_section(rnn=rnn), actions_num=2, input_shape=(3,))
    for name in (
        *(
            "is_continuous",
            "is_discrete",
            "is_multi_discrete",
            "space_config",
            "separate",
            "units",
            "activation",
        ),
        *("initializer", "value_activation", "has_cnn", "fixed_sigma", "has_rnn", "rnn_units", "rnn_layers"),
        *(
            "rnn_name",
            "is_rnn_before_mlp",
            "rnn_ln",
            "rnn_concat_input",
            "rnn_concat_output",
            "normalization",
        ),
        *("is_d2rl", "norm_only_first_layer", "central_value", "has_space", "value_size", "num_seqs"),
    ):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.get_value_layer() is ours.value
    assert ours.space_config["sigma_init"] == {"name": "const_initializer", "val": -0.5}
    parts = ("actor_cnn", "critic_cnn", "critic_mlp")
    assert all(len(getattr(ours, part)) == 0 for part in parts)
    assert ours.critic_cnn(torch.ones(2, 3)).shape == (2, 3)


@pytest.mark.parametrize("name", ["manybody", "rl_games"])
def test_the_methods_that_clients_build_with(name, sides):
    network = next(one for one in sides if one.name == name).network_builder.NetworkBuilder.BaseNetwork()
    layers = network._build_mlp(input_size=3, units=[4, 4], activation="relu", dense_func=nn.Linear)
    assert [type(layer).__name__ for layer in layers] == ["Linear", "ReLU", "Linear", "ReLU"]
    assert network._calc_input_size((7,)) == 7
    assert network._calc_input_size((2, 3), nn.Sequential(nn.Flatten())) == 6
    assert network._build_value_layer(3, 1).weight.shape == (1, 3)
    convs = [{"filters": 4, "kernel_size": 3, "strides": 2, "padding": 1}]
    convolutions = network._build_conv("conv2d", input_shape=(3, 9, 9), convs=convs, activation="relu")
    assert network._calc_input_size((3, 9, 9), convolutions) == 4 * 5 * 5
    weight = torch.ones(2, 2)
    network.init_factory.create(name="const_initializer", val=3.0)(weight)
    assert weight.sum().item() == 12.0
    assert isinstance(network.activations_factory.create("tanh"), nn.Tanh)


def test_unknown_names_are_reported(sides):
    network = sides[0].network_builder.NetworkBuilder.BaseNetwork()
    with pytest.raises(ConfigError, match=r"network\.cnn\.type: got 'conv3d'"):
        network._build_conv("conv3d", (3, 9, 9), [{"filters": 4, "kernel_size": 3}], "relu")
    with pytest.raises(ValueError, match="did you mean 'elu'"):
        network.activations_factory.create("elo")


def test_networks_of_soft_actor_critic(build_both):
    section = network_section(separate=True, log_std_bounds=[-5, 2])
    section["mlp"]["initializer"] = {"name": "default"}
    ours, theirs = build_both("SACBuilder", section, obs_dim=3, action_dim=2, actions_num=2, input_shape=(3,))
    obs, action = torch.randn(4, 3), torch.rand(4, 2)
    equal(ours.critic(obs, action), [q.squeeze(1) for q in theirs.critic(obs, action)])
    policy, expected = ours.actor(obs), theirs.actor(obs)
    equal(policy.mode(), expected.mean)
    equal(policy.log_sigma.exp(), expected.scale)


def test_a_network_whose_heads_a_client_builds(build_both):
    section = network_section(separate=True)
    del section["space"]
    ours, theirs = build_both("A2CBuilder", section, actions_num=2, input_shape=(3,))
    obs = torch.randn(6, 3)
    equal(ours.actor_mlp(obs), theirs.actor_mlp(obs))
    assert ours.has_space is theirs.has_space is False
