import pytest
import torch

from manybody.data.ring import RingBuffer


def rows(*values):
    return torch.tensor(values, dtype=torch.float32).unsqueeze(1)


def test_the_oldest_rows_are_overwritten():
    ring = RingBuffer(5, 1, torch.device("cpu"))
    ring.add(rows(1, 2, 3))
    assert len(ring) == 3 and set(ring.sample(50).flatten().tolist()) == {1, 2, 3}
    ring.add(rows(4, 5, 6, 7))  # 6 and 7 overwrite 1 and 2
    assert ring.rows.flatten().tolist() == [6, 7, 3, 4, 5] and len(ring) == ring.capacity == 5
    ring.add(rows(*range(10, 20)))  # more than the capacity: the last five remain
    assert sorted(ring.rows.flatten().tolist()) == [15, 16, 17, 18, 19]


def test_a_restored_buffer_continues_at_the_same_position():
    ring, restored = (RingBuffer(4, 1, torch.device("cpu")) for _ in range(2))
    ring.add(rows(1, 2, 3))
    restored.set_state(ring.state())
    for buffer in (ring, restored):
        buffer.add(rows(4, 5))
    assert torch.equal(ring.rows, restored.rows) and ring.rows.flatten().tolist() == [5, 2, 3, 4]


@pytest.mark.parametrize(
    ("capacity", "kept"),
    [(3, [5, 6, 7]), (5, [3, 4, 5, 6, 7]), (8, [3, 4, 5, 6, 7])],
)
def test_a_buffer_of_another_capacity_restores_the_newest_rows(capacity, kept):
    ring, other = RingBuffer(5, 1, torch.device("cpu")), RingBuffer(capacity, 1, torch.device("cpu"))
    for value in range(1, 8):  # wraps: 6, 7, 3, 4, 5
        ring.add(rows(value))
    other.add(rows(-1))
    other.set_state(ring.state())
    assert sorted(other.rows[: len(other)].flatten().tolist()) == kept
    other.add(rows(8, 9))  # overwrites the oldest rows or fills free ones
    sampled = set(other.sample(200).flatten().tolist())
    assert sampled == {float(value) for value in [*kept, 8, 9][-capacity:]}
