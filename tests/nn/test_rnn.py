from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manybody.nn.rnn import _Episodes, build_rnn

WIDTH, UNITS, LAYERS = 3, 5, 2


def layer(name):
    torch.manual_seed(0)
    return build_rnn(name, WIDTH, UNITS, LAYERS)


def one_by_one(rnn, x, states, dones):
    """Run each sequence alone, step by step, and set the state to zero where an episode starts."""
    rows, finals = [], []
    for s in range(x.shape[0]):
        state, outputs = tuple(part[:, s : s + 1] for part in states), []
        for t in range(x.shape[1]):
            if dones[s][t]:
                state = tuple(torch.zeros_like(part) for part in state)
            output, state = rnn(x[s : s + 1, t : t + 1], state)
            outputs.append(output)
        rows.append(torch.cat(outputs, dim=1))
        finals.append(state)
    return torch.cat(rows), tuple(torch.cat(part, dim=1) for part in zip(*finals, strict=True))


@st.composite
def done_patterns(draw):
    S, L = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    return draw(st.lists(st.lists(st.booleans(), min_size=L, max_size=L), min_size=S, max_size=S))


@pytest.mark.parametrize("name", ["lstm", "gru"])
@settings(max_examples=40, deadline=None)
@given(dones=done_patterns(), as_float=st.booleans())
def test_resets_equal_stepping_one_by_one(name, dones, as_float):
    rnn, S, L = layer(name), len(dones), len(dones[0])
    x = torch.randn(S, L, WIDTH)
    states = tuple(torch.randn(LAYERS, S, UNITS) for _ in range(rnn.num_states))
    flags = torch.tensor(dones, dtype=torch.float32 if as_float else torch.uint8)
    x.requires_grad_()
    expected, _ = one_by_one(rnn, x, states, dones)
    weights = torch.randn(expected.shape)
    (expected_gradient,) = torch.autograd.grad((expected * weights).sum(), x)
    for faster in (True, False):
        with patch.object(_Episodes, "is_faster", faster):
            output, after = rnn(x, states, flags)
        torch.testing.assert_close(output, expected)
        torch.testing.assert_close(torch.autograd.grad((output * weights).sum(), x)[0], expected_gradient)
        assert after == ()


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_gradients_do_not_flow_back_through_a_reset(name):
    """The gradient of a step after the reset reaches back to the reset and not beyond it."""
    rnn = layer(name)
    x = torch.randn(1, 4, WIDTH, requires_grad=True)
    output, _ = rnn(x, rnn.initial_states(1, x.device), torch.tensor([[0, 0, 1, 0]]))
    output[:, 3].sum().backward()
    assert (x.grad[0].abs().sum(dim=1) > 0).tolist() == [False, False, True, True]


def test_a_reset_replaces_a_non_finite_state():
    rnn = layer("gru")
    output, _ = rnn(torch.randn(2, 1, WIDTH), (torch.full((LAYERS, 2, UNITS), torch.nan),), torch.tensor([[1], [0]]))
    assert output.isfinite().all(dim=2).flatten().tolist() == [True, False]


def test_without_dones_nothing_is_reset():
    rnn = layer("lstm")
    x, states = torch.randn(2, 3, WIDTH), tuple(torch.randn(2, LAYERS, 2, UNITS))
    torch.testing.assert_close(rnn(x, states)[0], one_by_one(rnn, x, states, [[False] * 3] * 2)[0])


@pytest.mark.parametrize(("name", "parts", "width"), [("lstm", 2, UNITS), ("gru", 1, UNITS), ("identity", 1, 1)])
def test_initial_states_are_zeros(name, parts, width):
    rnn = build_rnn(name, UNITS, UNITS, LAYERS)
    states = rnn.initial_states(4, torch.device("cpu"))
    assert [state.shape for state in states] == [(LAYERS, 4, width)] * parts
    assert all((state == 0).all() for state in states)


def test_identity():
    rnn = build_rnn("identity", 3, 3, 1)
    x, states = torch.randn(2, 4, 3), (torch.ones(1, 2, 1),)
    output, after = rnn(x, states, torch.ones(2, 4))
    assert output is x
    assert after is states
    with pytest.raises(ValueError, match="units: got 4; expected 3, the width of the input"):
        build_rnn("identity", 3, 4, 1)
