"""Keys of RL Games, IsaacGymEnvs and Isaac Lab files that have another name here, no effect, or are refused.

An entry acts only where the section's schema refuses the key or the value, so a third-party schema may define any of
these names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from manybody.config.errors import Problems, notify, shown

Path = tuple[str | int, ...]
"""Keys, and indices of lists, below the root."""


@dataclass(frozen=True)
class Renamed:
    """An old name of ``to``."""

    to: str


@dataclass(frozen=True)
class NoEffect:
    """A key that changes nothing."""

    why: str
    silent: bool = False
    """Ignoring it is harmless, so there is no notice."""


@dataclass(frozen=True)
class Refused:
    """A key that cannot act. Values that ask for nothing (null, false, 0, empty) are dropped without a notice."""

    why: str


Entry = Renamed | NoEffect | Refused

_idle = partial(NoEffect, silent=True)
_NOTHING = ("", "false", "no", "off", "none", "null", "no_pbt")
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
    # task
    ("task", "env", "envSpacing"): _idle("environments are simulated separately; there is no grid"),
    ("task", "env", "enableDebugVis"): _idle("there is no viewer to draw debug lines in"),
    ("task", "env", "cameraFollow"): _idle("cameras follow the robot"),
    ("task", "env", "enableCameraSensors"): _idle("videos are rendered off-screen from a copy of one environment"),
    ("task", "env", "asset"): _idle("each task brings its own model in manybody/tasks/assets"),
    ("task", "env", "plane"): _idle("friction is written in the task's model"),
    ("task", "env", "numObservations"): _idle("follows from the task"),
    ("task", "env", "numActions"): _idle("follows from the task"),
    ("task", "env", "numStates"): _idle("follows from the task"),
    ("task", "sim", "up_axis"): _idle("z is up"),
    ("task", "sim", "use_gpu_pipeline"): _idle("sim_device alone decides where physics runs"),
    ("task", "sim", "physx"): _idle("solver settings are written in the task's model"),
    ("task", "sim", "flex"): _idle("solver settings are written in the task's model"),
    ("task", "task"): Refused("domain randomisation is not available; set task.randomize to False"),
}
"""Key path below ``params``, or of the task, to what happens to the key."""

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
"""Key path below ``params`` to values that have another spelling here."""

WHAT_RL_GAMES_DOES: Mapping[Any, str] = {
    "fixed": "RL Games does not know the word and keeps the rate constant too",
    "polynom_decay": "RL Games does not know the word and keeps the rate constant too",
    "regularization": "RL Games does not know this spelling and adds no such loss, as bounds_loss_coef: 0 does",
}
"""What RL Games does with an old value."""

LSTM_MODELS: Mapping[str, str] = {
    "continuous_a2c_lstm": "continuous_a2c",
    "continuous_a2c_lstm_logstd": "continuous_a2c_logstd",
    "discrete_a2c_lstm": "discrete_a2c",
}
"""Models of RL Games before 1.0, whose network has a block ``lstm``, to those that a block ``rnn`` makes recurrent."""

NOT_YET: Mapping[str, str] = {"tcnnnet": "network", "continuous_a2c_tanh": "model"}
"""Names that RL Games registers and this version does not have, and what they are."""

_NO_WANDB = NoEffect("nothing is sent to Weights & Biases")
_IN_MODEL = NoEffect("solver settings are written in the task's model")

ROOT: Mapping[str, NoEffect | Refused] = {
    "pipeline": NoEffect("tensors live where sim_device says"),
    "graphics_device_id": NoEffect("videos are rendered off-screen by the renderer that MUJOCO_GL selects"),
    "force_render": NoEffect("there is no viewer"),
    "solver_type": _IN_MODEL,
    "num_subscenes": _IN_MODEL,
    "hydra": NoEffect("run folders are made by the training, not by Hydra"),
    "asymmetric_obs": NoEffect("a critic that sees more than the policy is central_value_config"),
    "wandb_group": _NO_WANDB,
    "wandb_entity": _NO_WANDB,
    "wandb_name": _NO_WANDB,
    "wandb_project": _NO_WANDB,
    "wandb_tags": _NO_WANDB,
    "wandb_logcode_dir": _NO_WANDB,
    "wandb_activate": Refused(
        "there is no Weights & Biases here; a run keeps metrics.jsonl and TensorBoard's summaries/"
    ),
    "horovod": Refused("there is no Horovod here; training is one process"),
    "pbt": Refused("there is no population based training here"),
    "full_experiment_name": Refused("write experiment=<name>, which names the run folder exactly"),
}
"""Keys of IsaacGymEnvs next to ``task`` and ``train``, also written ``pbt.workspace`` and ``pbt/mutation``."""


def asks_for_nothing(value: object) -> bool:
    """Whether a value of a refused key changes nothing."""
    if isinstance(value, Mapping):
        value = value.get("enabled", value.get("randomize", value))
    return value in (None, False, {}, []) or str(value).strip().lower() in _NOTHING


def report_root_key(key: str, value: object, problems: Problems, place: str | None = None) -> bool:
    """Report a key of :data:`ROOT`, by a problem if its value asks for something, otherwise by a warning.

    Args:
        key: as written.
        value: of the key.
        problems: the problem is added here.
        place: ``file:line`` of the key.

    Returns:
        Whether ``key`` is such a key.
    """
    root = key.replace("/", ".").partition(".")[0]
    if root not in ROOT:
        return False
    entry = ROOT[root]
    if isinstance(entry, Refused) and key == root and not asks_for_nothing(value):
        problems.add(key, f"got {shown(value)}; {entry.why}", place)
    else:
        notify(f"{key}{f' ({place})' if place else ''}: has no effect: {entry.why}")
    return True
