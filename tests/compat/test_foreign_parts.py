"""Networks and models of clients in agents of this library: the same epoch as with its own, number for number."""

import itertools

import pytest
import torch
from torch import nn
from toy_family import FamilyEnv, family_params

from manybody import model_builder
from manybody.algos.a2c import A2CAgent, DiscreteA2CAgent
from manybody.compat.rl_games.algos_torch import model_builder as legacy
from manybody.compat.rl_games.algos_torch import models, network_builder
from manybody.config import parse_params

ACTIONS = {
    "box": (A2CAgent, models.ModelA2CContinuousLogStd),
    "discrete": (DiscreteA2CAgent, models.ModelA2C),
    "multi_discrete": (DiscreteA2CAgent, models.ModelA2CMultiDiscrete),
}
PARTS = [("network",), ("model",), ("network", "model")]


class ClientBuilder(network_builder.A2CBuilder):
    """Adds nothing."""

    class Network(network_builder.A2CBuilder.Network):
        def forward(self, obs_dict):
            assert type(obs_dict) is dict
            return super().forward(obs_dict)

    def build(self, name, **kwargs):
        return ClientBuilder.Network(self.params, **kwargs)


@pytest.fixture
def _registries(monkeypatch):
    monkeypatch.setattr(model_builder, "NETWORK_REGISTRY", {})
    monkeypatch.setattr(model_builder, "MODEL_REGISTRY", {})
    legacy.register_network("client", lambda **kwargs: ClientBuilder())


def after_one_epoch(action, parts, weights=None, **keys):
    """First weights and last weights of an agent of ours, ``parts`` of which are a client's."""
    agent_class, model = ACTIONS[action]

    class ClientModel(model):
        class Network(model.Network):
            def forward(self, input_dict):
                result = super().forward(input_dict)
                assert "obs" in input_dict
                return result

    legacy.register_model("client_model", lambda network, **kwargs: ClientModel(network))
    params = family_params(action, normalize_input=True, normalize_value=True, **keys)
    if "network" in parts:
        params["network"]["name"] = "client"
    if "central network" in parts:
        params["config"]["central_value_config"]["network"]["name"] = "client"
    if "model" in parts:
        params["model"]["name"] = "client_model"
    known = model_builder.ModelBuilder()
    settings = parse_params(params, networks=known.network_factory.schemas, models=known.model_factory.schemas)
    agent = agent_class("run", settings, vec_env=FamilyEnv(action))
    learners = nn.ModuleList([agent.model, *([agent.central_value] if agent.central_value is not None else [])])
    if weights is not None:
        learners.load_state_dict(weights)
    first = {name: value.clone() for name, value in learners.state_dict().items()}
    agent.init_tensors()
    agent.obs = agent.env_reset()
    torch.manual_seed(5)
    agent.train_epoch()
    return first, learners.state_dict()


def assert_the_same_epoch(action, parts, **keys):
    first, expected = after_one_epoch(action, set(), **keys)
    assert not torch.equal(first["0.a2c_network.value.weight"], expected["0.a2c_network.value.weight"])
    _, weights = after_one_epoch(action, parts, first, **keys)
    assert set(weights) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, atol=2e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize(("action", "rnn", "parts"), list(itertools.product(ACTIONS, [None, "lstm"], PARTS)), ids=str)
def test_an_epoch(action, rnn, parts, _registries):
    masks = {} if action == "box" else {"use_action_masks": True}
    assert_the_same_epoch(action, parts, rnn=rnn, zero_rnn_on_done=True, **masks)


@pytest.mark.parametrize("central", ["mlp", "gru"])
def test_an_epoch_with_a_central_value(central, _registries):
    assert_the_same_epoch("box", {"central network"}, central=central)
