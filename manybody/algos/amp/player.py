"""``AMPPlayerContinuous``: plays and measures how much the motion looks like the clip."""

from collections.abc import Callable

import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos.a2c import PpoPlayerContinuous
from manybody.algos.amp.agent import amp_build_config, amp_shape, check_amp_obs, imitated
from manybody.algos.amp.config import AMPConfig
from manybody.algos.network import ModelArguments
from manybody.algos.player import PlayResult
from manybody.data.tree import Tree
from manybody.engine.console import say
from manybody.envs.base import Obs, Step
from manybody.functional import adversarial
from manybody.functional.stats import masked_mean, rows_finite
from manybody.motion.imitation import imitation_error, still_error

TRIALS = 32
"""Environments whose motion is compared with the clip, as many as in the paper."""


class AMPPlayerContinuous(PpoPlayerContinuous):
    """Plays ``amp_continuous`` checkpoints."""

    config: AMPConfig
    style: Tensor
    """() sum of the mean style rewards of all steps."""
    steps: int
    """Steps played."""
    seen: list[Tensor]
    """(trials, B, 3) of each step: bodies relative to the root, m."""
    alive: Tensor
    """(trials,) steps until the first episode ended."""

    @override
    def build_config(self) -> ModelArguments:
        self.amp_shape = amp_shape(self.env, self.env_info)
        return super().build_config() | amp_build_config(self.amp_shape, self.config)

    @override
    def run(self, on_step: Callable[[Step], object] | None = None, quiet: bool = False) -> PlayResult:
        """Play; also print the style reward and, where body positions are reported, the imitation error."""
        result = super().run(on_step, quiet)
        if not quiet and self.steps:
            say(f"style reward: {float(self.style) / self.steps:.3f} per step")
            error = self.imitation_error()
            if error is not None:
                still = min(still_error(clip) for clip in imitated(self.env))
                frames = int(self.alive.sum())
                say(f"imitation error: {error:.3f} m over {frames} frames (a figure that stands still: {still:.3f} m)")
        return result

    @override
    def env_reset(self) -> Obs:
        device, trials = self.device, min(self.rows, TRIALS)
        self.style, self.steps, self.seen = torch.zeros((), device=device), 0, []
        self.going = torch.ones(trials, dtype=torch.bool, device=device)
        self.alive = torch.zeros(trials, dtype=torch.long, device=device)
        return super().env_reset()

    @override
    def env_step(self, actions: Tensor) -> Step:
        step = super().env_step(actions)
        check_amp_obs(self.config.env_name, step, (self.rows, *self.amp_shape))
        motion = step.extras["amp_obs"].to(self.device)
        finite = rows_finite(motion)
        logits = self.model.discriminate(motion.masked_fill(~finite.unsqueeze(1), 0.0))
        style = adversarial.style_reward(logits, self.config.disc_reward_scale)
        self.style += masked_mean(style.reshape(self.rows), finite)
        self.steps += 1
        bodies = step.extras.get("body_positions")
        if bodies is not None:
            trials = len(self.alive)
            self.seen.append(bodies[:trials].to(self.device))
            self.going &= rows_finite(self.seen[-1])
            self.alive += self.going
            self.going &= ~step.done[:trials].to(self.device)
        return step

    @override
    def watched(self, step: Step) -> dict[str, Tree]:
        motion = {key: step.extras[key] for key in ("amp_obs", "body_positions") if key in step.extras}
        return super().watched(step) | motion

    def imitation_error(self) -> float | None:
        """Mean over the trials' first episodes (m); None if the environment reports no bodies."""
        clips = [clip.to(self.device) for clip in imitated(self.env)]
        if not (clips and self.seen):
            return None
        motion = torch.stack(self.seen, dim=1)
        errors = [
            min(imitation_error(motion[trial, :length], clip) for clip in clips)
            for trial, length in enumerate(self.alive.tolist())
            if length
        ]
        return sum(errors) / len(errors) if errors else None
