"""What is remembered, what comes out, and where returns of several steps stop."""

import pytest
import torch

from manybody.data.replay import ReplayBuffer
from manybody.data.rollout import Field

OBS = Field((1,), torch.float32)


def buffer(capacity, rows=1, obs=OBS):
    return ReplayBuffer(capacity, rows, obs, 1, torch.device("cpu"))


def add(memory, t, terminated=(), truncated=(), broken=()):
    """Step ``t``: row i sees 10 t + i, then 10 t + i + 100, and earns t + 1; the named rows end or are broken."""
    rows = torch.arange(memory.rows)
    seen = (10.0 * t + rows).unsqueeze(1)

    def among(some):
        return torch.isin(rows, torch.tensor(some, dtype=torch.long))

    memory.add(
        seen,
        -seen,
        torch.full((memory.rows,), t + 1.0),
        seen + 100.0,
        among(terminated),
        among(truncated),
        ~among(broken),
    )


def drawn(memory, gamma=0.5, n_step=1):
    """The batch by what each transition saw first: {obs: (reward, next_obs, discount, valid)}."""
    batch = memory.sample(500, gamma, n_step)
    columns = (batch.reward, batch.next_obs[:, 0], batch.discount, batch.valid)
    values = zip(*(column.tolist() for column in columns), strict=True)
    assert torch.equal(batch.action, -batch.obs)
    return dict(zip(batch.obs[:, 0].tolist(), values, strict=True))


def test_the_oldest_steps_are_overwritten():
    memory = buffer(capacity=7, rows=2)  # 3 steps of 2 rows
    assert (memory.capacity, len(memory)) == (6, 0)
    for t in range(4):
        add(memory, t)
        assert len(memory) == min(2 * (t + 1), 6)
    assert sorted(drawn(memory)) == [10.0, 11.0, 20.0, 21.0, 30.0, 31.0]  # steps 1, 2, 3; step 0 is gone


def test_less_than_one_step_of_all_rows_is_one_step():
    assert buffer(capacity=3, rows=8).capacity == 8


def test_rows_are_drawn_evenly():
    memory = buffer(capacity=4)
    for t in range(4):
        add(memory, t)
    torch.manual_seed(0)
    counts = torch.bincount((memory.sample(4000, 0.9).obs[:, 0] / 10).long())
    assert (counts - 1000).abs().max() < 100  # deviation of a count: sqrt(4000 / 4 * 3 / 4) = 27


def test_one_step():
    memory = buffer(capacity=10, rows=3)
    add(memory, 0, terminated=[0], truncated=[1], broken=[2])
    assert drawn(memory) == {
        0.0: (1.0, 100.0, 0.0, True),  # terminated: nothing follows
        1.0: (1.0, 101.0, 0.5, True),  # cut short: what followed still has a value
        2.0: (1.0, 102.0, 0.5, False),
    }


def test_three_steps_and_where_they_stop():
    memory = buffer(capacity=10)
    for t in range(6):
        add(memory, t, terminated=[0] if t == 2 else (), truncated=[0] if t == 4 else ())
    assert drawn(memory, gamma=0.5, n_step=3) == {
        0.0: (1 + 0.5 * 2 + 0.25 * 3, 120.0, 0.0, True),  # ends with the termination of step 2
        10.0: (2 + 0.5 * 3, 120.0, 0.0, True),  # does not reach beyond it
        20.0: (3.0, 120.0, 0.0, True),
        30.0: (4 + 0.5 * 5, 140.0, 0.25, True),  # cut short at step 4: gamma^2 times the value there
        40.0: (5.0, 140.0, 0.5, True),
        50.0: (6.0, 150.0, 0.5, True),  # the newest step
    }


def test_the_newest_step_is_a_border_when_the_ring_is_full():
    memory = buffer(capacity=4)
    for t in range(6):  # steps 2, 3, 4, 5 stay; step 5 lies before step 2 in memory
        add(memory, t)
    assert drawn(memory, gamma=0.5, n_step=3) == {
        20.0: (3 + 0.5 * 4 + 0.25 * 5, 140.0, 0.125, True),
        30.0: (4 + 0.5 * 5 + 0.25 * 6, 150.0, 0.125, True),
        40.0: (5 + 0.5 * 6, 150.0, 0.25, True),
        50.0: (6.0, 150.0, 0.5, True),
    }


def test_rows_do_not_mix():
    memory = buffer(capacity=12, rows=2)
    for t in range(3):
        add(memory, t, terminated=[1] if t == 1 else ())
    batch = drawn(memory, gamma=0.5, n_step=3)
    assert batch[0.0] == (1 + 0.5 * 2 + 0.25 * 3, 120.0, 0.125, True)
    assert batch[1.0] == (1 + 0.5 * 2, 111.0, 0.0, True)


def test_a_broken_step_is_not_reached():
    memory = buffer(capacity=10)
    for t in range(3):
        add(memory, t, terminated=[0] if t == 1 else (), broken=[0] if t == 1 else ())
    batch = drawn(memory, gamma=0.5, n_step=3)
    assert batch[0.0] == (1.0, 100.0, 0.5, True)  # stops before it, and what it saw there has a value
    assert not batch[10.0][3]
    assert batch[20.0][3]


def test_new_episodes_are_a_border():
    memory = buffer(capacity=10)
    memory.cut()  # nothing to cut
    add(memory, 0)
    memory.cut()
    add(memory, 1)
    assert drawn(memory, gamma=0.5, n_step=2)[0.0] == (1.0, 100.0, 0.5, True)
    memory.clear()
    assert len(memory) == 0


@pytest.mark.parametrize("steps", [2, 7])
def test_saved_and_put_back(steps):
    memory, other = buffer(capacity=10, rows=2), buffer(capacity=10, rows=2)
    for t in range(steps):
        add(memory, t, terminated=[t % 2])
    state = memory.state_dict()
    assert len(state["fields"]["reward"]) == len(memory)  # no more than there is
    other.load_state_dict(state)
    for part in (memory, other):
        add(part, 9)
    assert drawn(other, n_step=3) == drawn(memory, n_step=3)


def test_another_size_is_refused():
    memory = buffer(capacity=10, rows=2)
    add(memory, 0)
    with pytest.raises(ValueError, match="got 5 steps of 2 rows; expected 2 steps of 5 rows"):
        buffer(capacity=10, rows=5).load_state_dict(memory.state_dict())


def test_dictionaries_and_bytes_stay_what_they_are():
    memory = buffer(4, 2, {"image": Field((3, 2), torch.uint8), "speed": OBS})
    obs = {"image": torch.full((2, 3, 2), 200, dtype=torch.uint8), "speed": torch.ones(2, 1)}
    flags = torch.zeros(2, dtype=torch.bool)
    memory.add(obs, torch.zeros(2, 1), torch.zeros(2), obs, flags, flags, ~flags)
    batch = memory.sample(5, 0.9, 2)
    assert batch.next_obs["image"].dtype == torch.uint8 and batch.obs["image"].unique().tolist() == [200]
    assert batch.obs["speed"].shape == (5, 1)
