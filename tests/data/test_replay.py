"""The replay buffer: which steps it holds, which batches it returns, and where n-step returns stop."""

import pytest
import torch

from manybody.data.replay import ReplayBuffer
from manybody.data.rollout import Field

OBS = Field((1,), torch.float32)


def make_buffer(capacity, rows=1, obs=OBS):
    return ReplayBuffer(capacity, rows, obs, 1, torch.device("cpu"))


def add(buffer, t, terminated=(), truncated=(), invalid=()):
    """Add step ``t``: row i observes 10 t + i, then 10 t + i + 100; its reward is t + 1."""
    rows = torch.arange(buffer.rows)
    seen = (10.0 * t + rows).unsqueeze(1)

    def among(some):
        return torch.isin(rows, torch.tensor(some, dtype=torch.long))

    buffer.add(
        seen,
        -seen,
        torch.full((buffer.rows,), t + 1.0),
        seen + 100.0,
        among(terminated),
        among(truncated),
        ~among(invalid),
    )


def drawn(buffer, gamma=0.5, n_step=1):
    """Return a sampled batch by observation: {obs: (reward, next_obs, discount, valid)}."""
    batch = buffer.sample(500, gamma, n_step)
    columns = (batch.reward, batch.next_obs[:, 0], batch.discount, batch.valid)
    values = zip(*(column.tolist() for column in columns), strict=True)
    assert torch.equal(batch.action, -batch.obs)
    return dict(zip(batch.obs[:, 0].tolist(), values, strict=True))


def test_the_oldest_steps_are_overwritten():
    buffer = make_buffer(capacity=7, rows=2)  # 3 steps of 2 rows
    assert (buffer.capacity, len(buffer)) == (6, 0)
    for t in range(4):
        add(buffer, t)
        assert len(buffer) == min(2 * (t + 1), 6)
    assert sorted(drawn(buffer)) == [10.0, 11.0, 20.0, 21.0, 30.0, 31.0]  # steps 1, 2, 3; step 0 is overwritten


def test_the_capacity_is_at_least_one_step_of_all_rows():
    assert make_buffer(capacity=3, rows=8).capacity == 8


def test_rows_are_drawn_evenly():
    buffer = make_buffer(capacity=4)
    for t in range(4):
        add(buffer, t)
    torch.manual_seed(0)
    counts = torch.bincount((buffer.sample(4000, 0.9).obs[:, 0] / 10).long())
    assert (counts - 1000).abs().max() < 100  # standard deviation of a count: sqrt(4000 / 4 * 3 / 4) = 27


def test_one_step():
    buffer = make_buffer(capacity=10, rows=3)
    add(buffer, 0, terminated=[0], truncated=[1], invalid=[2])
    assert drawn(buffer) == {
        0.0: (1.0, 100.0, 0.0, True),  # terminated: no bootstrap
        1.0: (1.0, 101.0, 0.5, True),  # truncated: the final observation has a value
        2.0: (1.0, 102.0, 0.5, False),
    }


def test_three_step_returns_stop_at_the_end_of_an_episode():
    buffer = make_buffer(capacity=10)
    for t in range(6):
        add(buffer, t, terminated=[0] if t == 2 else (), truncated=[0] if t == 4 else ())
    assert drawn(buffer, gamma=0.5, n_step=3) == {
        0.0: (1 + 0.5 * 2 + 0.25 * 3, 120.0, 0.0, True),  # ends with the termination of step 2
        10.0: (2 + 0.5 * 3, 120.0, 0.0, True),  # stops there too
        20.0: (3.0, 120.0, 0.0, True),
        30.0: (4 + 0.5 * 5, 140.0, 0.25, True),  # truncated at step 4: gamma^2 times the value there
        40.0: (5.0, 140.0, 0.5, True),
        50.0: (6.0, 150.0, 0.5, True),  # the newest step
    }


def test_returns_stop_at_the_newest_step_of_a_full_buffer():
    buffer = make_buffer(capacity=4)
    for t in range(6):  # steps 2, 3, 4, 5 remain; step 5 is stored before step 2
        add(buffer, t)
    assert drawn(buffer, gamma=0.5, n_step=3) == {
        20.0: (3 + 0.5 * 4 + 0.25 * 5, 140.0, 0.125, True),
        30.0: (4 + 0.5 * 5 + 0.25 * 6, 150.0, 0.125, True),
        40.0: (5 + 0.5 * 6, 150.0, 0.25, True),
        50.0: (6.0, 150.0, 0.5, True),
    }


def test_rows_do_not_mix():
    buffer = make_buffer(capacity=12, rows=2)
    for t in range(3):
        add(buffer, t, terminated=[1] if t == 1 else ())
    batch = drawn(buffer, gamma=0.5, n_step=3)
    assert batch[0.0] == (1 + 0.5 * 2 + 0.25 * 3, 120.0, 0.125, True)
    assert batch[1.0] == (1 + 0.5 * 2, 111.0, 0.0, True)


def test_returns_stop_before_an_invalid_step():
    buffer = make_buffer(capacity=10)
    for t in range(3):
        add(buffer, t, terminated=[0] if t == 1 else (), invalid=[0] if t == 1 else ())
    batch = drawn(buffer, gamma=0.5, n_step=3)
    assert batch[0.0] == (1.0, 100.0, 0.5, True)  # stops before step 1 and bootstraps from its observation
    assert not batch[10.0][3]
    assert batch[20.0][3]


def test_returns_stop_where_all_episodes_were_reset():
    buffer = make_buffer(capacity=10)
    buffer.cut()  # nothing to cut
    add(buffer, 0)
    buffer.cut()
    add(buffer, 1)
    assert drawn(buffer, gamma=0.5, n_step=2)[0.0] == (1.0, 100.0, 0.5, True)
    buffer.clear()
    assert len(buffer) == 0


@pytest.mark.parametrize("steps", [2, 7])
def test_a_restored_buffer_equals_the_saved_one(steps):
    buffer, other = make_buffer(capacity=10, rows=2), make_buffer(capacity=10, rows=2)
    for t in range(steps):
        add(buffer, t, terminated=[t % 2])
    state = buffer.state_dict()
    assert len(state["fields"]["reward"]) == len(buffer)  # only the filled part is saved
    other.load_state_dict(state)
    for part in (buffer, other):
        add(part, 9)
    assert drawn(other, n_step=3) == drawn(buffer, n_step=3)


def test_a_state_of_another_size_is_refused():
    buffer = make_buffer(capacity=10, rows=2)
    add(buffer, 0)
    with pytest.raises(ValueError, match="got 5 steps of 2 rows; expected 2 steps of 5 rows"):
        make_buffer(capacity=10, rows=5).load_state_dict(buffer.state_dict())


def test_dictionaries_and_bytes_keep_their_types():
    buffer = make_buffer(4, 2, {"image": Field((3, 2), torch.uint8), "speed": OBS})
    obs = {"image": torch.full((2, 3, 2), 200, dtype=torch.uint8), "speed": torch.ones(2, 1)}
    flags = torch.zeros(2, dtype=torch.bool)
    buffer.add(obs, torch.zeros(2, 1), torch.zeros(2), obs, flags, flags, ~flags)
    batch = buffer.sample(5, 0.9, 2)
    assert batch.next_obs["image"].dtype == torch.uint8 and batch.obs["image"].unique().tolist() == [200]
    assert batch.obs["speed"].shape == (5, 1)
