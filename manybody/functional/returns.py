"""Returns and advantages."""

import torch
from torch import Tensor


def gae(
    rewards: Tensor,
    values: Tensor,
    dones: Tensor,
    last_values: Tensor,
    last_dones: Tensor,
    gamma: float,
    tau: float,
) -> Tensor:
    """Generalised advantage estimates (Schulman et al. 2016, arXiv 1506.02438, eq. 16).

    ``delta_t = r_t + gamma V_{t+1} (1 - d_{t+1}) - V_t``, ``A_t = delta_t + gamma tau (1 - d_{t+1}) A_{t+1}``, where
    ``d_{t+1}`` says that observation t+1 begins a new episode. What a truncated episode would still have earned
    belongs into its last reward (``gamma V(final_obs)``), so that nothing leaks across the border.

    Args:
        rewards: (T, N, V).
        values: (T, N, V), of the observations acted on.
        dones: (T, N) float, 1 where observation t begins an episode.
        last_values: (N, V), of the observation after the last step.
        last_dones: (N,) float, 1 where that observation begins an episode.
        gamma: discount per step.
        tau: the lambda of GAE.

    Returns:
        (T, N, V) advantages; returns are ``advantages + values``.
    """
    going_on = 1.0 - torch.cat([dones[1:], last_dones.unsqueeze(0)]).unsqueeze(-1)
    next_values = torch.cat([values[1:], last_values.unsqueeze(0)])
    deltas = rewards + gamma * next_values * going_on - values
    decay = gamma * tau * going_on
    advantages = torch.empty_like(rewards)
    carried = torch.zeros_like(last_values)
    for t in range(rewards.shape[0] - 1, -1, -1):
        carried = deltas[t] + decay[t] * carried
        advantages[t] = carried
    return advantages


def forward_filter(rewards: Tensor, before: Tensor, gamma: float) -> Tensor:
    """Discounted sums of the rewards up to each step, ``R_t = r_t + gamma R_{t-1}`` (T, N).

    Random network distillation measures intrinsic rewards by the deviation of these (arXiv 1810.12894, section 2.4).

    Args:
        rewards: (T, N).
        before: (N,) the sum before the first step.
        gamma: discount per step.
    """
    sums = torch.empty_like(rewards)
    for t in range(rewards.shape[0]):
        before = rewards[t] + gamma * before
        sums[t] = before
    return sums
