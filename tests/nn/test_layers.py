import math

import pytest
import torch

from manybody.config.network import InitializerConfig
from manybody.nn.layers import ACTIVATIONS, INITIALIZERS, activation, initializer


def drawn(shape=(400, 200), **settings):
    torch.manual_seed(0)
    weight = torch.full(shape, 0.123)
    initializer(InitializerConfig(**settings))(weight)
    return weight


def test_default_leaves_the_weights_unchanged():
    assert (drawn(name="default") == 0.123).all()


def test_constant():
    assert (drawn(name="const_initializer", val=-1.5) == -1.5).all()


@pytest.mark.parametrize("name", ["orthogonal", "orthogonal_initializer"])
def test_orthogonal_columns_have_the_length_gain(name):
    weight = drawn(name=name, gain=2.0)
    torch.testing.assert_close(weight.T @ weight, 4.0 * torch.eye(200), atol=1e-4, rtol=0)


# Standard deviations for a (fan_out 400, fan_in 200) matrix; 80,000 draws have about 0.3 % of noise.
@pytest.mark.parametrize(
    ("settings", "std"),
    [
        ({"name": "glorot_normal_initializer"}, math.sqrt(2 / 600)),
        ({"name": "glorot_uniform_initializer", "gain": 3.0}, 3 * math.sqrt(2 / 600)),
        ({"name": "kaiming_normal", "nonlinearity": "relu"}, math.sqrt(2 / 200)),
        ({"name": "kaiming_normal", "mode": "fan_out", "nonlinearity": "relu"}, math.sqrt(2 / 400)),
        ({"name": "random_uniform_initializer", "a": -0.3, "b": 0.3}, 0.6 / math.sqrt(12)),
    ],
)
def test_standard_deviation(settings, std):
    weight = drawn(**settings)
    assert weight.std().item() == pytest.approx(std, rel=0.02)
    assert abs(weight.mean().item()) < 0.02 * std


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 200), ("fan_out", 400), ("fan_avg", 300)])
def test_variance_scaling_truncates_at_two_standard_deviations(mode, fan):
    # The variance is 3 / n after truncation, which removes 1 - 0.7737 of it.
    std = math.sqrt(3.0 / fan)
    weight = drawn(name="variance_scaling_initializer", mode=mode, scale=3.0)
    assert weight.std().item() == pytest.approx(std, rel=0.02)
    assert weight.abs().max().item() <= 2 * std / math.sqrt(0.7737) + 1e-4


def test_the_configuration_lists_the_same_names():
    from manybody.config.network import INITIALIZERS as CONFIGURED

    assert set(CONFIGURED) == set(INITIALIZERS)


AT_MINUS_ONE = {
    "relu": 0.0,
    "tanh": math.tanh(-1),
    "sigmoid": 1 / (1 + math.e),
    "elu": math.exp(-1) - 1,
    "selu": 1.0507010 * 1.6732632 * (math.exp(-1) - 1),
    "swish": -1 / (1 + math.e),  # x sigmoid(x)
    "gelu": -0.1586553,  # x Phi(x), Phi of the standard normal distribution
    "softplus": math.log(1 + math.exp(-1)),
    "None": -1.0,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_by_their_value_at_minus_one(name):
    assert activation(name)(torch.tensor(-1.0)).item() == pytest.approx(AT_MINUS_ONE[name], abs=1e-6)


def test_none_is_the_identity():
    x = torch.randn(3)
    assert activation(None)(x) is x


def test_each_call_creates_a_new_module():
    assert activation("elu") is not activation("elu")


def test_an_unknown_name_lists_the_known_names():
    with pytest.raises(ValueError, match=r"no activation 'rely' \(known: relu, tanh"):
        activation("rely")
