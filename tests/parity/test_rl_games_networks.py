"""Networks and models from one configuration have the parameter names and outputs of RL Games 1.6.5."""

import copy

import pytest
import torch
from toy import toy_params

from manybody.config import parse_params
from manybody.model_builder import ModelBuilder

BUILD = {
    "actions_num": 2,
    "input_shape": (3,),
    "num_seqs": 8,
    "value_size": 1,
    "normalize_value": True,
    "normalize_input": True,
}

VARIANTS = {
    "shared": {},
    "separate": {"separate": True},
    "predicted sigma": {"fixed_sigma": False},
    "separate, predicted sigma": {"separate": True, "fixed_sigma": False},
    "d2rl": {"d2rl": True},
    "separate d2rl": {"d2rl": True, "separate": True},
    "d2rl with layer norm": {"d2rl": True, "normalization": "layer_norm"},
    "d2rl with batch norm": {"d2rl": True, "normalization": "batch_norm"},
    "no hidden layer": {"units": []},
    "activations": {
        "activation": "swish",
        "mu_activation": "tanh",
        "sigma_activation": "softplus",
        "value_activation": "elu",
    },
    "two value heads": {"value_size": 2},
}


def mapping(separate=False, normalization=None, value_activation="None", **keys):
    """Return the toy's ``params`` with these network keys in their sections."""
    params = toy_params()
    network = params["network"]
    network |= {"separate": separate, "normalization": normalization, "value_activation": value_activation}
    for key, value in keys.items():
        home = network["mlp"] if key in ("units", "activation", "d2rl") else network["space"]["continuous"]
        home[key] = value
    return params


def build_reference(params, build):
    from rl_games.algos_torch.model_builder import ModelBuilder as Reference

    return Reference().load(copy.deepcopy(params)).build(dict(build))


@pytest.fixture
def build_both():
    """Build both models with equal weights and statistics."""

    def build(value_size=1, **keys):
        params, config = mapping(**keys), {**BUILD, "value_size": value_size}
        torch.manual_seed(0)
        ours = ModelBuilder().load(parse_params(params)).build(config)
        reference = build_reference(params, config)
        for parameter in ours.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        ours.running_mean_std.update(1.0 + 2.0 * torch.randn(50, 3))
        ours.value_mean_std.update(3.0 + 4.0 * torch.randn(50, value_size))
        reference.load_state_dict(ours.state_dict())
        return ours, reference

    return build


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameter_names_and_shapes_are_equal(variant, build_both):
    ours, reference = build_both(**VARIANTS[variant])
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in reference.state_dict().items()
    }
    # The optimiser's state depends on the order of the parameters.
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in reference.named_parameters()]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("training", [True, False])
def test_training_outputs_are_equal(variant, training, build_both):
    ours, reference = build_both(**VARIANTS[variant])
    obs, actions = 2.0 * torch.randn(16, 3), torch.randn(16, 2)
    for model in (ours, reference):
        model.train(training)
        model.value_mean_std.eval()
    result = ours({"is_train": True, "obs": obs.clone(), "prev_actions": actions})
    expected = reference({"is_train": True, "obs": obs.clone(), "prev_actions": actions})
    for name in ("prev_neglogp", "values", "entropy", "mus", "sigmas"):
        # With a small sigma, a log-probability sums terms around 1,000: ten roundings of float32 are 1.2e-6.
        rtol = 2e-6 if name == "prev_neglogp" else 1e-6
        torch.testing.assert_close(result[name], expected[name], atol=1e-6, rtol=rtol)
    assert set(result) == set(expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_acting_outputs_are_equal_for_one_seed(variant, build_both):
    ours, reference = build_both(**VARIANTS[variant])
    ours.eval(), reference.eval()
    obs = 2.0 * torch.randn(16, 3)
    torch.manual_seed(1)
    result = ours({"is_train": False, "obs": obs.clone()})
    torch.manual_seed(1)
    expected = reference({"is_train": False, "obs": obs.clone()})
    for name in ("actions", "neglogpacs", "values", "mus", "sigmas"):
        torch.testing.assert_close(result[name], expected[name], atol=1e-5, rtol=1e-6)
    assert set(result) == set(expected)
