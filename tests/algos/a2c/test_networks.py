"""``actor_critic`` and ``resnet_actor_critic`` beyond what they share with RL Games."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manybody.algos.a2c.networks import A2CBuilder, A2CResnetBuilder
from manybody.algos.network import ContinuousOutput, DiscreteOutput, ValueOutput
from manybody.config import ActorCriticConfig, ConfigError, ResnetActorCriticConfig, parse_section

MLP = {"units": [8], "activation": "elu"}
CNN = {"type": "conv2d", "activation": "relu", "convs": [{"filters": 4, "kernel_size": 3}]}
IMAGE = (6, 6, 3)
DICT = {"image": IMAGE, "proprio": (5,)}
CONTINUOUS = {
    "mu_activation": "None",
    "sigma_activation": "None",
    "mu_init": {"name": "default"},
    "sigma_init": {"name": "default"},
    "fixed_sigma": False,
}
SPACES = {"discrete": ({}, 3), "multi_discrete": ({}, (2, 4)), "continuous": (CONTINUOUS, 2)}


def build(input_shape=(3,), actions_num=None, space="discrete", resnet=False, num_seqs=4, value_size=1, **keys):
    builder = A2CResnetBuilder() if resnet else A2CBuilder()
    schema = ResnetActorCriticConfig if resnet else ActorCriticConfig
    if space is not None:
        block, default = SPACES[space]
        keys["space"], actions_num = {space: block}, default if actions_num is None else actions_num
    builder.load(parse_section(schema, {"name": "n", "mlp": MLP, **keys}, "network"))
    torch.manual_seed(0)
    return builder.build(
        "a2c", input_shape=input_shape, actions_num=actions_num, num_seqs=num_seqs, value_size=value_size
    )


def observe(input_shape, rows):
    if isinstance(input_shape, dict):
        return {key: torch.rand(rows, *shape) for key, shape in input_shape.items()}
    return torch.rand(rows, *input_shape)


RNN = st.none() | st.fixed_dictionaries(
    {
        "name": st.sampled_from(["lstm", "gru"]),
        "units": st.just(7),
        "layers": st.integers(1, 2),
        **{key: st.booleans() for key in ("before_mlp", "concat_input", "concat_output", "layer_norm")},
    }
)
OBSERVATIONS = {
    "vector": ((3,), {}),
    "image": (IMAGE, {"cnn": CNN}),
    "dictionary": (DICT, {"encoders": {"proprio": None, "image": {"cnn": CNN, "mlp": MLP}}}),
}


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(
    space=st.sampled_from([*SPACES, None]),
    observation=st.sampled_from(list(OBSERVATIONS)),
    rnn=RNN,
    separate=st.booleans(),
    resnet=st.booleans(),
    units=st.sampled_from([[], [8, 6]]),
    normalization=st.sampled_from([None, "layer_norm", "batch_norm"]),
    d2rl=st.booleans(),
    value_size=st.integers(1, 2),
    S=st.integers(1, 3),
    L=st.integers(1, 3),
    data=st.data(),
)
def test_every_combination_acts_and_learns(
    space, observation, rnn, separate, resnet, units, normalization, d2rl, value_size, S, L, data
):
    """Shapes of every output; a gradient for every parameter; a batch in one go equals its rows step by step."""
    shape, keys = OBSERVATIONS[observation]
    if resnet:
        shape, keys = IMAGE, {"cnn": {"conv_depths": [4]}}
    keys = {
        **keys,
        "separate": separate and space is not None and not resnet,
        "central_value": space is None,
        "rnn": rnn,
        "normalization": normalization,
        "mlp": MLP | {"units": units, "d2rl": d2rl},
    }
    network = build(shape, space=space, resnet=resnet, value_size=value_size, num_seqs=S, **keys)
    dones = torch.tensor(data.draw(st.lists(st.booleans(), min_size=S * L, max_size=S * L))).reshape(S, L)
    obs, states = observe(shape, S * L), network.get_default_rnn_state()
    batch = {"obs": obs, "rnn_states": states, "seq_length": L, "dones": dones.flatten().byte()}
    network.eval()
    out = network(batch)
    heads = {
        "discrete": lambda: [out.logits],
        "multi_discrete": lambda: [*out.logits],
        "continuous": lambda: [out.mu, out.sigma],
        None: list,
    }[space]()
    widths = {"discrete": [3], "multi_discrete": [2, 4], "continuous": [2, 2], None: []}[space]
    assert [head.shape for head in heads] == [(S * L, width) for width in widths]
    assert out.value.shape == (S * L, value_size)
    kind = {"continuous": ContinuousOutput, None: ValueOutput}.get(space, DiscreteOutput)
    assert type(out) is kind
    sum(head.square().sum() for head in [*heads, out.value]).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())

    if rnn is None:
        assert out.states is states is None
        return
    rows = torch.arange(S) * L
    for t in range(L):
        states = tuple(state * ~dones[:, t].reshape(1, S, 1) for state in states)
        now = {key: value[rows + t] for key, value in obs.items()} if isinstance(obs, dict) else obs[rows + t]
        step = network({"obs": now, "rnn_states": states})
        torch.testing.assert_close(step.value, out.value[rows + t])
        states = step.states
    assert out.states is None or rnn == "identity"


@pytest.mark.parametrize(("name", "parts"), [("lstm", 4), ("gru", 2), ("identity", 2)])
def test_separate_states_are_the_actors_then_the_critics(name, parts):
    network = build(separate=True, rnn={"name": name, "units": 8, "layers": 2})
    states = network.get_default_rnn_state()
    width = 1 if name == "identity" else 8
    assert [state.shape for state in states] == [(2, 4, width)] * parts
    if name == "identity":
        return
    obs, half = torch.rand(4, 3), parts // 2
    plain = network({"obs": obs, "rnn_states": states})
    actor = network({"obs": obs, "rnn_states": tuple(s + 1.0 for s in states[:half]) + states[half:]})
    critic = network({"obs": obs, "rnn_states": states[:half] + tuple(s + 1.0 for s in states[half:])})
    assert torch.equal(plain.value, actor.value)
    assert not torch.equal(plain.logits, actor.logits)
    assert torch.equal(plain.logits, critic.logits)
    assert not torch.equal(plain.value, critic.value)


def test_no_state_given_means_zeros():
    network = build(rnn={"name": "lstm", "units": 8})
    obs = torch.rand(6, 3)
    zeros = tuple(torch.zeros(1, 2, 8) for _ in range(2))
    one, other = (network({"obs": obs, "rnn_states": states, "seq_length": 3}) for states in (None, zeros))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("separate", [False, True])
def test_separate_encoders_of_a_dictionary(separate):
    """What the critic's loss pulls at belongs to the critic, if there are two."""
    network = build(DICT, separate=separate, encoders=OBSERVATIONS["dictionary"][1]["encoders"])
    network({"obs": observe(DICT, 3)}).value.sum().backward()
    pulled = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    assert pulled == {"value", *(("critic_cnn", "critic_mlp") if separate else ("actor_cnn", "actor_mlp"))}
    assert "actor_cnn.image_encoder.cnn.0.weight" in network.state_dict()


def test_a_feed_forward_actor_alone():
    network = build(space="continuous", separate=True)
    obs = torch.rand(5, 3)
    out = network({"obs": obs})
    torch.testing.assert_close(network.eval_actor(obs), (out.mu, out.sigma))


REFUSED = [
    (
        {"actions_num": (2, 3)},
        r"network.space: got discrete; .* actions need multi_discrete, for choices among \(2, 3\)",
    ),
    ({"space": "continuous", "actions_num": (2, 3)}, "got continuous; .* actions need multi_discrete"),
    (
        {"space": "multi_discrete", "actions_num": 3},
        "got multi_discrete; .* actions need discrete or continuous",
    ),
    ({"cnn": CNN}, r"network.cnn: conv2d takes an image .*; the observation has shape \(3,\)"),
    ({"cnn": CNN, "input_shape": (2, 2, 3)}, r"network.cnn: convs\[0\]: kernel_size 3 does not fit .* 2 x 2"),
    (
        {"cnn": CNN, "input_shape": DICT},
        "network.cnn: .* dictionary of image, proprio; write network.encoders.<key>",
    ),
    ({"encoders": {"image": None}}, r"network.encoders: got image; expected none: .* shape \(3,\)"),
    (
        {"encoders": {"image": None}, "input_shape": DICT},
        "network.encoders: got image; .*: image, proprio",
    ),
    ({"input_shape": DICT}, r"network.encoders: missing for image .*'encoders: \{image: \{cnn: "),
    ({"rnn": {"name": "identity", "units": 5}}, "network.rnn: units: got 5; expected 8, the width of the input"),
    (
        {"resnet": True, "cnn": {"conv_depths": [4]}},
        r"network.cnn: resnet_actor_critic takes an image .* has shape \(3,\)",
    ),
    ({"resnet": True, "cnn": {"conv_depths": [4]}, "input_shape": DICT}, "use actor_critic with encoders"),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED)
def test_what_does_not_fit_is_refused_with_its_key(keys, message):
    with pytest.raises(ConfigError, match=message):
        build(**keys)


def test_convolutions_and_hidden_layers_have_initialisers_of_their_own():
    two, three = ({"name": "const_initializer", "val": value} for value in (2, 3))
    network = build(IMAGE, cnn=CNN | {"initializer": two}, mlp=MLP | {"initializer": three})
    values = {name: p.unique().tolist() for name, p in network.named_parameters() if name.endswith("weight")}
    assert values == {
        "actor_cnn.0.weight": [2.0], "actor_mlp.0.weight": [3.0], "value.weight": [3.0], "logits.weight": [3.0]
    }  # fmt: skip
