"""RL Games' parameter names and sizes; observations of several parts."""

import pytest
import torch

from manybody.algos.sac.networks import SACNetwork, flat, flat_size
from manybody.config import SACNetworkConfig


def network(input_shape=(3,), **settings):
    mlp = {"units": [16, 8], "activation": "relu"}
    return SACNetwork(SACNetworkConfig(**{"name": "n", "mlp": mlp, **settings}), actions_num=2, input_shape=input_shape)


def test_names_and_sizes():
    state = {name: tuple(x.shape) for name, x in network().state_dict().items() if name.endswith("weight")}
    critic = {"0": (16, 5), "2": (8, 16), "4": (1, 8)}  # observation and action in
    expected = {f"actor.trunk.{i}.weight": shape for i, shape in {"0": (16, 3), "2": (8, 16), "4": (4, 8)}.items()}
    for part in ("critic", "critic_target"):
        for q in ("Q1", "Q2"):
            expected |= {f"{part}.{q}.{i}.weight": shape for i, shape in critic.items()}
    assert state == expected


def test_outputs():
    net = network(log_std_bounds=(-3.0, 1.0))
    policy = net({"obs": 100.0 * torch.randn(7, 3)})
    assert policy.mu.shape == policy.log_sigma.shape == (7, 2)
    assert policy.log_sigma.min() >= -3.0 and policy.log_sigma.max() <= 1.0
    q1, q2 = net.critic(torch.randn(7, 3), torch.randn(7, 2))
    assert q1.shape == q2.shape == (7,)
    assert net.is_separate_critic() and not net.is_rnn()


def test_an_observation_of_several_parts_is_laid_side_by_side():
    shape = {"image": (4, 2), "speed": (3,)}
    obs = {"image": torch.arange(8.0).reshape(1, 4, 2), "speed": torch.tensor([[8.0, 9.0, 10.0]])}
    assert flat_size(shape) == 11 and flat(obs).tolist() == [list(map(float, range(11)))]
    assert network(shape)({"obs": obs}).mu.shape == (1, 2)
    with pytest.raises(KeyError):
        SACNetwork(SACNetworkConfig(name="n", mlp={"units": [4], "activation": "relu"}), actions_num=2)


def test_initialiser_and_biases():
    net = network(mlp={"units": [4], "activation": "relu", "initializer": {"name": "const_initializer", "val": 0.5}})
    for name, x in net.named_parameters():
        assert (x == (0.5 if name.endswith("weight") else 0.0)).all()
