"""Settings in ``params.config`` of the on-policy algorithms, besides those that every algorithm shares."""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from manybody.config.algorithm import AlgorithmConfig, NameConfig
from manybody.config.section import Section
from manybody.config.types import Count, Flag, NoneWord, NotNegative, Number, Positive


class CentralValueConfig(Section):
    """A critic of its own, which sees ``obs['states']``: the asymmetric part of an actor-critic."""

    network: Any
    """Its network, as under ``params.network``, with ``central_value: True`` in it."""
    model: NameConfig = NameConfig(name="central_value")
    """Its model."""
    normalize_input: Flag
    """Normalise the states by running mean and variance."""
    learning_rate: Positive
    """Adam's step size."""
    lr_schedule: Literal["linear", "constant"] = "constant"
    """``linear`` falls to 1e-6 at the last epoch or frame."""
    mini_epochs: Count
    """Passes over the collected states per update."""
    minibatch_size: Annotated[Count | None, NoneWord] = None
    """States per gradient step, which divides horizon_length × num_actors; wins over the next key."""
    minibatch_size_per_env: Annotated[Count | None, NoneWord] = None
    """The same as states per environment."""
    clip_value: Flag
    """Clip the change of the value estimate."""
    e_clip: Positive = 0.2
    """Clipping range of the value."""
    weight_decay: NotNegative = 0.0
    """L2 penalty inside Adam."""
    truncate_grads: Flag = False
    """Clip the norm of the gradient to ``grad_norm``."""
    grad_norm: Positive = 1.0
    """Largest norm of the gradient."""
    freeze_critic: Flag = False
    """Do not train it."""
    mixed_precision: Flag = False
    """Run updates of its network in bfloat16 under autocast, where a measurement finds them faster."""


class SelfPlayConfig(Section):
    """When the policy becomes its own opponent."""

    update_score: Number
    """Mean return above which the present policy joins the opponents."""
    games_to_check: Count
    """Finished games that this mean needs."""
    check_scores: Flag = False
    """Judge by the mean of the environment's ``scores`` instead of the return."""
    env_update_num: Count = 1
    """Environments that get the newest opponent at each update, in turn."""
    pool_size: Count = 5
    """*New.* Number of past policies that are kept as opponents: the initial one and the newest."""


class OnPolicyConfig(AlgorithmConfig):
    """Proximal policy optimisation, for all kinds of actions."""

    ppo: Flag = True
    """False: the plain policy gradient, without clipping of the probability ratio."""
    tau: Annotated[Number, Field(ge=0, le=1)]
    """Lambda of generalised advantage estimation."""
    horizon_length: Count
    """Steps of each environment between updates (T)."""
    minibatch_size: Annotated[Count | None, NoneWord] = None
    """Samples per gradient step (M), which divides horizon_length × num_actors; wins over the next key."""
    minibatch_size_per_env: Annotated[Count | None, NoneWord] = None
    """The same as samples per environment: M = num_actors × this."""
    mini_epochs: Count
    """Passes over the collected samples per update."""
    shuffle_minibatches: Flag = False
    """*New.* Draw minibatches from the whole batch at random; False keeps RL Games' contiguous blocks."""
    normalize_value: Flag = False
    """Normalise value targets by running mean and variance."""
    normalize_advantage: Flag
    """Normalise advantages to mean 0 and deviation 1."""
    normalize_rms_advantage: Flag = False
    """Normalise advantages by moving statistics instead of those of the batch."""
    adv_rms_momentum: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """Weight of the old statistics in ``normalize_rms_advantage``."""

    learning_rate: Positive
    """Adam's step size at the start."""
    lr_schedule: Literal["adaptive", "linear", "constant"]
    """``adaptive`` follows the KL divergence, ``linear`` falls to ``min_lr`` at the last epoch or frame."""
    kl_threshold: Annotated[Positive | None, NoneWord] = None
    """Target KL of ``adaptive``, which requires it: the rate falls above twice and rises below half of it."""
    schedule_type: Literal["legacy", "per_minibatch", "standard", "standard_epoch"] = "legacy"
    """When ``adaptive`` acts: after each minibatch (``legacy``, also called ``per_minibatch``), after each
    mini-epoch (``standard``), or once per epoch (``standard_epoch``)."""
    schedule_entropy: Flag = False
    """Let the linear schedule drive ``entropy_coef`` too."""
    min_lr: Positive = 1e-6
    """Lowest rate of ``adaptive`` and ``linear``."""
    max_lr: Positive = 1e-2
    """Highest rate of ``adaptive``."""
    lr_multiplier: Annotated[Number, Field(gt=1)] = 1.5
    """Factor by which ``adaptive`` changes the rate."""
    weight_decay: NotNegative = 0.0
    """L2 penalty inside Adam."""
    truncate_grads: Flag = False
    """Clip the norm of the gradient to ``grad_norm``."""
    grad_norm: Annotated[Positive | None, NoneWord] = None
    """Largest norm of the gradient; required with ``truncate_grads``."""

    e_clip: Positive
    """Clipping range of the probability ratio, and of the value when ``clip_value`` is on."""
    clip_value: Flag
    """Clip the change of the value estimate like that of the policy."""
    use_smooth_clamp: Flag = False
    """Clip the ratio by a smooth function."""
    critic_coef: NotNegative
    """Weight of the value loss (of which one half is taken, as in RL Games)."""
    entropy_coef: Number
    """Weight of the entropy bonus."""

    seq_length: Count = 4
    """Steps of each environment that a recurrent network learns from together (L), which divides horizon_length
    and minibatch_size."""
    zero_rnn_on_done: Flag = True
    """Forget the recurrent state at the end of an episode."""
    central_value_config: Annotated[CentralValueConfig | None, NoneWord] = None
    """A critic of its own that sees more than the policy; None: the policy's own value head."""
    self_play_config: Annotated[SelfPlayConfig | None, NoneWord] = None
    """Play against past policies, in an environment that has another side."""
    use_experimental_cv: Flag = True
    """Train the policy's own value head too where there is a central value."""
    freeze_critic: Flag = False
    """Train neither the central value nor the normaliser of values."""

    use_diagnostics: Flag = False
    """Log explained variance, clip fractions and normaliser statistics."""

    def remarks(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Report which size of a minibatch has no effect if both are set."""
        for path, section in (((), self), (("central_value_config",), self.central_value_config)):
            if section is not None and None not in (section.minibatch_size, section.minibatch_size_per_env):
                what = f"has no effect: minibatch_size {section.minibatch_size} is given too and wins"
                yield (*path, "minibatch_size_per_env"), what
        yield from super().remarks()

    @property
    def batch_size(self) -> int:
        """Samples per update with one agent per environment: T · N."""
        return self.horizon_length * self.num_actors

    @property
    def resolved_minibatch_size(self) -> int:
        """Samples per gradient step (M), from the key that is set."""
        return self.minibatch_size or self.num_actors * (self.minibatch_size_per_env or 0)

    @classmethod
    def rules(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Minibatches divide the batch; what one setting needs from another is there."""
        if {"horizon_length", "num_actors", "minibatch_size", "minibatch_size_per_env"} <= given.keys():
            yield from _minibatch_rules(given)
        if given.get("lr_schedule") == "adaptive" and given.get("kl_threshold", 0) is None:
            yield "kl_threshold", "a number above 0, because lr_schedule is adaptive"
        if given.get("lr_schedule") == "linear" and given.get("max_epochs") == given.get("max_frames") == -1:
            yield "max_epochs", "a limit here or in max_frames, because lr_schedule is linear"
        if given.get("truncate_grads") and given.get("grad_norm", 0) is None:
            yield "grad_norm", "a number above 0, because truncate_grads is on"
        if given.get("min_lr", 0) > given.get("max_lr", float("inf")):
            yield "max_lr", f"at least min_lr, {given['min_lr']}"
        yield from super().rules(given)


class PPOConfig(OnPolicyConfig):
    """Proximal policy optimisation with continuous actions: ``params.config`` of ``a2c_continuous``."""

    clip_actions: Flag = True
    """Clip actions to ±1 and rescale them to the bounds of the action space; False: pass them on as they
    are."""
    bounds_loss_coef: Annotated[NotNegative | None, NoneWord] = None
    """Weight of the loss that keeps mean actions within bounds; None: no such loss."""
    bound_loss_type: Literal["bound", "regularisation"] = "bound"
    """``bound``: squared excess over ±1.1; ``regularisation``: squared mean action."""


class DiscretePPOConfig(OnPolicyConfig):
    """Proximal policy optimisation with discrete actions: ``params.config`` of ``a2c_discrete``."""

    use_action_masks: Flag = False
    """Choose only among what the environment allows in ``action_masks``."""
    use_experimental_cv: Flag = False
    """Train the policy's own value head too where there is a central value (RL Games' default here is false)."""


LARGEST_TEAM = 30
"""Agents in one environment up to which a minibatch may divide horizon_length × num_actors × agents only."""


def _minibatch_rules(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Checks M against T · N, as far as that is possible without knowing how many agents an environment has."""
    horizon, actors = given["horizon_length"], given["num_actors"]
    size, per_env = given["minibatch_size"], given["minibatch_size_per_env"]
    if size is not None:
        batch = horizon * actors
        if size // math.gcd(batch, size) > LARGEST_TEAM:
            near = _nearest_divisor(batch, size)
            product = f"horizon_length {horizon} x num_actors {actors}"
            yield "minibatch_size", f"a divisor of {batch} (= {product}), such as {near}"
    elif per_env is None:
        yield "minibatch_size", "a number here or in minibatch_size_per_env"
    elif horizon % per_env:
        near = _nearest_divisor(horizon, per_env)
        yield "minibatch_size_per_env", f"a divisor of horizon_length {horizon}, such as {near}"


def _nearest_divisor(number: int, wish: int) -> int:
    """The divisor of ``number`` nearest to ``wish``, in √number steps; for absurd numbers, some divisor."""
    if number > 2**40:
        return math.gcd(number, wish)
    small = [k for k in range(1, math.isqrt(number) + 1) if number % k == 0]
    return min((k for j in small for k in (j, number // j)), key=lambda k: abs(k - wish))
