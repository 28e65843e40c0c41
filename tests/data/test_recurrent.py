"""The recurrent states that a rollout stores, and their order in minibatches."""

import torch

from manybody.data.minibatch import PPODataset
from manybody.data.recurrent import RecurrentStates
from manybody.data.rollout import swap_and_flatten01

T, N, L = 6, 3, 2


def test_stored_states_are_in_the_order_of_the_rows():
    """The state before step t of row r is 10 r + t; with L = 2, it is stored at t = 0, 2, 4."""
    states = RecurrentStates((torch.zeros(1, N, 1),), T, L, True, torch.device("cpu"))
    steps = []
    for t in range(T):
        states.load_state_dict(((10.0 * torch.arange(N) + t).reshape(1, N, 1),))
        states.store(t)
        steps.append(10.0 * torch.arange(N) + t)
    (stored,) = states.sequences()["rnn_states"]
    assert stored.flatten().tolist() == [0, 2, 4, 10, 12, 14, 20, 22, 24]
    rows = swap_and_flatten01(torch.stack(steps))
    for shuffle in (False, True):
        dataset = PPODataset(T * N, 6, shuffle=shuffle, seq_length=L)
        dataset.update_values_dict({"obs": rows, "rnn_states": (stored,)})
        dataset.start_pass()
        seen = []
        for minibatch in dataset:
            (start,) = minibatch["rnn_states"]
            sequences = minibatch["obs"].reshape(3, L)
            assert torch.equal(start.flatten(), sequences[:, 0])  # each state belongs to the first step
            assert torch.equal(sequences[:, 1], sequences[:, 0] + 1)  # and the steps are consecutive
            seen += sequences.flatten().tolist()
        assert sorted(seen) == rows.tolist() and (seen == rows.tolist()) is not shuffle


def test_states_are_zeroed_at_the_end_of_an_episode_if_configured():
    ones = (torch.ones(2, N, 4), torch.ones(2, N, 4))
    done = torch.tensor([0, 1, 0], dtype=torch.uint8)
    for zero_on_done, expected in ((True, [1.0, 0.0, 1.0]), (False, [1.0, 1.0, 1.0])):
        states = RecurrentStates(ones, T, L, zero_on_done, torch.device("cpu"))
        states.forget(done)
        assert all(state.mean(dim=(0, 2)).tolist() == expected for state in states.current)


def test_a_feed_forward_network_has_no_states():
    states = RecurrentStates(None, T, L, True, torch.device("cpu"))
    states.store(0)
    states.forget(torch.ones(N))
    assert states.current is None and states.sequences() == {}
