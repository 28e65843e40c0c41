"""RL Games' ``rl_games.common.a2c_common``: the library's on-policy agents with RL Games' interface, to inherit from.

The loop, the rollout, the update, the guard and the checkpoints are the library's. What differs is translated here:
configurations are dictionaries, environments give tuples, results are tuples, learning rates are numbers.
"""

import os
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from manybody.algos import a2c
from manybody.algos.a2c.config import CentralValueConfig
from manybody.algos.a2c.on_policy import SCHEDULED, OnPolicyAgent
from manybody.algos.a2c.types import TrainResult
from manybody.compat.agent import (
    SETTINGS,
    ChangeableSettings,
    ClientSession,
    cast_array,
    check_device,
    experiment_name,
    open_environments,
    open_folder,
    shape_of,
    time_outs,
)
from manybody.compat.observers import ClientObserver
from manybody.compat.rl_games.algos_torch import central_value, torch_ext
from manybody.compat.rl_games.algos_torch import model_builder as model_builder
from manybody.compat.rl_games.algos_torch.moving_mean_std import (
    GeneralizedMovingStats as GeneralizedMovingStats,
)
from manybody.compat.rl_games.algos_torch.self_play_manager import SelfPlayManager as SelfPlayManager
from manybody.compat.rl_games.common import common_losses as common_losses
from manybody.compat.rl_games.common import datasets, schedulers
from manybody.compat.rl_games.common import vecenv as vecenv
from manybody.compat.rl_games.common.diagnostics import DefaultDiagnostics as DefaultDiagnostics
from manybody.compat.rl_games.common.diagnostics import PpoDiagnostics as PpoDiagnostics
from manybody.compat.rl_games.common.experience import ExperienceBuffer as ExperienceBuffer
from manybody.compat.rl_games.common.interval_summary_writer import (
    IntervalSummaryWriter as IntervalSummaryWriter,
)
from manybody.compat.rl_games.interfaces.base_algorithm import BaseAlgorithm as BaseAlgorithm
from manybody.compat.settings import LegacyConfig, legacy_config, plain, record, rewards_shaper, without_objects
from manybody.compat.writer import LegacyWriter
from manybody.config.files import expanded
from manybody.data import rollout
from manybody.data.tree import leaves, tree_map
from manybody.engine.checkpoint.parts import Part, Parts
from manybody.engine.checkpoint.untrusted import named_file
from manybody.engine.console import say
from manybody.engine.metrics import mean_of
from manybody.envs.base import EnvError, Step
from manybody.functional import policy as policy_maths
from manybody.functional.actions import rescale_actions
from manybody.functional.returns import gae
from manybody.nn.normalizer import MovingMeanStd

__all__ = [
    "A2CBase",
    "ContinuousA2CBase",
    "DiscreteA2CBase",
    "print_statistics",
    "rescale_actions",
    "swap_and_flatten01",
]

Losses = list[Tensor]

TYPED = (
    "clip_value",
    "env_name",
    "epochs_between_resets",
    "kl_threshold",
    "normalize_advantage",
    "normalize_rms_advantage",
    "print_stats",
    "save_best_after",
    "seq_length",
    "use_diagnostics",
    "use_experimental_cv",
    "use_smooth_clamp",
    "weight_decay",
    "zero_rnn_on_done",
)
"""Settings that are attributes under their own names."""
RAW = {
    "is_train": True,
    "log_path": "runs/",
    "network_path": "./nn/",
    "population_based_training": False,
    "schedule_type": "legacy",  # clients compare with this word
    "self_play": False,
    "self_play_config": None,
}
"""Settings that are attributes as the client wrote them, and their defaults."""


def swap_and_flatten01(arr: Any) -> Any:
    """(N*T, ...) from (T, N, ...), all steps of row 0 first; None of None."""
    return None if arr is None else rollout.swap_and_flatten01(arr)


def print_statistics(
    print_stats: bool,
    curr_frames: int,
    step_time: float,
    step_inference_time: float,
    total_time: float,
    epoch_num: int,
    max_epochs: int,
    frame: int,
    max_frames: int,
) -> None:
    """Print RL Games' line of an epoch; times in seconds, -1 for no limit."""
    if not print_stats:
        return
    speeds = (curr_frames / max(seconds, 1e-9) for seconds in (step_time, step_inference_time, total_time))
    step, inference, total = speeds
    epochs = f"{epoch_num}" if max_epochs == -1 else f"{epoch_num}/{max_epochs}"
    frames = f"{frame}" if max_frames == -1 else f"{frame}/{max_frames}"
    say(
        f"fps step: {step:.0f} fps step and policy inference: {inference:.0f} fps total: {total:.0f} "
        f"epoch: {epochs} frames: {frames}"
    )


class A2CBase(ChangeableSettings, OnPolicyAgent):
    """The settings as attributes, environments of RL Games' protocol, and methods with RL Games' arguments.

    The constructor sets everything that inherited methods read, so that a client may call it alone and build its own
    model, optimiser and dataset afterwards. Nothing is compiled.

    Args:
        base_name: what the runner calls this training.
        params: the section ``params``; its ``config`` becomes a :class:`LegacyConfig`.

    Raises:
        ConfigError: a known setting has an invalid value.
        EnvError: unknown environment.
    """

    PARAMS: ClassVar[dict[str, str]] = {**OnPolicyAgent.PARAMS, **SETTINGS}
    RESULTS = 9
    """How many values ``train_result`` has."""

    is_discrete = False
    multi_gpu = False
    local_rank = global_rank = rank = 0
    world_size = rank_size = 1
    hvd = states = last_rnn_indices = last_state_indices = None
    is_tensor_obses = False
    update_list: Any = ()
    tensor_list: Any = ()
    last_lr: Any
    entropy_coef: Any
    scheduler: Any
    dataset: Any
    experience_buffer: Any
    optimizer: Any
    vec_env: Any
    game_rewards: Any
    game_shaped_rewards: Any
    game_lengths: Any
    rewards_shaper: Any
    self_play: Any
    self_play_config: Any
    central_value_config: Any

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        config = legacy_config(params, self.is_discrete)
        self.experiment_name = experiment_name(config)
        self.ppo_device: Any = config.get("device", config.typed.device)
        check_device(str(self.ppo_device))
        env, self.env_info = open_environments(params, config)
        features = config.setdefault("features", {})
        self.soft_aug = features.get("soft_augmentation")
        own = {"full_experiment_name": self.experiment_name, "torch_compile": False, "self_play_config": None}
        config.typed = config.typed.model_copy(update=own)
        name = params.get("algo", {}).get("name", type(self).__name__)
        section: Any = SimpleNamespace(config=config, raw=params, algo=SimpleNamespace(name=name))
        described: Any = SimpleNamespace(
            num_envs=int(config.typed.num_actors),
            get_env_info=lambda: {"agents": 1, "value_size": 1, **self.env_info},
        )
        observer = ClientObserver(features["observer"], config)
        OnPolicyAgent.__init__(self, base_name, section, vec_env=described, observer=observer)
        self.vec_env, self.name = env, base_name
        self._take_settings(config)
        self._make_statistics()
        self.train_dir = expanded(config.get("train_dir", "runs"))
        self.experiment_dir = os.path.join(self.train_dir, self.experiment_name)
        self.nn_dir = os.path.join(self.experiment_dir, "nn")
        self.summaries_dir = os.path.join(self.experiment_dir, "summaries")
        self.run = ClientSession(self, partial(open_folder, self.train_dir, self.experiment_name))
        self.run.writer = LegacyWriter(self.run.writer)
        if self.run.folder is not None:
            record(self.run.folder, without_objects(params))
        if self.has_self_play_config:
            self.self_play_manager = SelfPlayManager(self.self_play_config, self.writer)

    @override
    def load_recipe(self, params: Any) -> Any:
        self.load_networks(params.raw)
        return self.config["network"]

    def load_networks(self, params: dict[str, Any]) -> None:
        """Put the recipe of the model into ``config['network']``, and that of the central value into its section."""
        builder = model_builder.ModelBuilder()
        self.config["network"] = builder.load(params)
        section = self.config.get("central_value_config")
        if section is not None:
            section = self.config["central_value_config"] = LegacyConfig(plain(section), CentralValueConfig)
            section.setdefault("model", {"name": "central_value"})
            section["network"] = builder.load(section)

    def _take_settings(self, config: LegacyConfig) -> None:
        typed = config.typed
        for name in TYPED:
            setattr(self, name, typed.get(name))
        for name, default in RAW.items():
            setattr(self, name, config.get(name, default))
        self.seq_len = self.seq_length
        self.bptt_len = config.get("bptt_length", self.seq_length)
        self.device_name = self.ppo_device = config.get("device", typed.device)
        self.env_config = dict(config.get("env_config") or {})
        self.use_action_masks = typed.get("use_action_masks", False)
        self.bound_loss_type = typed.get("bound_loss_type", "bound")
        self.central_value_config = config.get("central_value_config")
        self.has_central_value = self.central_value_config is not None
        self.has_value_loss = typed.use_experimental_cv or not self.has_central_value
        self.has_self_play_config = bool(self.self_play_config)
        self.save_freq = typed.save_frequency
        self.rewards_shaper = rewards_shaper(config.get("reward_shaper"))
        self.mixed_precision = typed.mixed_precision and torch.device(self.ppo_device).type != "cpu"
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.mixed_precision)
        self.is_adaptive_lr = typed.lr_schedule == "adaptive"
        self.linear_lr = typed.lr_schedule == "linear"
        self.scheduler = schedulers.for_numbers(self.scheduler)
        self.last_lr, self.entropy_coef = float(typed.learning_rate), float(typed.entropy_coef)
        self.diagnostics = DefaultDiagnostics()

    def _make_statistics(self) -> None:
        typed, device, window = self.config.typed, self.ppo_device, self.games_to_track
        self.obs_shape = shape_of(self.observation_space)
        if self.has_central_value:
            self.state_space = self.env_info.setdefault("state_space", self.observation_space)
            self.state_shape = shape_of(self.state_space)
        self.batch_size_envs = self.horizon_length * self.num_actors
        self.curr_frames = self.batch_size
        self.num_minibatches = self.batch_size // self.minibatch_size
        self.games_num = self.minibatch_size // self.seq_length
        self.game_rewards = torch_ext.AverageMeter(self.value_size, window).to(device)
        self.game_shaped_rewards = torch_ext.AverageMeter(self.value_size, window).to(device)
        self.game_lengths = torch_ext.AverageMeter(1, window).to(device)
        self.advantage_mean_std = (
            MovingMeanStd(typed.adv_rms_momentum).to(device) if typed.normalize_rms_advantage else None
        )
        self.play_time = self.update_time = 0.0
        self.mean_rewards: Any = float("-inf")
        self.aux_loss_dict: dict[str, Any] = {}
        self.epoch_scalars: dict[str, Any] = {}
        self.train_result: Any = None
        self._losses = self.forward_losses

    @override
    def build_learner(self) -> None:
        super().build_learner()
        sizes = self.batch_size, self.minibatch_size
        self.dataset = datasets.PPODataset(*sizes, self.is_discrete, self.is_rnn, self.ppo_device, self.seq_length)
        self.algo_observer.after_init(self)

    @override
    def _build_central_value(self) -> Any:
        if not self.has_central_value:
            return None
        return central_value.CentralValueTrain(
            state_shape=self.state_shape,
            value_size=self.value_size,
            ppo_device=self.ppo_device,
            num_agents=self.num_agents,
            horizon_length=self.horizon_length,
            num_actors=self.num_actors,
            num_actions=self.actions_num,
            seq_length=self.seq_length,
            normalize_value=self.normalize_value,
            network=self.central_value_config["network"],
            config=self.central_value_config,
            writter=self.writer,
            max_epochs=self.max_epochs,
            multi_gpu=self.multi_gpu,
            zero_rnn_on_done=self.config.typed.zero_rnn_on_done,
            guard=self.guard,
        )

    @property
    def central_value_net(self) -> Any:
        """RL Games' name of the central value."""
        return self.central_value

    @central_value_net.setter
    def central_value_net(self, net: Any) -> None:
        self.central_value = net

    # --- environments and the policy ------------------------------------------------------------------------------

    def cast_obs(self, obs: Any) -> Any:
        """An array as a tensor on the learner's device (floats as float32); a tensor as it is."""
        self.is_tensor_obses = self.is_tensor_obses or isinstance(obs, Tensor)
        return cast_array(obs, self.ppo_device)

    def obs_to_tensors(self, obs: Any) -> dict[str, Any]:
        """What the environment gave as ``{'obs': tensors[, 'states': tensors]}``."""
        tensors = tree_map(self.cast_obs, obs)
        return tensors if isinstance(obs, dict) and "obs" in obs else {"obs": tensors}

    def _preproc_obs(self, obs_batch: Any) -> Any:
        """Observations (N, O), or a dictionary of such; bytes become 0 to 1."""
        return tree_map(lambda x: x.float() / 255.0 if x.dtype == torch.uint8 else x, obs_batch)

    @override
    def preprocess_actions(self, actions: Tensor) -> Any:
        """Sampled actions (N, A) as the environment takes them: tensors where it gives tensors."""
        return actions if self.is_tensor_obses else actions.cpu().numpy()

    def env_step(self, actions: Tensor) -> Any:
        """Observations, rewards (N, V), dones (N,) and infos after one step with ``actions`` (N, A)."""
        obs, rewards, dones, infos = self.vec_env.step(self.preprocess_actions(actions))
        rewards = torch.as_tensor(rewards, device=self.ppo_device)
        if not self.is_tensor_obses:
            rewards = rewards.float()
        if self.value_size == 1:
            rewards = rewards.unsqueeze(1)
        return self.obs_to_tensors(obs), rewards, torch.as_tensor(dones, device=self.ppo_device), infos

    @override
    def env_reset(self) -> dict[str, Any]:
        return self.obs_to_tensors(self.vec_env.reset())

    def reset_envs(self) -> None:
        """Start new episodes everywhere."""
        self.init_rnn_from_model()
        self.obs = self.env_reset()

    def init_current_rewards(self, batch_size: int, current_rewards_shape: tuple[int, ...]) -> None:
        """Forget the episodes that are under way."""
        self.current_rewards = torch.zeros(current_rewards_shape, device=self.ppo_device)
        self.current_shaped_rewards = torch.zeros_like(self.current_rewards)
        self.current_lengths = torch.zeros(batch_size, device=self.ppo_device)
        self.dones = torch.ones(batch_size, dtype=torch.uint8, device=self.ppo_device)

    @override
    def init_tensors(self) -> None:
        super().init_tensors()
        self.update_list = ["actions", "neglogpacs", "values", *self._policy_outputs()]
        self.tensor_list = [*self.update_list, "obses", "states", "dones"]
        if self.central_value is not None:  # a rewritten play_steps stores them in the one place
            self.central_value.buffer.tensor_dict["states"] = self.experience_buffer.tensor_dict["states"]

    def _policy_outputs(self) -> list[str]:
        """Return what the policy adds to a rollout besides actions."""
        return []

    @override
    def make_experience_buffer(self) -> Any:
        algo_info = {
            "num_actors": self.num_actors,
            "horizon_length": self.horizon_length,
            "has_central_value": self.has_central_value,
            "use_action_masks": self.use_action_masks,
        }
        return ExperienceBuffer(self.env_info, algo_info, self.ppo_device)

    @override
    def init_rnn_from_model(self, model: Any = None) -> None:
        """Note whether the policy is recurrent, and forget its state; ``model`` is always the agent's."""
        self.is_rnn = self.model.is_rnn()
        super().init_rnn_from_model()

    @property
    def rnn_states(self) -> Any:
        """(layers, N, units) each, the policy's state between two steps; None of a feed-forward network."""
        return self.recurrent.current

    @rnn_states.setter
    def rnn_states(self, states: Any) -> None:
        self.recurrent.current = states

    @override
    def get_action_values(self, obs: dict[str, Any]) -> dict[str, Any]:
        """``actions``, ``neglogpacs``, ``values``, ``rnn_states``, ... for ``obs``."""
        self.model.eval()
        if self.central_value is not None:
            self.central_value.eval()
        with torch.no_grad():
            return super().get_action_values({**obs, "obs": self._preproc_obs(obs["obs"])})

    def get_masked_action_values(self, obs: dict[str, Any], action_masks: Any) -> dict[str, Any]:
        """:meth:`get_action_values` among what ``action_masks`` (N, choices) allows; discrete actions only.

        Raises:
            EnvError: there are none.
        """
        rows = len(next(leaves(obs["obs"])))
        if action_masks is None or len(action_masks) != rows:
            given = "none" if action_masks is None else f"the shape {tuple(action_masks.shape)}"
            raise EnvError(
                f"environment '{self.config['env_name']}': get_action_masks(): got {given}; expected ({rows}, choices) "
                "before every step, because use_action_masks is on"
            )
        masks = torch.as_tensor(action_masks, dtype=torch.bool, device=self.ppo_device)
        return {**A2CBase.get_action_values(self, {**obs, "action_masks": masks}), "action_masks": masks}

    @override
    def get_values(self, obs: dict[str, Any]) -> Tensor:
        """(N, V), units of shaped reward."""
        if self.central_value is None:
            values: Tensor = A2CBase.get_action_values(self, obs)["values"]
            return values
        with torch.no_grad():  # the policy draws no action for this
            return self.central_value.eval().values(self._preproc_obs(obs))

    def get_central_value(self, obs_dict: dict[str, Any]) -> Tensor:
        """(N, V) of ``obs_dict['states']``; the recurrent state moves on."""
        value: Tensor = self.central_value_net.get_value(obs_dict)
        return value

    # --- the rollout ----------------------------------------------------------------------------------------------

    @override
    def _step(self, actions: Tensor) -> Step:
        obs, rewards, dones, infos = self.env_step(actions)
        self._done_type = dones.dtype
        done, shortened = dones.bool(), time_outs(infos, len(rewards))
        truncated = torch.zeros_like(done) if shortened is None else done & self.cast_obs(shortened).to(done)
        return Step(obs, rewards, done & ~truncated, truncated, None, infos)

    @override
    def _store_outcome(self, n: int, step: Step) -> None:
        super()._store_outcome(n, step)
        self.dones = self.dones.to(self._done_type)

    @override
    def _store_rewards(self, n: int, shaped: Tensor, step: Step) -> None:
        earned = shaped + self.bootstrap(n, step) if self.value_bootstrap else shaped
        self.experience_buffer.update_data("rewards", n, earned)

    @override
    def calc_advantages(self, rollout: Mapping[str, Any], last_values: Tensor) -> Tensor:
        stored = rollout["dones"].float(), rollout["values"], rollout["rewards"]
        return self.discount_values(self.dones.float(), last_values, *stored)

    @override
    def _finish_rollout(self, last_values: Tensor) -> Any:
        batch: dict[str, Any] = dict(super()._finish_rollout(last_values))
        if self.is_rnn:
            batch["rnn_states"] = list(batch["rnn_states"])
        return batch

    def discount_values(
        self,
        fdones: Tensor,
        last_extrinsic_values: Tensor,
        mb_fdones: Tensor,
        mb_extrinsic_values: Tensor,
        mb_rewards: Tensor,
    ) -> Tensor:
        """Advantages (T, N, V) by generalised advantage estimation, as :func:`~manybody.functional.returns.gae`."""
        return gae(mb_rewards, mb_extrinsic_values, mb_fdones, last_extrinsic_values, fdones, self.gamma, self.tau)

    def discount_values_masks(
        self,
        fdones: Tensor,
        last_extrinsic_values: Tensor,
        mb_fdones: Tensor,
        mb_extrinsic_values: Tensor,
        mb_rewards: Tensor,
        mb_masks: Tensor,
    ) -> Tensor:
        """:meth:`discount_values` where masks (T, N) leave steps out: their advantage is 0, and carries nothing."""
        advantages = torch.zeros_like(mb_rewards)
        following, carried = last_extrinsic_values, torch.zeros_like(last_extrinsic_values)
        done = fdones
        for t in reversed(range(len(mb_rewards))):
            continues = (1.0 - done).unsqueeze(1)
            delta = mb_rewards[t] + self.gamma * following * continues - mb_extrinsic_values[t]
            carried = (delta + self.gamma * self.tau * continues * carried) * mb_masks[t].unsqueeze(1)
            advantages[t] = carried
            following, done = mb_extrinsic_values[t], mb_fdones[t]
        return advantages

    # --- the epoch ------------------------------------------------------------------------------------------------

    @override
    def train_epoch(self) -> Any:
        """One rollout, then ``mini_epochs`` passes over it.

        Returns:
            Seconds in the environments, of the rollout, of learning, of both; lists of the losses ``a``, ``c`` [``b``,
            continuous actions], entropies and divergences; the learning rate and its factor.
        """
        self.set_eval()
        self.losses: tuple[Losses, ...] = ([], [], [], [])
        self.kls: Losses = []
        frame = self.frame
        metrics = super().train_epoch()
        self.frame = frame  # the loop counts the frames, as in RL Games
        self.epoch_scalars = metrics.scalars
        a_losses, c_losses, b_losses, entropies = self.losses
        bounds = () if self.is_discrete else (b_losses,)
        times = (metrics.step_time, metrics.play_time, metrics.update_time, metrics.total_time)
        return (*times, a_losses, c_losses, *bounds, entropies, self.kls, self.last_lr, 1.0)

    @override
    def end_epoch(self, read: Mapping[str, float]) -> None:
        if self.has_self_play_config:
            self.self_play_manager.update(self)

    def write_stats(
        self,
        total_time: float,
        epoch_num: int,
        step_time: float,
        play_time: float,
        update_time: float,
        a_losses: Losses,
        c_losses: Losses,
        entropies: Losses,
        kls: Losses,
        last_lr: float,
        lr_mul: float,
        frame: int,
        scaled_time: float,
        scaled_play_time: float,
        curr_frames: int,
    ) -> None:
        """Called once an epoch, for clients that add to it: the session writes these numbers itself."""

    def set_eval(self) -> None:
        """Evaluation mode."""
        self.model.eval()

    @override
    def prepare_dataset(self, batch_dict: Any) -> None:
        super().prepare_dataset(batch_dict)

    @override
    def extra_batch(self, rollout: Any) -> dict[str, Any]:
        return {"rnn_states": rollout.get("rnn_states"), "rnn_masks": None}

    @override
    def _one_pass(self, mini_epoch: int) -> Losses:
        kls = super()._one_pass(mini_epoch)
        self.kls.append(mean_of(kls))
        return kls

    @override
    def _update(self, minibatch: Any) -> TrainResult:
        a_loss, c_loss, entropy, kl, *_ = result = self.train_actor_critic(minibatch)
        mu, sigma, b_loss = result[6:9] if len(result) > 6 else (None, None, torch.zeros_like(a_loss))
        if mu is not None:
            self.dataset.update_mu_sigma(mu, sigma)
        for kept, loss in zip(self.losses, (a_loss, c_loss, b_loss, entropy), strict=True):
            kept.append(loss.detach())
        extra = {
            name if "/" in name else f"losses/{name}": mean_of(values) for name, values in self.aux_loss_dict.items()
        }
        return TrainResult(a_loss, c_loss, entropy, kl, self.last_lr, 1.0, None, None, b_loss, extra)

    @override
    def train_actor_critic(self, input_dict: Any) -> Any:
        """Run one update; return the ``train_result`` of :meth:`calc_gradients`."""
        self.calc_gradients(input_dict)
        return self.train_result

    @override
    def calc_gradients(self, input_dict: Any) -> Any:
        """Losses, gradients and an optimiser step; leaves its results in ``train_result``."""
        result = super().calc_gradients(input_dict)
        self.aux_loss_dict = {name.removeprefix("losses/"): [value] for name, value in result.extra.items()}
        self.train_result = tuple(result[: self.RESULTS])

    @override
    def forward_losses(self, minibatch: Any) -> Any:
        return super().forward_losses({**minibatch, "obs": self._preproc_obs(minibatch["obs"])})

    @override
    def step_optimizer(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.trancate_gradients_and_step()

    def trancate_gradients_and_step(self) -> None:
        """Clip the gradients if ``truncate_grads`` asks for it, and step; not where they are not finite."""
        self.scaler.unscale_(self.optimizer)
        limit = self.grad_norm if self.truncate_grads and self.grad_norm else float("inf")
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        if self.guard.healthy_update(norm, norm):
            self.scaler.step(self.optimizer)
        self.scaler.update()

    @override
    def update_schedule(self, kl: Tensor) -> None:
        self.last_lr, self.entropy_coef = self.scheduler.update(
            self.last_lr, self.entropy_coef, self.epoch_num, self.frame, float(kl)
        )
        self.update_lr(self.last_lr)

    @override
    def update_lr(self, lr: float) -> None:  # type: ignore[override]
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    # --- state ----------------------------------------------------------------------------------------------------

    @override
    def choose_precision(self, saved: Mapping[str, Any]) -> None:
        """Do nothing: clients compute in the precision that they configure."""

    @override
    def memory_parts(self) -> Parts:
        return {}

    @override
    def _load_schedule(self, schedule: Mapping[str, Any]) -> None:
        changed = self._reconfigured(schedule)
        for name, attribute in SCHEDULED.items():
            setattr(self, attribute, float(self.config[name] if name in changed else schedule[attribute]))
        self.update_lr(self.last_lr)

    @override
    def episode_means(self) -> dict[str, Tensor]:
        meters = {"reward": self.game_rewards, "shaped_reward": self.game_shaped_rewards, "length": self.game_lengths}
        means = {name: torch.as_tensor(meter.mean).reshape(-1) for name, meter in meters.items()}
        played = self.game_rewards
        return {
            **{name: mean[0] for name, mean in means.items()},
            "games": torch.as_tensor(played.current_size),
            "finished_games": torch.as_tensor(getattr(played, "finished", float("nan"))),  # a client's has no such
            **{f"rewards{head}": value for head, value in enumerate(means["reward"][1:], 1)},
        }

    @override
    def get_weights(self) -> dict[str, Any]:
        return {**self.get_stats_weights(), **super().get_weights()}

    @override
    def set_weights(self, weights: Mapping[str, Any]) -> None:
        super().set_weights(weights)
        self.set_stats_weights(weights)

    def get_stats_weights(self, model_stats: bool = False) -> dict[str, Any]:
        """Return statistics outside the model; with ``model_stats`` also those in it."""
        state: dict[str, Any] = {}
        if self.mixed_precision:
            state["scaler"] = self.scaler.state_dict()
        if self.central_value is not None:
            state["central_val_stats"] = self.central_value_net.get_stats_weights(model_stats)
        if model_stats and self.normalize_input:
            state["running_mean_std"] = self.model.running_mean_std.state_dict()
        if model_stats and self.normalize_value:
            state["reward_mean_std"] = self.model.value_mean_std.state_dict()
        return state

    def set_stats_weights(self, weights: Mapping[str, Any]) -> None:
        """Restore those parts of :meth:`get_stats_weights` that lie outside the model."""
        if self.mixed_precision and "scaler" in weights:
            self.scaler.load_state_dict(weights["scaler"])

    @override
    def get_full_state_weights(self) -> dict[str, Any]:
        if not hasattr(self, "dones"):
            self.init_tensors()
        return super().get_full_state_weights()

    @override
    def set_full_state_weights(self, weights: Mapping[str, Any], set_epoch: bool = True) -> None:  # type: ignore[override]
        super().set_full_state_weights(weights, set_epoch)

    @override
    def save(self, fn: str) -> bool:
        """Write ``<fn>.pth``."""
        torch_ext.save_checkpoint(fn, self.get_full_state_weights())
        return True

    @override
    def restore(self, fn: str, set_epoch: bool = True) -> None:
        weights = torch_ext.load_checkpoint(fn)
        with named_file(fn):
            self.set_full_state_weights(weights, set_epoch)

    @override
    def clear_stats(self, clean_rewards: bool = True) -> None:
        best = self.last_mean_rewards
        super().clear_stats()
        if not clean_rewards:
            self.last_mean_rewards = best


A2CBase.__abstractmethods__ = frozenset()  # clients inherit from it directly and define only what they call


class ContinuousA2CBase(A2CBase, a2c.ContinuousA2CBase):
    """Actions are real vectors in a box."""

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        A2CBase.__init__(self, base_name, params)
        space = self.env_info["action_space"]
        self.actions_num = space.shape[0]
        self.bounds_loss_coef = self.config.typed.bounds_loss_coef
        self.clip_actions = self.config.typed.clip_actions
        self.actions_low, self.actions_high = (
            torch.as_tensor(edge.copy(), dtype=torch.float32, device=self.ppo_device)
            for edge in (space.low, space.high)
        )

    @override
    def preprocess_actions(self, actions: Tensor) -> Any:
        """With ``clip_actions``: clamp to [-1, 1], then map to the action space's own range; else as sampled."""
        if self.clip_actions:
            actions = rescale_actions(self.actions_low, self.actions_high, actions.clamp(-1.0, 1.0))
        return A2CBase.preprocess_actions(self, actions)

    @override
    def _policy_outputs(self) -> list[str]:
        return ["mus", "sigmas"]

    @override
    def bounds_loss(self, result: dict[str, Any]) -> Tensor | None:
        if self.bounds_loss_coef is None:
            return None
        loss = self.bound_loss if self.bound_loss_type == "bound" else self.reg_loss
        return loss(result["mus"]).mean()

    def reg_loss(self, mu: Tensor) -> Tensor:
        """(M,) squared mean actions (M, A)."""
        return policy_maths.reg_loss(mu)

    def bound_loss(self, mu: Tensor) -> Tensor:
        """(M,) squared excess of mean actions (M, A) over 1.1."""
        return policy_maths.bound_loss(mu)


class DiscreteA2CBase(A2CBase):
    """Actions are choices: one, or one per head."""

    is_discrete = True
    RESULTS = 6
    _restored_masks: Any = None
    """Allowed actions after the observation that a checkpoint restored."""

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        super().__init__(base_name, params)
        space = self.env_info["action_space"]
        sizes = head_sizes(space)
        self.is_multi_discrete = sizes is not None
        self.actions_num: Any = space.n if sizes is None else sizes
        heads = () if sizes is None else (len(sizes),)
        self.actions_shape = (self.horizon_length, self.rows, *heads)
        if self.schedule_type != "standard_epoch":
            self.schedule_type = "standard"  # RL Games' discrete agents schedule after each mini-epoch

    @override
    def _policy_outputs(self) -> list[str]:
        return ["action_masks"] if self.use_action_masks else []

    @override
    def _decide(self, n: int) -> dict[str, Any]:
        if not self.use_action_masks:
            return self.get_action_values(self.obs)
        masks, self._restored_masks = self._restored_masks, None
        return self.get_masked_action_values(self.obs, self.vec_env.get_action_masks() if masks is None else masks)

    @override
    def interaction_parts(self) -> Parts:
        parts = super().interaction_parts()
        return {**parts, "action_masks": Part(self._masks, self._restore_masks)} if self.use_action_masks else parts

    def _masks(self) -> Tensor:
        return torch.as_tensor(self.vec_env.get_action_masks())

    def _restore_masks(self, masks: Tensor) -> None:
        self._restored_masks = masks

    @override
    def acting_policy(self, result: dict[str, Any]) -> Any:
        return ActionsTaken(result["prev_neglogp"])

    @override
    def old_policy(self, minibatch: Any) -> Any:
        return ActionsTaken(minibatch["old_logp_actions"])

    @override
    def policy_batch(self, batch: Any) -> dict[str, Tensor]:
        return {"action_masks": batch["action_masks"]} if self.use_action_masks else {}


class ActionsTaken(NamedTuple):
    """A discrete policy, of which only the negative log-probabilities (M,) of the actions taken are known."""

    neglogps: Tensor

    def parameters(self) -> dict[str, Tensor]:
        """Nothing that a dataset keeps."""
        return {}

    def kl(self, old: "ActionsTaken") -> Tensor:
        """(M,) RL Games' estimate: half the squared difference of the log-probabilities."""
        return 0.5 * (old.neglogps - self.neglogps).square()


def head_sizes(space: Any) -> list[int] | None:
    """Choices of each head; None of a space with one. Told by the names of its class, whoever's it is."""
    kind = type(space).__name__
    if kind == "Tuple":
        return [part.n for part in space]
    return [int(size) for size in space.nvec] if kind == "MultiDiscrete" else None
