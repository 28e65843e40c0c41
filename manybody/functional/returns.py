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
    """Compute generalised advantage estimates (Schulman et al. 2016, arXiv 1506.02438, eq. 16).

    ``delta_t = r_t + gamma V_{t+1} (1 - d_{t+1}) - V_t``, ``A_t = delta_t + gamma tau (1 - d_{t+1}) A_{t+1}``;
    ``d_{t+1}`` is 1 if observation t+1 begins a new episode. The caller adds the bootstrap of a truncated episode,
    ``gamma V(final_obs)``, to its last reward.

    Args:
        rewards: (T, N, V).
        values: (T, N, V), of observations 0 to T - 1.
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
    """Return discounted sums (T, N) of past ``rewards``: ``R_t = r_t + gamma R_{t-1}``, from ``before`` (N,).

    Random network distillation divides intrinsic rewards by their standard deviation (arXiv 1810.12894, 2.4).
    """
    sums = torch.empty_like(rewards)
    for t in range(rewards.shape[0]):
        before = rewards[t] + gamma * before
        sums[t] = before
    return sums
