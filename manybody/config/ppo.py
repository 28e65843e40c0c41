"""What stands under ``params.config`` for ``a2c_continuous``: RL Games' keys, with the defaults of 1.6.5.

Two defaults differ, each because the original is listed as a defect: ``torch_compile`` is off, and ``device``
(one setting for training and playing) is ``cpu``. ``player.games_num`` is 100 instead of 10⁹. The keys marked
*new* do not exist in RL Games.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator

from manybody.config.base import Section
from manybody.config.types import (
    Bound,
    Device,
    Flag,
    ForeignSection,
    FreeMapping,
    ImportPath,
    NoneWord,
    Number,
    Text,
    Whole,
    expected,
)

Count = Annotated[Whole, Field(ge=1)]
"""At least one."""
Positive = Annotated[Number, Field(gt=0)]
"""Above zero."""
NotNegative = Annotated[Number, Field(ge=0)]
"""Zero or above."""


def _limit(value: int) -> int:
    if value != -1 and value < 1:
        raise expected("-1 (no limit) or at least 1")
    return value


def _compile_mode(value: Any) -> bool | str:
    if isinstance(value, Mapping):  # RL Games' {mode, critic_mode}; the second is for a central value
        value = value.get("mode", True)
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    modes = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
    if isinstance(value, bool) or value in modes:
        return value
    raise expected(f"true, false or a mode of torch.compile: {', '.join(modes)}")


Limit = Annotated[Whole, AfterValidator(_limit)]
"""A number of epochs or frames, -1 for no limit."""
CompileMode = Annotated[bool | str, PlainValidator(_compile_mode)]
"""Whether to compile, and how."""


class RewardShaperConfig(Section):
    """How rewards are changed before they are learned from: add, multiply, clip, logarithm, in this order."""

    scale_value: Number = 1.0
    """Factor."""
    shift_value: Number = 0.0
    """Added before the factor acts."""
    min_val: Bound = float("-inf")
    """Lower end of the clipping range."""
    max_val: Bound = float("inf")
    """Upper end of the clipping range."""
    log_val: Flag = False
    """Take the natural logarithm at the end."""
    is_torch: Flag = True
    """Kept for RL Games files; rewards are always tensors here."""

    @classmethod
    def rules(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """The clipping range is not empty."""
        if given.get("min_val", 0) > given.get("max_val", float("inf")):
            yield "max_val", f"at least min_val, {given['min_val']}"


class PlayerConfig(Section):
    """How a trained policy is played."""

    render: Flag = False
    """Kept for RL Games files; there is no viewer here, ``manybody play video=True`` films instead."""
    render_sleep: NotNegative = 0.002
    """Kept for RL Games files, like ``render``."""
    games_num: Count = 100
    """Episodes to play before the statistics are printed. RL Games plays 2000 (1.6.1) or 10⁹ (1.6.5)."""
    n_game_life: Count = 1
    """Lives that make one game, for environments that end an episode at each lost life."""
    deterministic: Flag = True
    """Act with the policy's mean; False: sample."""
    print_stats: Flag = True
    """Print return and length as episodes end."""
    use_vecenv: Flag = False
    """Kept for RL Games files; playing always uses the vectorised environment here."""
    env_config: Annotated[FreeMapping | None, NoneWord] = None
    """Arguments of the environment while playing, instead of the training ones."""


class PPOConfig(Section):
    """Proximal policy optimisation with continuous actions: ``params.config`` of ``a2c_continuous``."""

    name: Text
    """Name of the experiment: part of the run folder's and the checkpoints' names."""
    env_name: Text
    """The environment's registered name (``rlgpu`` in IsaacGymEnvs' files)."""
    env_config: FreeMapping = ForeignSection()
    """Arguments for creating the environment; its keys belong to the environment."""
    num_actors: Count
    """Number of environments that run side by side (N)."""
    reward_shaper: RewardShaperConfig = RewardShaperConfig()
    """How rewards are scaled before they are learned from."""
    features: FreeMapping = ForeignSection()
    """RL Games' block for observers; kept for clients, nothing in it is read here."""

    device: Device = "cpu"
    """Where training and playing happen. One setting; ``device_name`` is its old second name."""
    multi_gpu: Flag = False
    """Train in several processes; not available in this version."""
    mixed_precision: Flag = False
    """Run the network in bfloat16 under autocast; all else stays float32."""
    torch_compile: CompileMode = False
    """Compile the hot parts: false, true, or a mode of ``torch.compile``."""

    ppo: Flag = True
    """False: the plain policy gradient, without clipping of the probability ratio."""
    gamma: Annotated[Number, Field(gt=0, le=1)]
    """Discount factor per step."""
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
    epochs_between_resets: Annotated[Whole, Field(ge=0)] = 0
    """Reset all environments every so many epochs; 0: never."""
    clip_actions: Flag = True
    """Clip actions to ±1 and rescale them to the bounds of the action space; False: pass them on as they
    are."""
    value_bootstrap: Flag = True
    """Add the discounted value of the last observation to the reward of an episode that ran out of time."""

    normalize_input: Flag = False
    """Normalise observations by running mean and variance."""
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
    """``adaptive`` follows the KL divergence, ``linear`` falls to 0 at the last epoch or frame."""
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
    bounds_loss_coef: Annotated[NotNegative | None, NoneWord] = None
    """Weight of the loss that keeps mean actions within bounds; None: no such loss."""
    bound_loss_type: Literal["bound", "regularisation"] = "bound"
    """``bound``: squared excess over ±1.1; ``regularisation``: squared mean action."""

    max_epochs: Limit = -1
    """Stop after so many epochs; -1: no limit."""
    max_frames: Limit = -1
    """Stop after so many environment steps, all environments counted; -1: no limit."""
    score_to_win: Annotated[Number | None, NoneWord] = None
    """Stop when the mean return reaches this."""
    stop_fn: Annotated[ImportPath | None, NoneWord] = None
    """``package.module:function``, asked after each epoch whether to stop."""
    games_to_track: Count = 100
    """Finished episodes in the moving mean of return and length."""

    guard: Literal["quarantine", "skip", "rollback", "abort"] = "quarantine"
    """*New.* What happens when NaN or infinity shows up. ``quarantine``: neutralise the samples of that
    environment and leave out minibatches whose gradient is not finite. ``skip``: leave out the whole update
    of an epoch whose data were not finite. ``rollback``: return to the weights and optimiser of the last good
    epoch. ``abort``: save and stop."""

    save_frequency: Annotated[Whole, Field(ge=0)] = 0
    """Save ``last_*`` every so many epochs; 0: only at the end."""
    save_best_after: Annotated[Whole, Field(ge=0)] = 100
    """Epochs before the best policy is saved for the first time."""
    keep_checkpoints: Count = 5
    """*New.* How many periodic ``last_*`` files stay; older ones are deleted."""
    train_dir: Text = "runs"
    """Folder in which run folders are made."""
    full_experiment_name: Annotated[Text | None, NoneWord] = None
    """Exact name of the run folder; None: name and time."""
    print_stats: Flag = True
    """Print a line per epoch."""
    use_diagnostics: Flag = False
    """Log explained variance, clip fractions and normaliser statistics."""

    player: PlayerConfig = PlayerConfig()
    """How the trained policy is played."""

    @property
    def batch_size(self) -> int:
        """Samples per update with one agent per environment: T · N."""
        return self.horizon_length * self.num_actors

    @property
    def resolved_minibatch_size(self) -> int:
        """Samples per gradient step (M), from whichever of the two keys was given."""
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
        if given.get("multi_gpu"):
            yield "multi_gpu", "false: this version trains in one process"


def _minibatch_rules(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Checks M against T · N; an environment with several agents multiplies both sides that matter here."""
    horizon, actors = given["horizon_length"], given["num_actors"]
    size, per_env = given["minibatch_size"], given["minibatch_size_per_env"]
    if size is not None:
        batch = horizon * actors
        if batch % size:
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
