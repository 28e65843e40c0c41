"""Settings of the tasks, in IsaacGymEnvs' layout (``name``, ``physics_engine``, ``env``, ``sim``) and key names."""

# ruff: noqa: N815 (IsaacGymEnvs' key names)

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from manybody.config.section import Section
from manybody.config.types import expected


class EnvConfig(Section):
    """Section ``env``: what every task knows."""

    model_config = ConfigDict(allow_inf_nan=False)

    numEnvs: int = Field(default=4096, ge=1)
    """Number of environments N."""
    episodeLength: int = Field(default=1000, ge=1)
    """Control steps after which an episode is truncated. An episode has exactly this many steps."""
    staggerEpisodes: bool = True
    """Training only: the first episode of each environment begins at a random age, so that not all end in the same step
    and mean returns have no false peaks every ``episodeLength`` steps. A first episode that runs out of time is not
    counted. False: all environments begin at age 0."""
    clipObservations: float = Field(default=math.inf, gt=0, allow_inf_nan=True)
    """Observations are clamped to +- this."""
    clipActions: float = Field(default=1.0, gt=0)
    """Actions are clamped to +- this; 1 is full motor effort."""
    controlFrequencyInv: int = Field(default=1, ge=1)
    """Physics steps of ``sim.dt`` per action."""


class SimConfig(Section):
    """Section ``sim``."""

    model_config = ConfigDict(allow_inf_nan=False)

    dt: float = Field(default=0.0166, gt=0)
    """Seconds per physics step, divided into ``substeps``."""
    substeps: int = Field(default=2, ge=1)
    """Integrations per physics step."""
    gravity: tuple[float, float, float] = (0.0, 0.0, -9.81)
    """m/s^2."""


class TaskConfig(Section):
    """One task, as under ``task:`` in the Hydra tree."""

    name: str
    """The registered task."""
    physics_engine: Literal["mujoco"] = "mujoco"
    """The physics."""
    env: EnvConfig = EnvConfig()
    """Episode, clipping, reward scales."""
    sim: SimConfig = SimConfig()
    """Time steps and gravity."""


class CartpoleEnvConfig(EnvConfig):
    """Section ``env`` of Cartpole."""

    numEnvs: int = Field(default=512, ge=1)
    episodeLength: int = Field(default=500, ge=1)
    clipObservations: float = Field(default=5.0, gt=0)
    resetDist: float = Field(default=3.0, gt=0)
    """m from the centre at which the episode fails."""
    maxEffort: float = Field(default=400.0, gt=0)
    """N on the cart at action 1."""


class LocomotionEnvConfig(EnvConfig):
    """Section ``env`` of the running tasks. Defaults are Ant's."""

    powerScale: float = Field(default=1.0, ge=0)
    """Factor on every motor's torque."""
    aliveReward: float = 0.5
    """Reward per step for not having fallen (a constant in IsaacGymEnvs' code)."""
    headingWeight: float = 0.5
    """Reward per step for facing the target."""
    upWeight: float = 0.1
    """Reward per step for an upright torso."""
    actionsCost: float = 0.005
    """Cost per squared action."""
    energyCost: float = 0.05
    """Cost per |action x scaled joint velocity|."""
    dofVelocityScale: float = 0.2
    """Joint velocity (rad/s) to observation."""
    angularVelocityScale: float = 1.0
    """Torso angular velocity (rad/s) to observation."""
    contactForceScale: float = 0.1
    """Foot force (N) and torque (N m) to observation; joint torques too, where a task observes them."""
    jointsAtLimitCost: float = 0.1
    """Cost per joint at its limit."""
    deathCost: float = -2.0
    """Reward of the step in which the robot falls."""
    terminationHeight: float = 0.31
    """m; a torso below it has fallen."""


class HumanoidEnvConfig(LocomotionEnvConfig):
    """Section ``env`` of Humanoid."""

    aliveReward: float = 2.0
    actionsCost: float = 0.01
    dofVelocityScale: float = 0.1
    angularVelocityScale: float = 0.25
    contactForceScale: float = 0.01
    jointsAtLimitCost: float = 0.25
    deathCost: float = -1.0
    terminationHeight: float = 0.8


def _motions(value: object) -> object:
    several = value if isinstance(value, list | tuple) else [value]
    if not several or not all(isinstance(name, str) and name.strip() for name in several):
        raise expected("the name of a clip, a file, or a list of them that is not empty")
    return value


Motions = Annotated[str | tuple[str, ...], BeforeValidator(_motions)]
"""One clip or several, each by its name or its file."""


class HumanoidAMPEnvConfig(EnvConfig):
    """Section ``env`` of HumanoidAMP."""

    episodeLength: int = Field(default=300, ge=1)
    controlFrequencyInv: int = Field(default=2, ge=1)
    motion_file: Motions = "walk"
    """The motion to imitate: the name of a clip that comes with the library, a file of any format that
    ``manybody motion`` reads, several of them, or a YAML list with weights."""
    stateInit: Literal["Default", "Start", "Random", "Hybrid"] = "Random"
    """How episodes begin: standing with the arms out; at the start of a clip; anywhere in it; or either."""
    hybridInitProb: float = Field(default=0.5, ge=0, le=1)
    """Share of the episodes that ``Hybrid`` begins in a clip."""
    numAMPObsSteps: int = Field(default=2, ge=2)
    """Control steps in one input of the discriminator."""
    localRootObs: bool = False
    """Observe the root's rotation against its heading, instead of against the world."""
    contactBodies: tuple[str, ...] = ("right_foot", "left_foot")
    """Bodies that may touch the floor."""
    terminationHeight: float = Field(default=0.5, ge=0)
    """m; a body that touches the floor ends the episode when it is lower than this."""
    enableEarlyTermination: bool = True
    """False: a fall does not end the episode."""
    pdControl: Literal[True] = True
    """Actions are targets of PD drives. Kept for IsaacGymEnvs' files; torques are not available."""
    powerScale: float = 1.0
    """Kept for IsaacGymEnvs' files: no effect, because actions are targets, not torques."""


class HumanoidAMPHeadingEnvConfig(HumanoidAMPEnvConfig):
    """Section ``env`` of HumanoidAMPHeading."""

    localRootObs: bool = True
    targetSpeedMin: float = Field(default=0.8, ge=0)
    """m/s, the slowest that is commanded."""
    targetSpeedMax: float = Field(default=1.6, ge=0)
    """m/s, the fastest."""
    headingChangeSteps: int = Field(default=90, ge=1)
    """Control steps, on average, after which another direction and speed are commanded."""

    @classmethod
    def rules(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """The fastest is not slower than the slowest."""
        slowest = given.get("targetSpeedMin", 0.0)
        if given.get("targetSpeedMax", slowest) < slowest:
            yield "targetSpeedMax", f"at least targetSpeedMin, which is {slowest:g}"
        yield from super().rules(given)


class CartpoleConfig(TaskConfig):
    """Task Cartpole."""

    name: str = "Cartpole"
    env: CartpoleEnvConfig = CartpoleEnvConfig()


class AntConfig(TaskConfig):
    """Task Ant."""

    name: str = "Ant"
    env: LocomotionEnvConfig = LocomotionEnvConfig()


class HumanoidConfig(TaskConfig):
    """Task Humanoid."""

    name: str = "Humanoid"
    env: HumanoidEnvConfig = HumanoidEnvConfig()


class HumanoidAMPConfig(TaskConfig):
    """Task HumanoidAMP."""

    name: str = "HumanoidAMP"
    env: HumanoidAMPEnvConfig = HumanoidAMPEnvConfig()


class HumanoidAMPHeadingConfig(TaskConfig):
    """Task HumanoidAMPHeading."""

    name: str = "HumanoidAMPHeading"
    env: HumanoidAMPHeadingEnvConfig = HumanoidAMPHeadingEnvConfig()
