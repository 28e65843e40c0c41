import pytest
import torch
import yaml

from manybody.config.network import EncoderConfig
from manybody.nn.encoder import build_dict_encoder

SHAPES = {"image": (8, 8, 3), "proprio": (5,), "grid": (2, 3)}
CNN = {"type": "conv2d", "activation": "relu", "convs": [{"filters": 4, "kernel_size": 3}]}


def encoders(**blocks):
    return {key: EncoderConfig.model_validate(block) for key, block in blocks.items()}


def observation(rows=2):
    return {key: torch.rand(rows, *shape) for key, shape in SHAPES.items()}


def test_features_are_in_the_order_of_the_encoders():
    mlp = {"units": [7], "activation": "elu"}
    net, features = build_dict_encoder(SHAPES, encoders(proprio={}, image={"cnn": CNN, "mlp": mlp}, grid={"mlp": mlp}))
    assert features == 5 + 7 + 7
    obs = observation()
    out = net(obs)
    assert torch.equal(out[:, :5], obs["proprio"])
    obs["image"] = torch.zeros(2, 8, 8, 3)
    changed = (net(obs) != out).any(dim=0)
    assert changed.nonzero().flatten().tolist() == list(range(5, 12))


def test_vectors_without_encoders_are_flattened_in_the_order_of_the_space():
    shapes = {"b": (2,), "a": (2, 2)}
    net, features = build_dict_encoder(shapes, None)
    assert features == 6
    obs = {"a": torch.arange(4.0).reshape(1, 2, 2), "b": torch.tensor([[8.0, 9.0]])}
    assert net(obs).tolist() == [[8.0, 9.0, 0.0, 1.0, 2.0, 3.0]]


def test_an_image_without_an_encoder_is_refused_with_the_yaml_to_write():
    with pytest.raises(ValueError, match=r"missing for image \(8, 8, 3\), which looks like an image") as caught:
        build_dict_encoder(SHAPES, None)
    text = str(caught.value).split("'")[1]
    assert build_dict_encoder(SHAPES, encoders(**yaml.safe_load(text)["encoders"]))[1] == 32 * 4 * 4 + 5 + 6


def test_an_empty_block_flattens_even_an_image():
    assert build_dict_encoder({"image": (8, 8, 3)}, encoders(image={}))[1] == 192


@pytest.mark.parametrize(
    "blocks", [{"image": {}, "proprio": {}}, {"image": {}, "proprio": {}, "grid": {}, "sound": {}}]
)
def test_missing_and_unknown_keys_are_refused_with_both_lists(blocks):
    with pytest.raises(ValueError, match=r"got image, proprio.*; expected one for each key .*: image, proprio, grid"):
        build_dict_encoder(SHAPES, encoders(**blocks))


def test_an_encoder_that_does_not_fit_names_its_key():
    with pytest.raises(ValueError, match=r"proprio: conv2d takes an image .*; the observation has shape \(5,\)"):
        build_dict_encoder(SHAPES, encoders(image={}, proprio={"cnn": CNN}, grid={}))


def test_keys_may_be_names_that_modules_reserve():
    keys = ["observation.image", "type", "forward", "training"]
    net, features = build_dict_encoder(dict.fromkeys(keys, (1,)), None)
    assert features == 4
    assert net({key: torch.ones(2, 1) for key in keys}).shape == (2, 4)


def test_each_block_initialises_its_own_weights():
    constant = {"name": "const_initializer", "val": 0.5}
    block = {
        "cnn": CNN | {"initializer": constant},
        "mlp": {"units": [2], "activation": "elu", "initializer": constant},
    }
    net, _ = build_dict_encoder({"image": (8, 8, 3)}, encoders(image=block))
    values = {name.split(".", 1)[1]: parameter.unique().tolist() for name, parameter in net.named_parameters()}
    assert values == {"cnn.0.weight": [0.5], "cnn.0.bias": [0.0], "mlp.0.weight": [0.5], "mlp.0.bias": [0.0]}
