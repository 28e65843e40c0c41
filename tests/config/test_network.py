"""What may stand under ``network``, and the sentence for what may not."""

import pytest

from manybody.config import ActorCriticConfig, ConfigError, ResnetActorCriticConfig, dump, parse_section
from manybody.config.network import DiscreteSpaceConfig

MLP = {"units": [8], "activation": "elu"}
CONV = {"filters": 4, "kernel_size": 3}
CNN = {"type": "conv2d", "activation": "relu", "convs": [CONV]}


def parse(schema=ActorCriticConfig, **keys):
    return parse_section(schema, {"name": "n", "mlp": MLP, "space": {"discrete": None}, **keys}, "network")


def problems(schema=ActorCriticConfig, **keys):
    with pytest.raises(ConfigError) as caught:
        parse(schema, **keys)
    return {problem.path.removeprefix("params.network."): problem.message for problem in caught.value.problems}


@pytest.mark.parametrize("block", [None, {}])
@pytest.mark.parametrize("kind", ["discrete", "multi_discrete"])
def test_the_presence_of_a_discrete_space_counts(kind, block):
    space = parse(space={kind: block}).space
    assert space.kind == kind
    assert space[kind] == DiscreteSpaceConfig()


@pytest.mark.parametrize("space", [{}, {"discrete": None, "multi_discrete": None}, {"continuous": None}])
def test_exactly_one_kind_of_action(space):
    assert problems(space=space) == {
        "space": f"got {space}; expected exactly one of continuous, discrete, multi_discrete: the kind of action"
    }


def test_a_central_value_has_no_actor():
    assert parse(space=None, central_value=True).space is None
    assert "expected nothing with central_value: True" in problems(central_value=True)["space"]
    assert "which has no actor" in problems(space=None, central_value=True, separate=True)["separate"]
    assert problems(space=None)["space"] == (
        "missing; expected the kind of action: a block with continuous, discrete or multi_discrete "
        "(or, in a central_value_config, central_value: True)"
    )


def test_problems_inside_lists_and_encoders_have_their_place():
    found = problems(
        encoders={
            "image": {"cnn": CNN | {"type": "conv3d", "convs": [{"filters": 4, "kernel": 3, "strides": 0}]}},
            "proprio": {"mpl": MLP},
        }
    )
    assert found == {
        "encoders.image.cnn.type": "got 'conv3d'; expected 'conv2d', 'conv2d_flatten', "
        "'conv2d_spatial_softargmax', 'coord_conv2d' or 'conv1d'; did you mean 'conv2d'?",
        "encoders.image.cnn.convs[0].kernel": "unknown key; did you mean 'kernel_size'?",
        "encoders.image.cnn.convs[0].strides": "got 0; expected a number of at least 1",
        "encoders.proprio.mpl": "unknown key; did you mean 'mlp'?",
    }
    assert problems(cnn=CNN | {"convs": []})["cnn.convs"] == "got []; expected a list of at least one"


def test_an_encoder_may_be_empty_and_the_order_is_kept():
    network = parse(encoders={"z": None, "image": {"cnn": CNN}, "a": {}})
    assert list(network.encoders) == ["z", "image", "a"]
    assert network.encoders["z"] == network.encoders["a"]
    assert network.encoders["image"].cnn.convs[0].strides == 1


def test_cnn_and_encoders_exclude_each_other():
    assert "write it into the block of its key" in problems(cnn=CNN, encoders={"image": None})["cnn"]


def test_resnet():
    network = parse(ResnetActorCriticConfig, cnn={"conv_depths": [16, 32]}, separate=False)
    assert network.cnn.conv_depths == (16, 32)
    assert network.cnn.permute_input
    assert "always share" in problems(ResnetActorCriticConfig, cnn={"conv_depths": [16]}, separate=True)["separate"]
    assert problems(ResnetActorCriticConfig, cnn={"conv_depths": []}) == {
        "cnn.conv_depths": "got []; expected a list of at least one"
    }


@pytest.mark.parametrize(
    "keys",
    [
        {"space": {"multi_discrete": None}, "cnn": CNN},
        {"rnn": {"name": "lstm", "units": "64", "layers": 1, "before_mlp": True}},
        {
            "space": None,
            "central_value": True,
            "encoders": {"image": {"cnn": CNN, "mlp": MLP}, "proprio": None},
        },
    ],
)
def test_dump_goes_round(keys):
    network = parse(**keys)
    assert parse_section(ActorCriticConfig, dump(network), "network") == network
