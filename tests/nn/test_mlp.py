import pytest
import torch
from torch import nn

from manybody.nn.mlp import D2RLNet, build_mlp


def kinds(module):
    return [type(layer).__name__ for layer in module]


def test_layers_in_order():
    assert kinds(build_mlp(3, [4, 5], "elu")) == ["Linear", "ELU", "Linear", "ELU"]
    assert kinds(build_mlp(3, [4, 5], "elu", "layer_norm")) == ["Linear", "ELU", "LayerNorm"] * 2
    assert kinds(build_mlp(3, [4], "relu", "batch_norm")) == ["Linear", "ReLU", "BatchNorm1d"]


def test_no_units_is_the_identity():
    x = torch.randn(2, 3)
    assert torch.equal(build_mlp(3, [], "elu")(x), x)
    assert torch.equal(build_mlp(3, [], "elu", d2rl=True)(x), x)


def test_by_hand():
    # One unit, weights 1, bias 0, relu: relu(1 + 2) = 3, relu(-1 - 2) = 0.
    mlp = build_mlp(2, [1], "relu")
    nn.init.ones_(mlp[0].weight)
    nn.init.zeros_(mlp[0].bias)
    assert mlp(torch.tensor([[1.0, 2.0], [-1.0, -2.0]])).flatten().tolist() == [3.0, 0.0]


def test_normalization_acts():
    # Layer norm: each output row has mean 0.
    out = build_mlp(3, [8], "elu", "layer_norm")(10.0 + torch.randn(5, 3))
    torch.testing.assert_close(out.mean(dim=1), torch.zeros(5), atol=1e-5, rtol=0)


@pytest.mark.parametrize("d2rl", [False, True])
def test_only_the_first_layer_normalised_with_any_widths(d2rl):
    mlp = build_mlp(3, [4, 6, 5], "elu", "layer_norm", norm_only_first_layer=True, d2rl=d2rl)
    assert [m.normalized_shape for m in mlp.modules() if isinstance(m, nn.LayerNorm)] == [(4,)]
    assert mlp(torch.randn(2, 3)).shape == (2, 5)


def test_d2rl_feeds_the_input_to_every_layer():
    net = build_mlp(3, [4, 5, 6], "elu", d2rl=True)
    assert isinstance(net, D2RLNet)
    assert [linear.in_features for linear in net.linears] == [3, 4 + 3, 5 + 3]
    # With zero weights on the hidden units, the last layer depends on the input alone.
    x = torch.randn(2, 3)
    with torch.no_grad():
        net.linears[2].weight[:, :5] = 0.0
    expected = nn.functional.elu(nn.functional.linear(x, net.linears[2].weight[:, 5:], net.linears[2].bias))
    torch.testing.assert_close(net(x), expected)


def test_a_custom_dense_layer():
    made = []

    def dense(inputs, outputs):
        made.append((inputs, outputs))
        return nn.Linear(inputs, outputs, bias=False)

    build_mlp(3, [4, 5], "elu", dense=dense)
    assert made == [(3, 4), (4, 5)]


def test_an_unknown_normalization_lists_the_known_names():
    with pytest.raises(ValueError, match=r"no normalization 'layernorm' \(known: layer_norm, batch_norm\)"):
        build_mlp(3, [4], "elu", "layernorm")
