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
    ``d_{t+1}`` is 1 where observation t+1 begins a new episode. Add the bootstrap of a truncated episode to its last
    reward (``gamma V(final_obs)``), so that nothing leaks into the next episode.

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
    continues = 1.0 - torch.cat([dones[1:], last_dones.unsqueeze(0)]).unsqueeze(-1)
    next_values = torch.cat([values[1:], last_values.unsqueeze(0)])
    deltas = rewards + gamma * next_values * continues - values
    decay = gamma * tau * continues
    advantages = torch.empty_like(rewards)
    running = torch.zeros_like(last_values)
    for t in range(rewards.shape[0] - 1, -1, -1):
        running = deltas[t] + decay[t] * running
        advantages[t] = running
    return advantages


def forward_filter(rewards: Tensor, before: Tensor, gamma: float) -> Tensor:
    """Discounted sums (T, N) of ``rewards`` up to each step: ``R_t = r_t + gamma R_{t-1}``, from ``before`` (N,).

    Random network distillation divides intrinsic rewards by the standard deviation of these (arXiv 1810.12894, 2.4).
    """
    sums = torch.empty_like(rewards)
    for t in range(rewards.shape[0]):
        before = rewards[t] + gamma * before
        sums[t] = before
    return sums
