import pytest
import torch
from torch import nn

from manybody.nn.resnet import ResidualBlock, build_impala


@pytest.mark.parametrize("size", [(64, 64), (9, 7), (1, 1)])
def test_each_block_halves_the_image(size):
    # 9 x 7 -> 5 x 4 -> 3 x 2, rounded up, with 8 channels: 48; 64 x 64 -> 16 x 16.
    net, features = build_impala((*size, 3), [4, 8], "relu")
    assert features == {64: 8 * 16 * 16, 9: 8 * 3 * 2, 1: 8}[size[0]]
    assert net(torch.rand(2, *size, 3)).shape == (2, features)


def test_a_residual_block_with_zero_weights_is_the_identity():
    block = ResidualBlock(3)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(block(x), x)


def test_channels_first_and_the_final_activation():
    net, _ = build_impala((3, 8, 8), [4], "relu", permute_input=False)
    assert (net(torch.rand(2, 3, 8, 8)) >= 0).all()


def test_weights_are_initialised_by_fan_out():
    # kaiming_normal, fan_out, relu: standard deviation sqrt(2 / (3 * 3 * 64)) = 0.0589 for 64 channels.
    weight = build_impala((8, 8, 3), [64], "relu")[0][0].conv.conv.weight
    assert weight.std().item() == pytest.approx(0.0589, rel=0.05)


def test_a_vector_is_refused():
    with pytest.raises(ValueError, match=r"expected an image .*; the observation has shape \(7,\)"):
        build_impala((7,), [4], "relu")
