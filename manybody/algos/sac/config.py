"""Settings in ``params.config`` and ``params.network`` of ``sac``, with the defaults of RL Games 1.6.5."""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from manybody.config.algorithm import AlgorithmConfig
from manybody.config.network import MLPConfig
from manybody.config.section import Section
from manybody.config.types import (
    Count,
    Flag,
    ForeignSection,
    FreeMapping,
    NoneWord,
    NotNegative,
    Number,
    Positive,
    Text,
    Whole,
    expected,
)

Betas = tuple[Annotated[Number, Field(ge=0, lt=1)], Annotated[Number, Field(ge=0, lt=1)]]
"""How slowly Adam forgets the mean and the square of gradients."""


class SACConfig(AlgorithmConfig):
    """Soft actor-critic: ``params.config`` of ``sac``. An epoch is ``num_steps_per_episode`` steps."""

    num_actors: Count = 1
    """Number of environments that run side by side (N)."""
    gamma: Annotated[Number, Field(gt=0, le=1)] = 0.99
    """Discount factor per step."""
    num_steps_per_episode: Count = 1
    """Steps of each environment per epoch; the name is RL Games'."""
    save_best_after: Annotated[Whole, Field(ge=0)] = 500
    """Epochs before the best policy is saved for the first time."""

    batch_size: Count
    """Transitions per gradient step (M)."""
    replay_buffer_size: Count
    """Transitions that are remembered, over all environments; the oldest are overwritten."""
    save_replay_buffer: Flag = False
    """Save the replay buffer in every checkpoint, so that a resumed run is identical. Without it a
    resumed run first collects as many transitions as the warm-up did."""
    num_warmup_frames: Annotated[Annotated[Whole, Field(ge=0)] | None, NoneWord] = None
    """Environment steps with random actions before learning begins, all environments counted; wins over the next
    key."""
    num_warmup_steps: Annotated[Whole, Field(ge=0)] = 1000
    """The same in epochs."""
    num_updates_per_step: Count = 1
    """Gradient steps per step of all environments."""
    utd_ratio: Annotated[Positive | None, NoneWord] = None
    """Gradient steps per environment step, each environment counted (updates to data); wins over
    ``num_updates_per_step``. 4096 environments with 0.001 make about 4 gradient steps per step of all."""
    n_step: Count = 1
    """*New.* Rewards that are added up before the critic's estimate takes over; stops at the end of an episode."""

    actor_lr: Positive
    """Adam's step size for the actor."""
    critic_lr: Positive
    """Adam's step size for both critics."""
    alpha_lr: Positive
    """Adam's step size for the logarithm of the temperature."""
    actor_betas: Betas = (0.9, 0.999)
    """Adam's betas for the actor."""
    critic_betas: Betas = (0.9, 0.999)
    """Adam's betas for the critics."""
    alphas_betas: Betas = (0.9, 0.999)
    """Adam's betas for the temperature."""
    weight_decay: NotNegative = 0.0
    """L2 penalty inside Adam on the actor and the critics. RL Games reads it and does not use it."""
    critic_grad_clip: NotNegative = 5.0
    """Largest norm of the critics' gradient; 0: no limit."""
    critic_tau: Annotated[Number, Field(gt=0, le=1)] = 0.005
    """Share of the critics that the target critics take over at each gradient step."""
    policy_frequency: Count = 2
    """The actor and the temperature learn at every so many gradient steps of the critics."""

    init_alpha: Positive = 1.0
    """Temperature (weight of the entropy) at the start."""
    learnable_temperature: Flag = True
    """Adapt the temperature so that the policy keeps the target entropy; False: it stays ``init_alpha``."""
    target_entropy_coef: Number = 1.0
    """The target entropy is minus this times the number of actions, for actions in [-1, 1]."""

    @classmethod
    def rules(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """One step of every environment fits into the replay buffer."""
        if {"replay_buffer_size", "num_actors", "n_step"} <= given.keys():
            least = given["num_actors"] * given["n_step"]
            if given["replay_buffer_size"] < least:
                yield "replay_buffer_size", f"at least num_actors x n_step, {least}"
        capacity = given.get("replay_buffer_size", math.inf)
        if given.get("batch_size", 0) > capacity:
            yield "batch_size", f"at most replay_buffer_size, {capacity}"
        yield from super().rules(given)


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] >= value[1]:
        raise expected("[lower, upper] with lower < upper")
    return value


def _true(value: bool) -> bool:
    if not value:
        raise expected("True: the critics of sac have layers of their own (RL Games builds none with False)")
    return value


class SACSpaceConfig(Section):
    """The kind of action: always continuous."""

    continuous: FreeMapping = ForeignSection()
    """Kept for RL Games files, where it stands empty."""


class SACNetworkConfig(Section):
    """The ``soft_actor_critic`` network: an actor, two critics and their slow copies, with equal hidden layers."""

    name: Text
    """The network's registered name."""
    separate: Annotated[Flag, AfterValidator(_true)] = True
    """Always True: actor and critics share no layers."""
    mlp: MLPConfig
    """The hidden layers of each."""
    normalization: Annotated[Literal["layer_norm"] | None, NoneWord] = None
    """Normalisation after each hidden layer. Batches of the critics mix old and new policies, so ``batch_norm`` is not
    offered."""
    log_std_bounds: Annotated[tuple[Number, Number], AfterValidator(_ascending)] = (-5.0, 2.0)
    """Range of the logarithm of the policy's deviation, which a tanh keeps to."""
    space: SACSpaceConfig = SACSpaceConfig()
    """The kind of action."""
