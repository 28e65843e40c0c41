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
