import pytest
import torch

from manybody.data.ring import RingBuffer


def rows(*values):
    return torch.tensor(values, dtype=torch.float32).unsqueeze(1)


def test_the_oldest_rows_go_first():
    ring = RingBuffer(5, 1, torch.device("cpu"))
    ring.add(rows(1, 2, 3))
    assert len(ring) == 3 and set(ring.sample(50).flatten().tolist()) == {1, 2, 3}
    ring.add(rows(4, 5, 6, 7))  # 6 and 7 take the places of 1 and 2
    assert ring.rows.flatten().tolist() == [6, 7, 3, 4, 5] and len(ring) == ring.capacity == 5
    ring.add(rows(*range(10, 20)))  # more than fit: the last five
    assert sorted(ring.rows.flatten().tolist()) == [15, 16, 17, 18, 19]


def test_a_saved_memory_goes_on_where_it_was():
    ring, again = (RingBuffer(4, 1, torch.device("cpu")) for _ in range(2))
    ring.add(rows(1, 2, 3))
    again.set_state(ring.state())
    for one in (ring, again):
        one.add(rows(4, 5))
    assert torch.equal(ring.rows, again.rows) and ring.rows.flatten().tolist() == [5, 2, 3, 4]


@pytest.mark.parametrize(
    ("capacity", "kept"),
    [(3, [5, 6, 7]), (5, [3, 4, 5, 6, 7]), (8, [3, 4, 5, 6, 7])],
)
def test_a_memory_of_another_capacity_takes_the_newest_rows(capacity, kept):
    ring, other = RingBuffer(5, 1, torch.device("cpu")), RingBuffer(capacity, 1, torch.device("cpu"))
    for value in range(1, 8):  # wraps: 6, 7, 3, 4, 5
        ring.add(rows(value))
    other.add(rows(-1))
    other.set_state(ring.state())
    assert sorted(other.rows[: len(other)].flatten().tolist()) == kept
    other.add(rows(8, 9))  # over the oldest, or into what is free
    seen = set(other.sample(200).flatten().tolist())
    assert seen == {float(value) for value in [*kept, 8, 9][-capacity:]}
