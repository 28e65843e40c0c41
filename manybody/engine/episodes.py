"""``EpisodeStatistics``: returns and lengths of running and finished episodes, on the device."""

import torch
from torch import Tensor

from manybody.engine.checkpoint.parts import Attribute, Part, Parts
from manybody.engine.extras import ExtrasMetrics
from manybody.engine.metrics import AverageMeter

RUNNING = ("current_rewards", "current_shaped_rewards", "current_lengths")
"""Sums over running episodes: attributes of :class:`EpisodeStatistics`, and their keys in checkpoints."""


class EpisodeStatistics:
    """Adds up the steps of N rows, and averages over the episodes that finish.

    Args:
        rows: N, environments x agents.
        num_agents: rows of one environment.
        reward_size: components of the reward.
        games_to_track: episodes over which means are taken.
        device: of the learner.
    """

    def __init__(self, rows: int, num_agents: int, reward_size: int, games_to_track: int, device: torch.device) -> None:
        self.rows, self.reward_size, self.device = rows, reward_size, device
        self.game_rewards = AverageMeter((reward_size,), games_to_track, device)
        self.game_shaped_rewards = AverageMeter((reward_size,), games_to_track, device)
        self.game_lengths = AverageMeter((), games_to_track, device)
        self.extras_metrics = ExtrasMetrics(rows, num_agents, games_to_track, device)

    def start(self) -> None:
        """Allocate the sums of running episodes: new ones start in all rows."""
        self.current_rewards = torch.zeros((self.rows, self.reward_size), device=self.device)
        self.current_shaped_rewards = torch.zeros_like(self.current_rewards)
        self.current_lengths = torch.zeros(self.rows, device=self.device)
        self.shortened = torch.zeros(self.rows, dtype=torch.bool, device=self.device)
        """(N,) rows whose first episode is shortened."""

    def add(self, reward: Tensor, shaped: Tensor, done: Tensor, truncated: Tensor, broken: Tensor) -> Tensor:
        """Add a step with rewards (N, V) and shaped rewards (N, V); ``broken`` rows (N,) do not count.

        Shortened episodes that were truncated do not count either: their returns are incomplete.

        Returns:
            (N,) bool, the rows whose episode finished and counts.
        """
        self.current_rewards += reward
        self.current_shaped_rewards += shaped
        self.current_lengths += 1
        finished = done & ~broken & ~(self.shortened & truncated)
        self.game_rewards.update(self.current_rewards, finished)
        self.game_shaped_rewards.update(self.current_shaped_rewards, finished)
        self.game_lengths.update(self.current_lengths, finished)
        return finished

    def restart(self, done: Tensor) -> None:
        """Start new episodes in the rows ``done`` (N,) bool."""
        running = 1.0 - done.float()
        self.current_rewards *= running.unsqueeze(1)
        self.current_shaped_rewards *= running.unsqueeze(1)
        self.current_lengths *= running
        self.shortened = self.shortened & ~done

    def means(self) -> dict[str, Tensor]:
        """Return means () over the last finished episodes, and how many these are, by name."""
        rewards = self.game_rewards.mean
        return {
            "reward": rewards[0],
            "shaped_reward": self.game_shaped_rewards.mean[0],
            "length": self.game_lengths.mean,
            "games": self.game_rewards.current_size,
            "finished_games": self.game_rewards.finished,
            **{f"rewards{head}": value for head, value in enumerate(rewards[1:], 1)},
        }

    def clear(self) -> None:
        """Forget finished episodes."""
        for meter in (self.game_rewards, self.game_shaped_rewards, self.game_lengths, self.extras_metrics):
            meter.clear()

    def finished_parts(self) -> Parts:
        """Return the means as parts of a checkpoint."""
        extras = self.extras_metrics
        return {
            "game_rewards": self.game_rewards,
            "game_shaped_rewards": self.game_shaped_rewards,
            "game_lengths": self.game_lengths,
            "extras": Part(extras.state_dict, extras.load_state_dict, optional=True),  # not in older checkpoints
        }

    def running_parts(self) -> Parts:
        """Return the sums over running episodes as parts of a checkpoint."""
        return {name: Attribute(self, name, self.device) for name in RUNNING}
