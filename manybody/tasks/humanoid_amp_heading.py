"""HumanoidAMPHeading: walk in a commanded direction at a commanded speed, in the style of a clip."""

import math
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from manybody.config.task import HumanoidAMPHeadingConfig, HumanoidAMPHeadingEnvConfig, TaskConfig
from manybody.functional.rotations import quat_rotate
from manybody.tasks.humanoid_amp import HumanoidAMP, heading_inverse
from manybody.tasks.terms import Block, Term


def heading_reward(velocity: Tensor, command: Tensor) -> Tensor:
    """Return exp(-1/4 (v* - d . v)^2), 1 at the speed v* in direction d (arXiv 2104.02180, task *target heading*).

    Args:
        velocity: (N, 2) of the root in the world's plane, m/s.
        command: (N, 3) direction, a unit vector in that plane, and speed, m/s.
    """
    along = (velocity * command[:, :2]).sum(dim=1)
    return torch.exp(-0.25 * (command[:, 2] - along).square())


class HumanoidAMPHeading(HumanoidAMP):
    """108 observations: those of :class:`HumanoidAMP`, the commanded direction in the heading frame (2), the speed (1).

    The command changes at random times, on average every ``headingChangeSteps``. The discriminator does not receive it.
    ``disc_reward_w`` and ``task_reward_w`` are the weights of style reward and ``heading_reward``.
    """

    Config: ClassVar[type[TaskConfig]] = HumanoidAMPHeadingConfig
    num_observations = HumanoidAMP.num_observations + 3
    state_buffers: ClassVar[tuple[str, ...]] = (*HumanoidAMP.state_buffers, "command")
    observation_blocks: ClassVar[tuple[Block, ...]] = (
        *HumanoidAMP.observation_blocks,
        Block("commanded direction, heading frame", 2),
        Block("commanded speed", 1, "m/s"),
    )
    reward_terms: ClassVar[dict[str, Term]] = {"heading": Term("1", "exp(-1/4 squared speed error), m/s")}

    env: HumanoidAMPHeadingEnvConfig

    @override
    def make_buffers(self) -> None:
        super().make_buffers()
        self.command = torch.zeros(self.num_envs, 3, device=self.device)
        """(N, 3) direction in the world's plane, speed in m/s."""

    @override
    def pre_physics_step(self, actions: Tensor) -> None:
        super().pre_physics_step(actions)
        changes = self.uniform(0.0, 1.0, 1) < 1.0 / self.env.headingChangeSteps
        self.command = torch.where(changes, self._commands(), self.command)

    @override
    def compute_observations(self) -> Tensor:
        return self._with_command(super().compute_observations())

    @override
    def first_observations(self) -> Tensor:
        return self._with_command(super().first_observations())

    @override
    def compute_reward(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        _, reasons = super().compute_reward()
        return {"heading": heading_reward(self.sim.qvel[:, :2], self.command)}, reasons

    @override
    def reset_where(self, mask: Tensor) -> None:
        self.command = torch.where(mask.unsqueeze(1), self._commands(), self.command)
        super().reset_where(mask)

    @override
    def extras(self) -> dict[str, Tensor]:
        """Return those of :class:`HumanoidAMP`, and ``true_objective`` (N,), the speed in the commanded direction."""
        along = (self.sim.qvel[:, :2] * self.command[:, :2]).sum(dim=1)
        return super().extras() | {"true_objective": along}

    def _commands(self) -> Tensor:
        """Return random commands (N, 3): any direction, speeds between the two limits."""
        drawn = self.uniform(0.0, 1.0, 2)
        angle = 2 * math.pi * drawn[:, 0]
        slowest, fastest = self.env.targetSpeedMin, self.env.targetSpeedMax
        speed = slowest + (fastest - slowest) * drawn[:, 1]
        return torch.stack((angle.cos(), angle.sin(), speed), dim=1)

    def _with_command(self, observation: Tensor) -> Tensor:
        direction = torch.nn.functional.pad(self.command[:, :2], (0, 1))
        seen = quat_rotate(heading_inverse(self.sim.qpos[:, 3:7]), direction)
        return torch.cat((observation, seen[:, :2], self.command[:, 2:]), dim=1)
