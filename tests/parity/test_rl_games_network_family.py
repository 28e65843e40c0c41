"""Convolutional, recurrent, discrete and residual networks have the outputs of RL Games 1.6.5 for equal weights."""

import contextlib
import copy
import io
import itertools

import pytest
import torch

from manybody.algos.a2c.networks import A2CBuilder, A2CResnetBuilder
from manybody.config import ActorCriticConfig, ResnetActorCriticConfig, parse_section

S, L = 3, 4
SPACES = {
    "discrete": ({"discrete": None}, 5),
    "multi_discrete": ({"multi_discrete": None}, (2, 5, 3)),
    "continuous": (
        {
            "continuous": {
                "mu_activation": "tanh",
                "sigma_activation": "None",
                "mu_init": {"name": "default"},
                "sigma_init": {"name": "default"},
                "fixed_sigma": False,
            }
        },
        2,
    ),
}
IMAGE = (9, 9, 3)


def cnn(kind="conv2d", **keys):
    convs = [
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": 1},
        {"filters": 5, "kernel_size": 2, "strides": 1, "padding": 0},
    ]
    return {"type": kind, "activation": "elu", "initializer": {"name": "default"}, "convs": convs, **keys}


def build_both(input_shape, space="discrete", resnet=False, value_size=1, **keys):
    """Build both networks from one section with equal weights."""
    from rl_games.algos_torch import network_builder as rl_games

    block, actions_num = SPACES[space]
    params = {
        "name": "n",
        "mlp": {"units": [8, 6], "activation": "elu", "initializer": {"name": "default"}},
        "space": block,
        **keys,
    }
    build = {"actions_num": actions_num, "input_shape": input_shape, "value_size": value_size, "num_seqs": S}
    builders = (A2CResnetBuilder, rl_games.A2CResnetBuilder) if resnet else (A2CBuilder, rl_games.A2CBuilder)
    ours, reference = (builder() for builder in builders)
    schema = ResnetActorCriticConfig if resnet else ActorCriticConfig
    ours.load(parse_section(schema, copy.deepcopy(params), "network"))
    reference.load({"normalization": None, **copy.deepcopy(params)})
    torch.manual_seed(0)
    our_network = ours.build("a2c", **build)
    with contextlib.redirect_stdout(io.StringIO()):
        reference_network = reference.build("a2c", **build)
    assert [name for name, _ in our_network.named_parameters()] == [
        name for name, _ in reference_network.named_parameters()
    ]
    our_network.load_state_dict(reference_network.state_dict())
    return our_network, reference_network


def assert_equal_outputs(ours, reference):
    """Compare the outputs of two networks recursively."""
    assert len(ours) == len(reference)
    for one, other in zip(ours, reference, strict=True):
        if isinstance(one, tuple):
            assert_equal_outputs(one, other)
        elif one is None:
            assert other is None
        else:
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def act(network, obs, **keys):
    """Run a network; with resets, drop the final state, which this library does not return."""
    out = network({"obs": obs.clone(), "is_train": False, **keys})
    return out if keys.get("dones") is None else (*out[:-1], None)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("separate", [False, True])
def test_heads(space, separate):
    ours, reference = build_both((3,), space, separate=separate, value_size=2)
    obs = torch.randn(7, 3)
    assert_equal_outputs(act(ours, obs), act(reference, obs))


@pytest.mark.parametrize("normalization", [None, "batch_norm"])
@pytest.mark.parametrize("kind", ["conv2d", "conv2d_flatten", "conv2d_spatial_softargmax", "coord_conv2d"])
@pytest.mark.parametrize("separate", [False, True])
def test_convolutions_of_images(kind, normalization, separate):
    # RL Games normalises convolutions but not hidden layers, so there are none here.
    keys = {"mlp": {"units": [], "activation": "elu", "initializer": {"name": "default"}}}
    ours, reference = build_both(IMAGE, separate=separate, cnn=cnn(kind), normalization=normalization, **keys)
    obs = torch.rand(6, *IMAGE)
    for training in (True, False):
        ours.train(training), reference.train(training)
        assert_equal_outputs(act(ours, obs), act(reference, obs))


def test_channels_first():
    ours, reference = build_both((3, 9, 9), cnn=cnn(permute_input=False))
    obs = torch.rand(6, 3, 9, 9)
    assert_equal_outputs(act(ours, obs), act(reference, obs))


@pytest.mark.parametrize("normalization", [None, "batch_norm"])
def test_convolutions_of_signals(normalization):
    keys = {"mlp": {"units": [], "activation": "elu", "initializer": {"name": "default"}}}
    ours, reference = build_both((3, 11), cnn=cnn("conv1d"), normalization=normalization, **keys)
    obs = torch.rand(6, 3, 11)
    assert_equal_outputs(act(ours, obs), act(reference, obs))


RECURRENT = [
    dict(zip(("name", "before_mlp", "concat_output", "layer_norm", "concat_input"), values, strict=True))
    for values in itertools.product(["lstm", "gru"], *[[False, True]] * 4)
]


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("rnn", RECURRENT, ids=lambda rnn: "-".join(k for k, v in rnn.items() if v is True))
def test_recurrent(rnn, separate):
    ours, reference = build_both((3,), "continuous", separate=separate, rnn={"units": 7, "layers": 2, **rnn})
    states = tuple(torch.randn_like(state) for state in ours.get_default_rnn_state())
    assert [s.shape for s in states] == [s.shape for s in reference.get_default_rnn_state()]
    obs = torch.randn(S * L, 3)
    dones = torch.zeros(S, L)
    dones[0, 0] = dones[1, 2] = dones[2, 3] = dones[0, 2] = 1.0
    for length, done in ((L, dones), (L, torch.zeros(S, L)), (L, None), (1, None)):
        keys = {"rnn_states": states, "seq_length": length, "dones": None if done is None else done.flatten()}
        rows = obs[: S * length]
        assert_equal_outputs(act(ours, rows, **keys), act(reference, rows, **keys))


def test_recurrent_behind_convolutions():
    rnn = {"name": "lstm", "units": 7, "layers": 1, "concat_output": True}
    ours, reference = build_both(IMAGE, "multi_discrete", cnn=cnn(), rnn=rnn)
    keys = {"rnn_states": ours.get_default_rnn_state(), "seq_length": L, "dones": torch.ones(S * L)}
    obs = torch.rand(S * L, *IMAGE)
    assert_equal_outputs(act(ours, obs, **keys), act(reference, obs, **keys))


@pytest.mark.parametrize("rnn", [None, "lstm"])
def test_central_value(rnn):
    keys = {"rnn": {"name": rnn, "units": 7, "layers": 1}} if rnn else {}
    from rl_games.algos_torch.network_builder import A2CBuilder as Reference

    mlp = {"units": [8], "activation": "elu", "initializer": {"name": "default"}}
    params = {"name": "n", "mlp": mlp, "central_value": True, **keys}
    build = {"actions_num": 2, "input_shape": (3,), "num_seqs": S}
    ours, reference = A2CBuilder(), Reference()
    ours.load(parse_section(ActorCriticConfig, copy.deepcopy(params), "network"))
    reference.load(params)
    with contextlib.redirect_stdout(io.StringIO()):
        ours, reference = ours.build("cval", **build), reference.build("cval", **build)
    ours.load_state_dict(reference.state_dict())
    inputs = {"rnn_states": ours.get_default_rnn_state(), "seq_length": L}
    obs = torch.randn(S * L, 3)
    assert_equal_outputs(act(ours, obs, **inputs), act(reference, obs, **inputs))


@pytest.mark.parametrize("space", ["discrete", "continuous"])
@pytest.mark.parametrize("rnn", [{}, {"before_mlp": False}, {"before_mlp": True}])
def test_resnet(space, rnn):
    if rnn:
        rnn = {"rnn": {"name": "gru", "units": 7, "layers": 1, **rnn}}
    ours, reference = build_both(IMAGE, space, resnet=True, cnn={"conv_depths": [4, 5]}, **rnn)
    obs = torch.rand(S * L, *IMAGE)
    states = (torch.randn(1, S, 7),) if rnn else None
    keys = {"rnn_states": states, "seq_length": L, "dones": (torch.rand(S * L) < 0.3).float()}
    assert_equal_outputs(act(ours, obs, **keys), act(reference, obs, **keys))


def test_resets_with_one_sequence():
    """RL Games ignores the resets in a batch of one sequence; this library handles any number of sequences."""
    ours, reference = build_both((3,), rnn={"name": "lstm", "units": 7, "layers": 1})
    states = tuple(torch.randn(1, S, 7) for _ in range(2))
    obs, dones = torch.randn(S, L, 3), torch.zeros(S, L)
    dones[:, 2] = 1.0
    together = {"rnn_states": states, "seq_length": L, "dones": dones.flatten()}
    first = {"rnn_states": tuple(s[:, :1] for s in states), "seq_length": L, "dones": dones[0]}
    for network, agrees in ((ours, True), (reference, False)):
        whole = act(network, obs.flatten(0, 1), **together)[0][:L]
        alone = act(network, obs[0], **first)[0]
        assert torch.allclose(whole, alone, atol=1e-5) == agrees


def test_soft_argmax_of_a_non_square_image():
    """RL Games swaps the axes; this library finds the bright pixel."""
    from rl_games.algos_torch.spatial_softmax import SpatialSoftArgmax as Reference

    from manybody.nn.cnn import SpatialSoftArgmax

    image = torch.zeros(1, 1, 3, 5)
    image[0, 0, 2, 1] = 1000.0  # last of 3 rows: 1; second of 5 columns: -1 + 2 / 4
    assert SpatialSoftArgmax()(image).tolist() == [[1.0, -0.5]]
    assert Reference(normalize=True)(image).tolist() != [[1.0, -0.5]]


def test_layer_norm_after_convolutions_normalises_each_observation():
    """RL Games normalises over the batch, so that one observation affects the output for another."""
    from rl_games.algos_torch.torch_ext import LayerNorm2d as Reference

    from manybody.nn.cnn import build_cnn

    settings = parse_section(
        ActorCriticConfig,
        {"name": "n", "mlp": {"units": [], "activation": "elu"}, "space": {"discrete": None}, "cnn": cnn()},
        "network",
    ).cnn
    ours = build_cnn(settings, IMAGE, "layer_norm")[0]
    images = torch.rand(6, *IMAGE)
    torch.testing.assert_close(ours(images)[:1], ours(images[:1]))
    maps = torch.rand(6, 4, 5, 5)
    assert not torch.allclose(Reference(4)(maps)[:1], Reference(4)(maps[:1]), atol=1e-3)
