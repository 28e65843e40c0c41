import pytest
import torch
from torch import nn

from manybody.nn.activations import ACTIVATIONS, activation

KINDS = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "swish": nn.SiLU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "None": nn.Identity,
}


def test_each_rl_games_name_creates_its_activation():
    assert {name: type(activation(name)) for name in ACTIVATIONS} == KINDS


def test_none_is_the_identity():
    x = torch.randn(3)
    assert activation(None)(x) is x


def test_each_call_creates_a_new_module():
    assert activation("elu") is not activation("elu")


def test_an_unknown_name_lists_the_known_names():
    with pytest.raises(ValueError, match=r"no activation 'rely' \(known: relu, tanh"):
        activation("rely")
