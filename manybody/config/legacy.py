"""Keys of RL Games, IsaacGymEnvs and Isaac Lab files that are spelled otherwise here, do nothing, or cannot
work.

Each has a sentence. An entry acts only where the section's schema does not have the key itself, so that a
third-party schema may define any of these names, and a feature that arrives takes its key back by declaring
the field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
"""Keys, and indices of lists, below the root."""


@dataclass(frozen=True)
class Renamed:
    """An old spelling: the value moves to ``to``, with a notice."""

    to: str


@dataclass(frozen=True)
class NoEffect:
    """A key that changes nothing; it is dropped, with a notice that says why."""

    why: str


@dataclass(frozen=True)
class Refused:
    """A key that cannot be obeyed. Values that ask for nothing (null, false, 0, empty) are dropped in
    silence.
    """

    why: str


Entry = Renamed | NoEffect | Refused

_NOT_YET = "is not available in this version of manybody"
_NEVER_READ = "RL Games accepts it and never reads it"
_CONTINUOUS = NoEffect("it acts on continuous actions only")
_NOT_IN_CENTRAL = NoEffect("RL Games accepts it here and never reads it")
_SUMMARIES = NoEffect("it tunes RL Games' rate limit for TensorBoard writes, which is not needed here")

TABLE: Mapping[Path, Entry] = {
    ("pbt",): NoEffect("population based training is started from outside"),
    # params.config
    ("config", "seq_len"): Renamed("seq_length"),
    ("config", "bptt_length"): NoEffect("gradients always reach back over seq_length steps"),
    ("config", "max_steps"): Renamed("max_frames"),
    ("config", "device_name"): Renamed("device"),
    ("config", "ignore_dead_batches"): NoEffect(_NEVER_READ),
    ("config", "force_interval_writer"): NoEffect(_NEVER_READ),
    ("config", "num_seed_steps"): NoEffect(_NEVER_READ),
    ("config", "rnd_config"): NoEffect("this algorithm has no random network distillation"),
    ("config", "max_env_steps"): NoEffect("the environment says which episodes were cut short"),
    ("config", "network_path"): NoEffect("checkpoints are in the run folder, under train_dir"),
    ("config", "log_path"): NoEffect("logs are in the run folder, under train_dir"),
    ("config", "is_train"): NoEffect("training or playing is chosen on the command line"),
    ("config", "self_play"): NoEffect(_NEVER_READ),
    ("config", "pbt_idx"): NoEffect("it acts with population based training only"),
    ("config", "defer_summaries_sec"): _SUMMARIES,
    ("config", "summaries_interval_sec_min"): _SUMMARIES,
    ("config", "summaries_interval_sec_max"): _SUMMARIES,
    ("config", "capability_manifest"): NoEffect("checkpoints are versioned here"),
    ("config", "multi_gpu_sync_stats"): NoEffect("it acts in several processes only"),
    ("config", "multi_gpu_sync_stats_mode"): NoEffect("it acts in several processes only"),
    ("config", "ray_config"): NoEffect("nothing runs on Ray here"),
    ("config", "population_based_training"): Refused(f"population based training {_NOT_YET}"),
    ("config", "use_action_masks"): Refused("masks are for discrete actions"),
    ("config", "clip_actions"): _CONTINUOUS,
    ("config", "bounds_loss_coef"): _CONTINUOUS,
    ("config", "bound_loss_type"): _CONTINUOUS,
    ("config", "central_value_config", "kl_threshold"): _NOT_IN_CENTRAL,
    ("config", "central_value_config", "schedule_type"): _NOT_IN_CENTRAL,
    ("config", "central_value_config", "use_smooth_clamp"): _NOT_IN_CENTRAL,
    ("config", "central_value_config", "gamma"): _NOT_IN_CENTRAL,
    ("config", "central_value_config", "tau"): _NOT_IN_CENTRAL,
    ("config", "central_value_config", "entropy_coef"): _NOT_IN_CENTRAL,
    ("config", "central_value_config"): Refused("sac has no central value: its critics see what its policy sees"),
    ("config", "self_play_config"): Refused("sac does not play against past selves"),
    ("config", "learning_rate"): Refused("sac has actor_lr, critic_lr and alpha_lr instead"),
    ("config", "env_info"): Refused("a live object is an argument of the agent, not a setting"),
    ("config", "vec_env"): Refused("a live object is an argument of the agent, not a setting"),
    ("config", "import_modules"): Refused(f"importing modules by configuration {_NOT_YET}; import them before running"),
    ("config", "default_env_config"): Refused("write its keys into env_config"),
    ("config", "player", "determenistic"): Renamed("deterministic"),
    ("config", "player", "evaluation"): Refused(f"the checkpoint-watching player {_NOT_YET}"),
    ("config", "player", "device_name"): NoEffect("RL Games reads it nowhere; write device"),
    ("config", "player", "update_checkpoint_freq"): NoEffect("it acts with player.evaluation only"),
    ("config", "player", "dir_to_monitor"): NoEffect("it acts with player.evaluation only"),
    ("config", "player", "balance_env_rewards"): Refused(f"balancing games between environments {_NOT_YET}"),
    ("config", "determenistic"): NoEffect("RL Games reads it nowhere; write player.deterministic"),
    # params.network
    ("network", "lstm"): NoEffect(_NEVER_READ),
    ("network", "inputs"): NoEffect(
        "IsaacGymEnvs' environments read it, not this network; it sees the whole observation"
    ),
    ("network", "joint_obs_actions"): NoEffect(_NEVER_READ),
    ("network", "rnn"): Refused("soft_actor_critic keeps no state between steps"),
    ("network", "cnn"): Refused("soft_actor_critic has no convolutions"),
    ("network", "mlp", "regularizer"): NoEffect(_NEVER_READ),
    ("network", "mlp", "normalization"): NoEffect("write it one level up, as network.normalization"),
    ("network", "value_shape"): NoEffect("the number of value heads is the environment's value_size"),
    ("network", "require_rewards"): Refused("no environment here shows the network its last reward; leave it out"),
    ("network", "require_last_actions"): Refused("no environment here shows the network its last action; leave it out"),
    ("network", "cnn", "regularizer"): NoEffect(_NEVER_READ),
    ("network", "cnn", "normalization"): NoEffect("write it one level up, as network.normalization"),
    ("network", "cnn", "activation"): NoEffect(f"resnet_actor_critic uses relu inside its blocks; {_NEVER_READ}"),
    ("network", "cnn", "initializer"): NoEffect(
        f"resnet_actor_critic draws its convolutions by kaiming_normal, fan_out; {_NEVER_READ}"
    ),
    ("network", "mlp", "initializer", "value"): Renamed("val"),
    ("network", "space", "continuous", "mu_init", "value"): Renamed("val"),
    ("network", "space", "continuous", "sigma_init", "value"): Renamed("val"),
}
"""Key path under ``params`` and what becomes of it."""

OLD_VALUES: Mapping[Path, Mapping[Any, str]] = {
    ("config", "lr_schedule"): {
        None: "constant",
        "None": "constant",
        "none": "constant",
        "identity": "constant",
        "fixed": "constant",
        "polynom_decay": "constant",
    },
    ("config", "bound_loss_type"): {"regularization": "regularisation"},
    ("config", "central_value_config", "lr_schedule"): {
        None: "constant",
        "None": "constant",
        "none": "constant",
        "identity": "constant",
        "adaptive": "constant",
        "fixed": "constant",
    },
}
"""Values that are spelled otherwise here; they are replaced, with a notice."""

WHAT_RL_GAMES_DOES: Mapping[Any, str] = {
    "fixed": "RL Games does not know the word and keeps the rate constant too",
    "polynom_decay": "RL Games does not know the word and keeps the rate constant too",
    "regularization": "RL Games does not know this spelling and adds no such loss, as bounds_loss_coef: 0 does",
}
"""Old value to what is worth knowing about it."""

LSTM_MODELS: Mapping[str, str] = {
    "continuous_a2c_lstm": "continuous_a2c",
    "continuous_a2c_lstm_logstd": "continuous_a2c_logstd",
    "discrete_a2c_lstm": "discrete_a2c",
}
"""Models of RL Games before 1.0, whose network has a block ``lstm``, to those that a block ``rnn`` makes recurrent."""

NOT_YET: Mapping[str, frozenset[str]] = {
    "algo": frozenset(),
    "network": frozenset({"tcnnnet"}),
    "model": frozenset({"continuous_a2c_tanh"}),
}
"""Names that RL Games registers and this version does not have."""
