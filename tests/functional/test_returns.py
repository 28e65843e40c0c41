import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manybody.functional.returns import forward_filter, gae


def column(*values):
    """(T, 1, 1) of one environment."""
    return torch.tensor(values).reshape(-1, 1, 1)


def test_three_steps_by_hand(run):
    # gamma 0.5, lambda 0.5: each step multiplies the next advantage by 0.25.
    # delta_2 = 3 + 0.5 * 8 - 4 = 3        A_2 = 3
    # delta_1 = 2 + 0.5 * 4 - 2 = 2        A_1 = 2 + 0.25 * 3 = 2.75
    # delta_0 = 1 + 0.5 * 2 - 6 = -4       A_0 = -4 + 0.25 * 2.75 = -3.3125
    advantages = run(
        gae,
        column(1.0, 2.0, 3.0),
        column(6.0, 2.0, 4.0),
        torch.zeros(3, 1),
        torch.tensor([[8.0]]),
        torch.zeros(1),
        0.5,
        0.5,
    )
    assert advantages.flatten().tolist() == [-3.3125, 2.75, 3.0]


def test_advantages_stop_at_the_end_of_an_episode(run):
    # Observation 1 starts an episode: step 0 uses neither its value, 100, nor its advantage. A_0 = 1 - 6 = -5.
    # The observation after the last step starts one too: A_1 = 2 - 100 = -98, independent of its value.
    advantages = run(
        gae,
        column(1.0, 2.0),
        column(6.0, 100.0),
        torch.tensor([[0.0], [1.0]]),
        torch.tensor([[1000.0]]),
        torch.ones(1),
        0.9,
        0.9,
    )
    assert advantages.flatten().tolist() == [-5.0, -98.0]


def test_a_truncated_step_bootstraps_from_its_final_observation(run):
    # The reward of a truncated step contains gamma V(final_obs) = 0.5 * 10 = 5: its return is 1 + 5 = 6. The next
    # episode contributes neither its first value, 100, nor its rewards.
    rewards = column(1.0 + 0.5 * 10.0, 7.0)
    values = column(2.0, 100.0)
    advantages = run(
        gae, rewards, values, torch.tensor([[0.0], [1.0]]), torch.tensor([[50.0]]), torch.zeros(1), 0.5, 0.95
    )
    assert (advantages + values)[0].item() == pytest.approx(6.0)


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_lambda_zero_and_one(tau):
    # lambda 0: one-step errors. lambda 1: discounted rewards to the end, minus the value.
    rewards, values = column(1.0, 2.0, 4.0), column(3.0, 5.0, 7.0)
    result = gae(rewards, values, torch.zeros(3, 1), torch.tensor([[9.0]]), torch.zeros(1), 0.5, tau).flatten()
    one_step = [1 + 0.5 * 5 - 3, 2 + 0.5 * 7 - 5, 4 + 0.5 * 9 - 7]  # 0.5, 0.5, 1.5
    to_the_end = [
        1 + 0.5 * 2 + 0.25 * 4 + 0.125 * 9 - 3,  # 1.125
        2 + 0.5 * 4 + 0.25 * 9 - 5,  # 1.25
        4 + 0.5 * 9 - 7,  # 1.5
    ]
    assert result.tolist() == (to_the_end if tau else one_step)


def slow_returns(rewards, values, terminated, truncated, final_values, last_values, gamma, tau):
    """Compute the lambda return of each step from its definition, in float64 and without recursion over steps.

    ``G_t = sum_k (gamma tau)^k delta_{t+k} + V_t`` over the remaining steps of the episode. A terminated step
    bootstraps from 0, a truncated step from the value of its final observation.
    """
    horizon = len(rewards)
    returns = []
    for t in range(horizon):
        total, weight = values[t], 1.0
        for s in range(t, horizon):
            following = last_values if s == horizon - 1 else values[s + 1]
            if terminated[s]:
                following = 0.0
            if truncated[s]:
                following = final_values[s]
            total += weight * (rewards[s] + gamma * following - values[s])
            if terminated[s] or truncated[s]:
                break
            weight *= gamma * tau
        returns.append(total)
    return torch.tensor(returns, dtype=torch.float64)


@settings(max_examples=150, deadline=None)
@given(
    ends=st.lists(st.sampled_from(["continues", "terminated", "truncated"]), min_size=1, max_size=12),
    gamma=st.floats(0.5, 1.0),
    tau=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**16),
)
def test_any_pattern_of_episode_ends_equals_the_definition(ends, gamma, tau, seed):
    horizon = len(ends)
    draw = torch.Generator().manual_seed(seed)
    rewards, values, final_values = torch.randn(3, horizon, generator=draw).double()
    last_value = torch.randn((), generator=draw).double()
    terminated = torch.tensor([end == "terminated" for end in ends])
    truncated = torch.tensor([end == "truncated" for end in ends])
    # The value of the observation after an ended episode is 100, so that a leak into a return is visible.
    starts = torch.cat([torch.zeros(1, dtype=torch.bool), terminated | truncated])
    values = torch.where(starts[:-1], 100.0, values)
    last_value = torch.where(starts[-1], 100.0, last_value)

    expected = slow_returns(
        rewards.tolist(),
        values.tolist(),
        terminated.tolist(),
        truncated.tolist(),
        final_values.tolist(),
        last_value.item(),
        gamma,
        tau,
    )
    result = gae(
        (rewards + gamma * final_values * truncated).float().reshape(-1, 1, 1),
        values.float().reshape(-1, 1, 1),
        starts[:-1].float().unsqueeze(1),
        last_value.float().reshape(1, 1),
        starts[-1:].float(),
        gamma,
        tau,
    )
    torch.testing.assert_close((result.flatten() + values.float()).double(), expected, rtol=1e-5, atol=1e-4)


def test_environments_and_value_heads_are_independent(run):
    draw = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 6, 4, 3, generator=draw)
    dones = (torch.rand(6, 4, generator=draw) < 0.3).float()
    last_values, last_dones = torch.randn(4, 3, generator=draw), torch.tensor([0.0, 1.0, 0.0, 1.0])
    together = run(gae, rewards, values, dones, last_values, last_dones, 0.99, 0.95)
    for n in range(4):
        for v in range(3):
            alone = gae(
                rewards[:, n : n + 1, v : v + 1],
                values[:, n : n + 1, v : v + 1],
                dones[:, n : n + 1],
                last_values[n : n + 1, v : v + 1],
                last_dones[n : n + 1],
                0.99,
                0.95,
            )
            torch.testing.assert_close(together[:, n, v], alone[:, 0, 0])


def test_forward_filter(run):
    # Row 0: 2 + 0.5 * 4 = 4, 1 + 0.5 * 4 = 3. Row 1: 0 + 0.5 * 0 = 0, 1 + 0.5 * 0 = 1.
    sums = run(forward_filter, torch.tensor([[2.0, 0.0], [1.0, 1.0]]), torch.tensor([4.0, 0.0]), 0.5)
    assert torch.equal(sums, torch.tensor([[4.0, 0.0], [3.0, 1.0]]))
