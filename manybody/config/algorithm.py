"""Settings in ``params.config`` that every algorithm shares: RL Games' keys, with the defaults of 1.6.5.

Two defaults differ: ``torch_compile`` is off, and ``device``, one setting for training and playing, is ``cpu``
(docs/from_rl_games.md says why). ``player.games_num`` is 100 instead of 10⁹. The keys marked
*new* do not exist in RL Games.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator

from manybody.config.section import Section
from manybody.config.types import (
    Bound,
    Count,
    Device,
    EmptyBlock,
    Flag,
    ForeignSection,
    FreeMapping,
    ImportPath,
    NoneWord,
    NotNegative,
    Number,
    Text,
    Whole,
    expected,
)


def _limit(value: int) -> int:
    if value != -1 and value < 1:
        raise expected("-1 (no limit) or at least 1")
    return value


def _compile_mode(value: object) -> bool | str:
    if isinstance(value, Mapping):  # RL Games' {mode, critic_mode}; the second is for a central value
        value = value.get("mode", True)
    modes = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
    if isinstance(value, str) and value in modes:
        return value
    if str(value).strip().lower() in ("true", "false"):
        return str(value).strip().lower() == "true"
    raise expected(f"true, false or a mode of torch.compile: {', '.join(modes)}")


Limit = Annotated[Whole, AfterValidator(_limit)]
"""A number of epochs or frames, -1 for no limit."""
CompileMode = Annotated[bool | str, PlainValidator(_compile_mode)]
"""Whether to compile, and how."""


class NameConfig(Section):
    """A section that holds only the name of what to use."""

    name: Text
    """The registered name."""


class RewardShaperConfig(Section):
    """How rewards are changed before learning: add, multiply, clip, logarithm, in this order."""

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
    """No effect: there is no viewer here; ``manybody play video=True`` films instead."""
    render_sleep: NotNegative = 0.002
    """No effect."""
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


class AlgorithmConfig(Section):
    """The keys that every algorithm shares: environments, device, limits, files, playing."""

    name: Text
    """Name of the experiment: part of the run folder's and the checkpoints' names."""
    env_name: Text
    """The environment's registered name (``rlgpu`` in IsaacGymEnvs' files)."""
    env_config: FreeMapping = ForeignSection()
    """Arguments for creating the environment; its keys belong to the environment."""
    vecenv_type: Annotated[Text | None, NoneWord] = None
    """Who makes the environments, where ``env_name`` is not registered: RL Games' ``RAY``, ``GYMNASIUM``, ``ENVPOOL``
    or ``MJLAB``, or your own type (``vecenv.register``)."""
    algo_observer: Annotated[
        Literal["default", "isaac", "DefaultAlgoObserver", "IsaacAlgoObserver"] | None, NoneWord
    ] = None
    """The observer, if ``Runner`` gets none. Both log the same: every run logs what the environment reports."""
    num_actors: Count
    """Number of environments that run side by side (N)."""
    reward_shaper: Annotated[RewardShaperConfig, EmptyBlock] = RewardShaperConfig()
    """How rewards are scaled before learning."""
    features: FreeMapping = ForeignSection()
    """RL Games' block for observers; kept for clients, nothing in it is read here."""

    device: Device = "cpu"
    """Where training and playing happen. One setting; ``device_name`` is its old second name."""
    multi_gpu: Flag = False
    """Train in several processes; not available in this version."""
    mixed_precision: Flag = False
    """Run updates of the network in bfloat16 under autocast where a measurement at the start finds them faster; all
    else stays float32. The log says which was taken, and a resumed run takes the same."""
    torch_compile: CompileMode = False
    """Compile the hot parts: false, true, or a mode of ``torch.compile``."""

    gamma: Annotated[Number, Field(gt=0, le=1)]
    """Discount factor per step."""
    epochs_between_resets: Annotated[Whole, Field(ge=0)] = 0
    """Reset all environments every so many epochs; 0: never."""
    value_bootstrap: Flag = True
    """Add the discounted value of the last observation to the reward of an episode that ran out of time."""

    normalize_input: Flag = False
    """Normalise observations by running mean and variance."""
    max_epochs: Limit = -1
    """Stop after so many epochs; -1: no limit."""
    max_frames: Limit = -1
    """Stop after so many environment steps, all environments counted; -1: no limit."""
    score_to_win: Annotated[Number | None, NoneWord] = None
    """Stop when the mean return reaches this."""
    stop_fn: Annotated[ImportPath | None, NoneWord] = None
    """``package.module:function``, called after each epoch; training stops if it returns true."""
    games_to_track: Count = 100
    """Finished episodes in the moving mean of return and length. ``score_to_win`` and the best policy need as many as
    there are environments (times agents), at least 10, at most this number; the next best policy needs as many more."""

    guard: Literal["quarantine", "skip", "rollback", "abort"] = "quarantine"
    """*New.* What happens when NaN or infinity shows up. ``quarantine``: replace the values of that
    environment in this step by zeros and end its episode there; leave out minibatches whose gradient is not
    finite. ``skip``: leave out the whole update of an epoch whose data were not finite. ``rollback``: return
    to the weights and optimiser of the last good epoch. ``abort``: save and stop."""

    save_frequency: Annotated[Whole, Field(ge=0)] = 0
    """Save ``last_*`` every so many epochs; 0: only at the end."""
    save_best_after: Annotated[Whole, Field(ge=0)] = 100
    """Epochs before the best policy is saved for the first time."""
    keep_checkpoints: Annotated[Count | None, NoneWord] = None
    """*New.* How many ``last_*`` files stay; older ones are deleted. None: all stay."""
    train_dir: Text = "runs"
    """Folder in which run folders are made; ``~`` and ``$NAME`` in it are expanded."""
    full_experiment_name: Annotated[Text | None, NoneWord] = None
    """Exact name of the run folder; None: name and time."""
    print_stats: Flag = True
    """Print a line per epoch."""
    player: Annotated[PlayerConfig, EmptyBlock] = PlayerConfig()
    """How the trained policy is played."""

    @classmethod
    def rules(cls, given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
        """One process."""
        if given.get("multi_gpu"):
            yield "multi_gpu", "false: this version trains in one process"
