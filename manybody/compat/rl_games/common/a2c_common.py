"""RL Games' ``rl_games.common.a2c_common``: the library's on-policy agents with RL Games' interface, to inherit from.

Loop, rollout, update, guard and checkpoints are the library's. Configurations are dictionaries, environments and
updates return tuples, learning rates are numbers.
"""

from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from manybody.algos import a2c
from manybody.algos.a2c.config import CentralValueConfig, DiscretePPOConfig, PPOConfig
from manybody.algos.a2c.on_policy import SCHEDULED, OnPolicyAgent
from manybody.algos.a2c.types import TrainResult
from manybody.compat.agent import (
    SETTINGS,
    ChangeableSettings,
    ClientSession,
    check_device,
    experiment_name,
    open_environments,
    open_folder,
    run_paths,
)
from manybody.compat.observers import ClientObserver
from manybody.compat.rl_games.algos_torch import central_value, model_builder, torch_ext
from manybody.compat.rl_games.algos_torch.self_play_manager import SelfPlayManager
from manybody.compat.rl_games.common import datasets, schedulers
from manybody.compat.rl_games.common.diagnostics import DefaultDiagnostics
from manybody.compat.rollout import ClientRollout, swap_and_flatten01
from manybody.compat.settings import LegacyConfig, plain, record, rewards_shaper, without_objects
from manybody.compat.writer import LegacyWriter
from manybody.data.tree import State
from manybody.engine.checkpoint.parts import Part, Parts
from manybody.engine.checkpoint.untrusted import named_file
from manybody.engine.console import say
from manybody.engine.metrics import mean_of
from manybody.envs.spaces import observation_shape
from manybody.functional import policy as policy_maths
from manybody.functional.policy import rescale_actions
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
    "schedule_type": "legacy",  # clients compare with this value
    "self_play": False,
    "self_play_config": None,
}
"""Settings that are attributes as the client wrote them, and their defaults."""


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
    times = step_time, step_inference_time, total_time
    step, inference, total = (curr_frames / max(seconds, 1e-9) for seconds in times)
    epochs = f"{epoch_num}" if max_epochs == -1 else f"{epoch_num}/{max_epochs}"
    frames = f"{frame}" if max_frames == -1 else f"{frame}/{max_frames}"
    say(
        f"fps step: {step:.0f} fps step and policy inference: {inference:.0f} fps total: {total:.0f} "
        f"epoch: {epochs} frames: {frames}"
    )


class A2CBase(ChangeableSettings, ClientRollout):
    """The settings as attributes, environments of RL Games' protocol, and methods with RL Games' arguments.

    The constructor sets everything that inherited methods read: a client may call it alone, and then build its own
    model, optimiser and dataset. Nothing is compiled.

    Raises:
        ConfigError: a known setting has an invalid value.
        EnvError: unknown environment.
    """

    PARAMS: ClassVar[dict[str, str]] = {**OnPolicyAgent.PARAMS, **SETTINGS}
    RESULTS = 9
    """Number of values in ``train_result``."""

    is_discrete = False
    multi_gpu = False
    local_rank = global_rank = 0
    world_size = 1
    states = last_rnn_indices = last_state_indices = None
    config: Any
    last_lr: Any
    entropy_coef: Any
    scheduler: Any
    dataset: Any
    optimizer: Any
    rewards_shaper: Any
    self_play: Any
    self_play_config: Any
    central_value_config: Any

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        if not isinstance(params["config"], LegacyConfig):
            params["config"] = LegacyConfig(params["config"], DiscretePPOConfig if self.is_discrete else PPOConfig)
        config: LegacyConfig = params["config"]
        name = experiment_name(config)
        self.ppo_device: Any = config.get("device", config.typed.device)
        check_device(str(self.ppo_device))
        env, described = open_environments(params, config)
        features = config.setdefault("features", {})
        self.soft_aug = features.get("soft_augmentation")
        own = {"full_experiment_name": name, "torch_compile": False, "self_play_config": None}
        config.typed = config.typed.model_copy(update=own)
        algo = params.get("algo", {}).get("name", type(self).__name__)
        section: Any = SimpleNamespace(config=config, raw=params, algo=SimpleNamespace(name=algo))
        observer = ClientObserver(features["observer"], config)
        OnPolicyAgent.__init__(self, base_name, section, vec_env=described, observer=observer)
        self.vec_env, self.name = env, base_name
        self._take_settings(config)
        self._make_statistics()
        vars(self).update(run_paths(config.typed.train_dir, name))
        self.run = ClientSession(self, partial(open_folder, config.typed.train_dir, name))
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
        """Put the model's recipe into ``config['network']``, and the central value's into its section."""
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
        self.ppo_device = config.get("device", typed.device)
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
        if self.has_central_value:
            self.state_space = self.env_info.setdefault("state_space", self.observation_space)
            self.state_shape = observation_shape(self.state_space)
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

    # --- the epoch ------------------------------------------------------------------------------------------------

    @override
    def train_epoch(self) -> Any:
        """Collect one rollout, then make ``mini_epochs`` passes over it.

        Returns:
            Seconds in the environments, of the rollout, of learning, in total; lists of the losses ``a``, ``c`` [``b``,
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
        """Hook: called once an epoch; the session writes these numbers itself."""

    def set_eval(self) -> None:
        """Set evaluation mode."""
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
        """Call :meth:`calc_gradients`; return ``train_result``."""
        self.calc_gradients(input_dict)
        return self.train_result

    @override
    def calc_gradients(self, input_dict: Any) -> Any:
        """Run one update; store the result in ``train_result``."""
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
        """Clip the gradients if ``truncate_grads``, and step if they are finite."""
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

    # --- checkpoints ---------------------------------------------------------------------------------------------

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
            "finished_games": torch.as_tensor(getattr(played, "finished", float("nan"))),  # a client's own meter
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
            state["central_val_stats"] = self.central_value.get_stats_weights(model_stats)
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
    def get_full_state_weights(self) -> State:
        if not hasattr(self, "dones"):
            self.init_tensors()
        return super().get_full_state_weights()

    @override
    def set_full_state_weights(  # type: ignore[override]
        self, weights: Mapping[str, Any], set_epoch: bool = True
    ) -> None:
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

    config: Any

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        A2CBase.__init__(self, base_name, params)
        space = self.env_info["action_space"]
        self.bounds_loss_coef = self.config.typed.bounds_loss_coef
        self.clip_actions = self.config.typed.clip_actions
        self.actions_low, self.actions_high = (
            torch.as_tensor(edge.copy(), dtype=torch.float32, device=self.ppo_device)
            for edge in (space.low, space.high)
        )

    @override
    def preprocess_actions(self, actions: Tensor) -> Any:
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
        """Return squared mean actions (M,) of ``mu`` (M, A)."""
        return policy_maths.reg_loss(mu)

    def bound_loss(self, mu: Tensor) -> Tensor:
        """Return the squared excess over 1.1 (M,) of mean actions (M, A)."""
        return policy_maths.bound_loss(mu)


class DiscreteA2CBase(A2CBase):
    """Actions are choices: one, or one per head."""

    is_discrete = True
    RESULTS = 6
    _restored_masks: Any = None
    """Allowed actions for the observation restored from a checkpoint."""

    def __init__(self, base_name: str, params: dict[str, Any]) -> None:
        super().__init__(base_name, params)
        self.is_multi_discrete = isinstance(self.actions_num, tuple)
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
        if not self.use_action_masks:
            return parts

        def masks() -> Tensor:
            return torch.as_tensor(self.vec_env.get_action_masks())

        return {**parts, "action_masks": Part(masks, partial(setattr, self, "_restored_masks"))}

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
        """Return nothing: a dataset stores no parameters."""
        return {}

    def kl(self, old: "ActionsTaken") -> Tensor:
        """Return RL Games' estimate (M,): half the squared difference of the log-probabilities."""
        return 0.5 * (old.neglogps - self.neglogps).square()
