"""``LegacyAgent``: construction of agents with RL Games' interface, from a client's dictionary."""

import os
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from typing_extensions import override

from manybody.algos.a2c.config import CentralValueConfig
from manybody.algos.session import Session
from manybody.compat.agent_state import AgentState
from manybody.compat.environments import create_legacy_env
from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.compat.rl_games.algos_torch.model_builder import ModelBuilder
from manybody.compat.rl_games.algos_torch.moving_mean_std import GeneralizedMovingStats
from manybody.compat.rl_games.algos_torch.self_play_manager import SelfPlayManager
from manybody.compat.rl_games.common import common_losses, schedulers
from manybody.compat.rl_games.common.diagnostics import DefaultDiagnostics, PpoDiagnostics
from manybody.compat.settings import LegacyConfig, legacy_config, plain, record, rewards_shaper, without_objects
from manybody.compat.writer import LegacyWriter
from manybody.config import ConfigError, Problem
from manybody.config.files import expanded
from manybody.engine.accelerate import has_device
from manybody.engine.console import say
from manybody.engine.observers import AlgoObserver
from manybody.engine.run_folder import RunFolder


class LegacyAgent(AgentState):
    """The settings as attributes under RL Games' names, the environments, the run folder and the statistics.

    This constructor sets everything that inherited methods read, so that a client may call it alone and build its
    own model, optimiser and dataset afterwards. Nothing is compiled.

    Args:
        base_name: what the runner calls this training.
        params: the section ``params``; its ``config`` becomes a :class:`LegacyConfig`.

    Raises:
        ConfigError: a known setting has an invalid value.
        EnvError: unknown environment.
    """

    is_discrete = False

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        config = legacy_config(params, self.is_discrete)
        self.experiment_name = experiment_name(config)
        self.ppo_device = config.get("device", config.typed.device)
        check_device(str(self.ppo_device))
        env, self.env_info = self._open_environments(params, config)
        features = config.setdefault("features", {})
        self.soft_aug = features.get("soft_augmentation")
        self.has_central_value = config.get("central_value_config") is not None
        observer = features["observer"]
        observer.before_init(base_name, config, self.experiment_name)
        described: Any = _Described(self.env_info, int(config.typed.num_actors))
        super().__init__(base_name, _Section(params, config), vec_env=described, observer=AlgoObserver())  # type: ignore[arg-type]
        self.algo_observer, self.vec_env, self.config = observer, env, config
        self.params: Any = params
        self._take_settings(base_name)
        self._take_spaces()
        self._take_sizes()
        self._make_statistics()
        self._open_folder(params)
        if self.has_self_play_config:
            self.self_play_manager = SelfPlayManager(self.self_play_config, self.writer)

    @override
    def load_recipe(self, params: Any) -> Any:
        self.config = params.config
        self.load_networks(params.params)
        return self.config["network"]

    def load_networks(self, params: dict[str, Any]) -> None:
        """Put the recipe of the model into ``config['network']``, and that of the central value into its section."""
        builder = ModelBuilder()
        self.config["network"] = builder.load(params)
        section = self.config.get("central_value_config")
        if section is not None:
            section = self.config["central_value_config"] = LegacyConfig(plain(section), CentralValueConfig)
            section.setdefault("model", {"name": "central_value"})
            section["network"] = builder.load(section)

    def _take_settings(self, base_name: str) -> None:
        """Set the settings under the names of RL Games' attributes."""
        config, typed = self.config, self.config.typed
        self.name = base_name
        self.population_based_training = config.get("population_based_training", False)
        self.multi_gpu = False
        self.local_rank = self.global_rank = self.rank = 0
        self.world_size = self.rank_size = 1
        self.hvd = None
        self.network_path = config.get("network_path", "./nn/")
        self.log_path = config.get("log_path", "runs/")
        self.env_config = dict(config.get("env_config") or {})
        self.env_name = config["env_name"]
        self.ppo_device = self.device_name = config.get("device", typed.device)
        self.is_train = config.get("is_train", True)
        self.ppo = typed.ppo
        self.weight_decay = typed.weight_decay
        self.use_action_masks = typed.get("use_action_masks", False)
        self.central_value_config = config.get("central_value_config")
        self.self_play_config: Any = config.get("self_play_config")
        self.has_self_play_config = bool(self.self_play_config)
        self.self_play = config.get("self_play", False)
        self.save_freq = typed.save_frequency
        self.save_best_after = typed.save_best_after
        self.print_stats = typed.print_stats
        self.epochs_between_resets = typed.epochs_between_resets
        self.e_clip, self.clip_value = typed.e_clip, typed.clip_value
        self.seq_length = self.seq_len = typed.seq_length
        self.bptt_len = config.get("bptt_length", self.seq_length)
        self.zero_rnn_on_done = typed.zero_rnn_on_done
        self.normalize_advantage = typed.normalize_advantage
        self.normalize_rms_advantage = typed.normalize_rms_advantage
        self.normalize_value = typed.normalize_value
        self.truncate_grads = typed.truncate_grads
        self.grad_norm = typed.grad_norm
        self.critic_coef, self.entropy_coef = typed.critic_coef, typed.entropy_coef
        self.mini_epochs_num = typed.mini_epochs
        self.use_experimental_cv = typed.use_experimental_cv
        self.has_value_loss = self.use_experimental_cv or not self.has_central_value
        self.bound_loss_type = config.get("bound_loss_type", "bound")
        self.use_smooth_clamp = typed.use_smooth_clamp
        smooth, plain_loss = common_losses.smoothed_actor_loss, common_losses.actor_loss
        self.actor_loss_func = smooth if self.use_smooth_clamp else plain_loss
        self.rewards_shaper = rewards_shaper(config.get("reward_shaper"))
        self.mixed_precision = typed.mixed_precision
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.mixed_precision and torch.cuda.is_available())
        self.last_lr: Any = typed.learning_rate
        self.use_diagnostics = typed.use_diagnostics
        self.diagnostics: Any = PpoDiagnostics() if self.use_diagnostics else DefaultDiagnostics()
        self._choose_schedule()

    def _choose_schedule(self) -> None:
        config, typed = self.config, self.config.typed
        self.is_adaptive_lr = typed.lr_schedule == "adaptive"
        self.linear_lr = typed.lr_schedule == "linear"
        self.schedule_type = config.get("schedule_type", "legacy")  # clients compare with this word
        self.kl_threshold = typed.kl_threshold
        if self.is_adaptive_lr:
            self.scheduler: Any = schedulers.AdaptiveScheduler(
                self.kl_threshold, typed.min_lr, typed.max_lr, typed.lr_multiplier
            )
        elif self.linear_lr:
            by_epochs = self.max_epochs != -1
            self.scheduler = schedulers.LinearScheduler(
                float(self.last_lr),
                typed.min_lr,
                max_steps=self.max_epochs if by_epochs else self.max_frames,
                use_epochs=by_epochs,
                apply_to_entropy=typed.schedule_entropy,
                start_entropy_coef=self.entropy_coef,
            )
        else:
            self.scheduler = schedulers.IdentityScheduler()

    def _open_environments(self, params: Mapping[str, Any], config: LegacyConfig) -> tuple[Any, dict[str, Any]]:
        """The environments, which may be None, and what describes them: a client may pass either in ``config``."""
        if config.get("env_info") is not None:
            return config.get("vec_env"), config["env_info"]
        seed = params.get("seed")
        arguments = dict(config.get("env_config") or {})
        env = create_legacy_env(
            config["env_name"], int(config.typed.num_actors), arguments, 0 if seed is None else seed
        )
        return env, env.get_env_info()

    def _take_spaces(self) -> None:
        self.value_size = self.reward_size
        self.obs_shape: Any = shape_of(self.observation_space)
        if self.has_central_value:
            self.state_space = self.env_info.get("state_space") or self.observation_space
            self.env_info["state_space"] = self.state_space
            self.state_shape = shape_of(self.state_space)
        self.is_tensor_obses = False

    def _take_sizes(self) -> None:
        typed = self.config.typed
        self.batch_size_envs = self.horizon_length * self.num_actors
        self.minibatch_size_per_env = typed.minibatch_size_per_env or 0
        self.minibatch_size = typed.resolved_minibatch_size
        if self.minibatch_size <= 0 or self.batch_size % self.minibatch_size:
            product = f"horizon_length {self.horizon_length} x num_actors {self.num_actors} x agents {self.num_agents}"
            what = f"got {self.minibatch_size}; expected a divisor of {self.batch_size} (= {product})"
            raise ConfigError([Problem("params.config.minibatch_size", what)])
        self.num_minibatches = self.batch_size // self.minibatch_size
        self.games_num = self.minibatch_size // self.seq_length

    def _make_statistics(self) -> None:
        device, window = self.ppo_device, self.games_to_track
        self.game_rewards = torch_ext.AverageMeter(self.value_size, window).to(device)
        self.game_shaped_rewards = torch_ext.AverageMeter(self.value_size, window).to(device)
        self.game_lengths = torch_ext.AverageMeter(1, window).to(device)
        if self.normalize_advantage and self.normalize_rms_advantage:
            momentum = self.config.typed.adv_rms_momentum
            self.advantage_mean_std = GeneralizedMovingStats((1,), momentum=momentum).to(device)
        self.curr_frames = 0
        self.play_time = self.update_time = 0.0
        self.mean_rewards: Any = float("-inf")
        self.aux_loss_dict: dict[str, Any] = {}
        self.train_result: Any = None
        self.observer_reported = False
        self.last_rnn_indices = self.last_state_indices = None

    def _open_folder(self, params: Mapping[str, Any]) -> None:
        """Open the run folder; population-based training returns to an existing one."""
        self.train_dir = expanded(self.config.get("train_dir", "runs"))
        self.experiment_dir = os.path.join(self.train_dir, self.experiment_name)
        self.nn_dir = os.path.join(self.experiment_dir, "nn")
        self.summaries_dir = os.path.join(self.experiment_dir, "summaries")
        self.run = Session(self, partial(open_folder, self.train_dir, self.experiment_name))
        self.writer = self.run.writer = LegacyWriter(self.run.writer)
        if self.run.folder is not None:
            record(self.run.folder, without_objects(params))


class _Section(NamedTuple):
    """``params`` as the library's constructor reads them."""

    params: dict[str, Any]
    config: LegacyConfig


class _Described(NamedTuple):
    """What the library's constructor asks of environments."""

    env_info: Mapping[str, Any]
    num_envs: int

    def get_env_info(self) -> dict[str, Any]:
        """The spaces, with RL Games' defaults."""
        return {"agents": 1, "value_size": 1, **self.env_info}


def check_device(device: str) -> None:
    """Raise ConfigError unless PyTorch can use ``device`` here."""
    if not has_device(device):
        what = f"got {device!r}, which PyTorch cannot use on this machine; expected 'cpu'"
        raise ConfigError([Problem("params.config.device", what)])


def experiment_name(config: Mapping[str, Any]) -> str:
    """Return ``full_experiment_name``, or else a name from ``name`` and the time."""
    exact = config.get("full_experiment_name")
    if exact:
        # Isaac Lab's tuner reads this line.
        say(f"Exact experiment name requested from command line: {exact}")
        return str(exact)
    member = f"_pbt_{config['pbt_idx']:02d}" if config.get("population_based_training") else ""
    return f"{config['name']}{member}{time.strftime('_%d-%H-%M-%S')}"


_FOLDERS: dict[str, RunFolder] = {}
"""Run folders of this process by path: RL Games' scripts may train twice within a second, in the same folder."""


def open_folder(train_dir: str, experiment_name: str) -> RunFolder:
    """Create the run folder of that name, or open the existing one."""
    train_dir = expanded(train_dir)
    path = os.path.realpath(os.path.join(train_dir, experiment_name))
    known = _FOLDERS.get(path)
    if not os.path.isdir(os.path.join(path, "nn")):
        _FOLDERS[path] = RunFolder.create(train_dir, experiment_name, experiment_name)
    elif known is None:
        _FOLDERS[path] = RunFolder.resume(os.path.join(train_dir, experiment_name))
    else:
        known.lock()
    return _FOLDERS[path]


def shape_of(space: Any) -> Any:
    """Return the shape of values in ``space``; for a ``Dict`` space of any library, shapes by key."""
    if type(space).__name__ == "Dict":
        return {key: part.shape for key, part in space.spaces.items()}
    return space.shape
