import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from manybody.config.network import CnnConfig, ConvConfig, ImpalaConfig
from manybody.nn import cnn as convolutions
from manybody.nn.cnn import CoordConv2d, ResidualBlock, SpatialSoftArgmax, build_impala


def conv(filters=4, kernel_size=3, strides=1, padding=0):
    return ConvConfig(filters=filters, kernel_size=kernel_size, strides=strides, padding=padding)


def build_cnn(kind, shape, convs, activation, normalization=None, permute_input=True):
    settings = CnnConfig(type=kind, convs=convs, activation=activation, permute_input=permute_input)
    return convolutions.build_cnn(settings, shape, normalization)


ATARI = [conv(32, 8, 4), conv(64, 4, 2), conv(64, 3, 1)]


def kinds(module):
    return [type(layer).__name__ for layer in module]


def test_the_atari_network():
    # 84 -> (84 - 8) / 4 + 1 = 20 -> (20 - 4) / 2 + 1 = 9 -> 9 - 3 + 1 = 7; 64 channels of 7 x 7: 3136.
    cnn, features = build_cnn("conv2d", (84, 84, 4), ATARI, "relu")
    assert features == 3136
    assert kinds(cnn) == ["Conv2d", "ReLU"] * 3
    assert cnn(torch.rand(2, 84, 84, 4)).shape == (2, 3136)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["conv2d", "conv2d_flatten", "conv2d_spatial_softargmax", "coord_conv2d", "conv1d"]),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    convs=st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2)),
        min_size=1,
        max_size=3,
    ),
    normalization=st.sampled_from([None, "layer_norm"]),
    permute_input=st.booleans(),
)
def test_any_network_has_the_right_width_or_names_the_layer_that_does_not_fit(
    kind, size, convs, normalization, permute_input
):
    image = (*size, 2) if permute_input else (2, *size)
    shape = (2, size[0]) if kind == "conv1d" else image
    settings = [conv(*numbers) for numbers in convs]
    try:
        cnn, features = build_cnn(kind, shape, settings, "elu", normalization, permute_input)
    except ValueError as error:
        assert "does not fit into its input of" in str(error)
        plain = nn.Conv1d if kind == "conv1d" else nn.Conv2d
        layers = [plain(2 if i == 0 else convs[i - 1][0], *numbers) for i, numbers in enumerate(convs)]
        with pytest.raises(RuntimeError, match="Kernel size"):
            nn.Sequential(*layers)(torch.rand(2, 2, *(size[:1] if kind == "conv1d" else size)))
    else:
        assert cnn(torch.rand(2, *shape)).shape == (2, features)


def test_a_small_image_is_refused_with_layer_size_and_kernel():
    with pytest.raises(
        ValueError,
        match=r"convs\[2\]: kernel_size 3 does not fit into its input of 2 x 3 with padding 0; "
        r"an observation of shape \(40, 48, 3\) is too small",
    ):
        # 40 -> 9 -> 2 and 48 -> 11 -> 3 with these kernels and strides
        build_cnn("conv2d", (40, 48, 3), [conv(8, 8, 4), conv(8, 4, 3), conv(8, 3)], "relu")


@pytest.mark.parametrize(("kind", "shape"), [("conv2d", (8, 8)), ("conv1d", (8, 8, 3)), ("conv2d", (64,))])
def test_a_wrong_number_of_axes_is_refused(kind, shape):
    with pytest.raises(ValueError, match=f"{kind} takes .*; the observation has shape"):
        build_cnn(kind, shape, [conv()], "relu")


def test_channels_last_images_are_permuted():
    cnn, _ = build_cnn("conv2d", (5, 6, 3), [conv()], "relu")
    image = torch.rand(2, 5, 6, 3)
    torch.testing.assert_close(cnn(image), cnn[0](image.permute(0, 3, 1, 2)).relu().flatten(1))
    plain, _ = build_cnn("conv2d", (3, 5, 6), [conv()], "relu", permute_input=False)
    plain.load_state_dict(cnn.state_dict())
    torch.testing.assert_close(cnn(image), plain(image.permute(0, 3, 1, 2)))


def test_normalisation_comes_after_the_activation():
    assert kinds(build_cnn("conv2d", (8, 8, 3), [conv()], "relu", "batch_norm")[0]) == [
        "Conv2d",
        "ReLU",
        "BatchNorm2d",
    ]
    assert kinds(build_cnn("conv1d", (3, 8), [conv()], "relu", "batch_norm")[0]) == [
        "Conv1d",
        "ReLU",
        "BatchNorm1d",
    ]
    out = build_cnn("conv2d", (8, 8, 3), [conv(filters=16)], "elu", "layer_norm")[0](3.0 * torch.rand(5, 8, 8, 3))
    torch.testing.assert_close(out.mean(dim=1), torch.zeros(5), atol=1e-5, rtol=0)


def test_a_coordinate_convolution_receives_pixel_coordinates():
    # A 1 x 1 kernel that reads only x: pixel centres of 4 columns between -1 and 1, independent of the image.
    layer = CoordConv2d(1, 1, 1, 1, 0)
    nn.init.zeros_(layer.bias)
    layer.weight.data = torch.tensor([0.0, 1.0, 0.0]).reshape(1, 3, 1, 1)
    assert layer(torch.rand(1, 1, 2, 4))[0, 0].tolist() == [[-0.75, -0.25, 0.25, 0.75]] * 2
    layer.weight.data = torch.tensor([0.0, 0.0, 1.0]).reshape(1, 3, 1, 1)
    assert layer(torch.rand(1, 1, 2, 4))[0, 0].tolist() == [[-0.5] * 4, [0.5] * 4]


def test_only_the_first_convolution_receives_coordinates():
    cnn, _ = build_cnn("coord_conv2d", (8, 8, 3), [conv(), conv()], "relu")
    assert kinds(cnn) == ["CoordConv2d", "ReLU", "Conv2d", "ReLU"]
    assert cnn[0].in_channels == 3 + 2


def test_soft_argmax_finds_bright_pixels():
    image = torch.zeros(1, 2, 3, 5)
    image[0, 0, 2, 1] = image[0, 1, 0, 4] = 1000.0
    # Channel 0: last row, 1; second of five columns, -0.5. Channel 1: first row, -1; last column, 1.
    assert SpatialSoftArgmax()(image).tolist() == [[1.0, -0.5, -1.0, 1.0]]
    # Uniform brightness gives the centre.
    torch.testing.assert_close(SpatialSoftArgmax()(torch.ones(1, 1, 4, 4)), torch.zeros(1, 2))


def test_unknown_names_list_the_known_names():
    with pytest.raises(ValueError, match=r"no normalization 'layernorm' \(known: layer_norm, batch_norm\)"):
        build_cnn("conv2d", (8, 8, 3), [conv()], "relu", "layernorm")


def impala(shape, *depths, permute_input=True):
    return build_impala(ImpalaConfig(conv_depths=depths, permute_input=permute_input), shape, "relu")


@pytest.mark.parametrize("size", [(64, 64), (9, 7), (1, 1)])
def test_each_block_halves_the_image(size):
    # 9 x 7 -> 5 x 4 -> 3 x 2, rounded up, with 8 channels: 48; 64 x 64 -> 16 x 16.
    net, features = impala((*size, 3), 4, 8)
    assert features == {64: 8 * 16 * 16, 9: 8 * 3 * 2, 1: 8}[size[0]]
    assert net(torch.rand(2, *size, 3)).shape == (2, features)


def test_a_residual_block_with_zero_weights_is_the_identity():
    block = ResidualBlock(3)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(block(x), x)


def test_channels_first_and_the_final_activation():
    net, _ = impala((3, 8, 8), 4, permute_input=False)
    assert (net(torch.rand(2, 3, 8, 8)) >= 0).all()


def test_weights_are_initialised_by_fan_out():
    # kaiming_normal, fan_out, relu: standard deviation sqrt(2 / (3 * 3 * 64)) = 0.0589 for 64 channels.
    weight = impala((8, 8, 3), 64)[0][0].conv.conv.weight
    assert weight.std().item() == pytest.approx(0.0589, rel=0.05)


def test_a_vector_is_refused():
    with pytest.raises(ValueError, match=r"takes an image .*; the observation has shape \(7,\)"):
        impala((7,), 4)
