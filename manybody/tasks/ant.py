"""Ant: a four-legged body with eight motors runs to a far target (IsaacGymEnvs' Ant)."""

from torch import Tensor
from typing_extensions import override

from manybody.config.task import AntConfig
from manybody.tasks.locomotion import Locomotion, body_blocks
from manybody.tasks.terms import Block

AT_LIMIT = 0.99
"""Joint angle, scaled to [-1, 1], above which a joint counts as at its upper limit."""


class Ant(Locomotion):
    """60 observations, 8 actions, 60 Hz. Termination: torso below 0.31 m."""

    Config = AntConfig
    asset = "ant.xml"
    num_observations = 60
    num_actions = 8
    start_height = 0.44
    observation_blocks = body_blocks(8, Block("force and torque in each ankle", 24, "N, N m x contactForceScale"))

    @override
    def joints_at_limit_cost(self, unscaled: Tensor) -> Tensor:
        """Return the cost (N,): a weight per joint above AT_LIMIT (only the upper limit, as in IsaacGymEnvs)."""
        return self.env.jointsAtLimitCost * (unscaled > AT_LIMIT).sum(dim=1)
