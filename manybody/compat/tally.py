"""Counting games: the statistics of RL Games' players."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from manybody.algos.player import PlayResult
from manybody.engine.console import say
from manybody.engine.guard import left_out_text


class Tally:
    """Returns and lengths of the games that count.

    Args:
        envs: environments, E.
        games: how many games are wanted of all of them.
    """

    def __init__(self, envs: int, games: int) -> None:
        self.wanted = games // envs + (torch.arange(envs) < games % envs).long()
        self.played = torch.zeros(envs, dtype=torch.long)
        self.left_out = 0
        self.rewards: list[Tensor] = []
        self.lengths: list[Tensor] = []
        self.wins: list[float] = []

    def begin(self) -> None:
        """All environments were reset."""
        self.reward, self.length = torch.zeros(2, len(self.wanted), dtype=torch.float64)

    @property
    def is_complete(self) -> bool:
        """Whether all games that count have ended."""
        return bool((self.played >= self.wanted).all())

    def step(
        self,
        rewards: Tensor,
        dones: Tensor,
        infos: Any,
        ended: Tensor | None = None,
        spoilt: Tensor | None = None,
    ) -> str | None:
        """Count a step; the line about the games that ended in it.

        Args:
            rewards: (E,).
            dones: (E,) bool.
            infos: ``battle_won`` or ``scores`` in it say how those games ended.
            ended: (E,) bool, the games that end here; by default those of ``dones``.
            spoilt: (E,) bool, the games that do not count; by default none.
        """
        self.reward += rewards
        self.length += 1
        ended = dones if ended is None else ended
        ended = ended & (self.played < self.wanted)
        self.played += ended
        counts = ended if spoilt is None else ended & ~spoilt
        self.left_out += int((ended & ~counts).sum())
        line = self._end(counts, infos) if counts.any() else None
        self.reward[dones], self.length[dones] = 0.0, 0.0
        return line

    def _end(self, counts: Tensor, infos: Any) -> str:
        self.rewards.append(self.reward[counts])
        self.lengths.append(self.length[counts])
        line = f"reward: {float(self.rewards[-1].mean()):.2f} steps: {float(self.lengths[-1].mean()):.1f}"
        scores = _scores(infos, counts)
        if scores is not None:
            self.wins.append(float(scores.mean()))
            line += f" w: {self.wins[-1]}"
        return line

    def result(self, n_game_life: int) -> PlayResult:
        """Log and return the statistics; ``n_game_life`` episodes are one game."""
        rewards = torch.cat([*self.rewards, torch.zeros(0, dtype=torch.float64)])
        games = max(len(rewards), 1)
        reward = float(rewards.sum()) / games * n_game_life
        steps = float(sum(length.sum() for length in self.lengths)) / games * n_game_life
        say(f"{float(rewards.sum())}")
        if self.left_out:
            say(left_out_text(self.left_out))
        wins = f" winrate: {sum(self.wins) / games * n_game_life}" if self.wins else ""
        say(f"av reward: {reward} av steps: {steps}{wins}")
        std = float(rewards.std(correction=0)) if len(rewards) else 0.0
        return PlayResult(len(rewards), reward, std * n_game_life, steps)


def _scores(infos: Any, counts: Tensor) -> Tensor | None:
    """Scores of the games that end, ``counts`` (E,) bool, or the one of all; None where ``infos`` hold none."""
    for key in ("scores", "battle_won"):
        if isinstance(infos, Mapping) and key in infos:
            scores = torch.as_tensor(infos[key]).cpu().float().reshape(-1)
            return scores[counts] if len(scores) == len(counts) else scores.mean().reshape(1)
        if isinstance(infos, list) and len(infos) == len(counts):
            given = [info[key] for info, ends in zip(infos, counts, strict=True) if ends and key in info]
            if given:
                return torch.tensor([float(score) for score in given])
    return None
