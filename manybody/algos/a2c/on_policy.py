"""``OnPolicyAgent``: PPO's iteration, from ``train`` to ``calc_gradients``; collecting is in ``rollout.py``."""

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack, cast

import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos.a2c.central_value import CentralValueTrain
from manybody.algos.a2c.config import OnPolicyConfig
from manybody.algos.a2c.rollout import A2CBase
from manybody.algos.a2c.self_play import SelfPlayManager
from manybody.algos.a2c.types import RolloutBatch, TrainBatch, TrainResult
from manybody.algos.base import AgentParts
from manybody.algos.network import ModelOutput
from manybody.algos.session import EpochMetrics
from manybody.config import ConfigError, Params, Problem
from manybody.data.minibatch import PPODataset
from manybody.data.tree import State
from manybody.engine.accelerate import autocast, compiled
from manybody.engine.checkpoint.parts import ModulePart, OptimizerPart, Part, Parts, Stateful
from manybody.engine.checkpoint.rl_games import without_unused
from manybody.engine.checkpoint.values import learning_rate
from manybody.engine.console import notice
from manybody.engine.metrics import EpochMeans, mean_of
from manybody.engine.optim import AdaptiveScheduler, GuardedAdam, LinearScheduler, RLScheduler
from manybody.functional import policy as policy_maths
from manybody.functional.stats import normalize_advantage
from manybody.functional.value import critic_loss, explained_variance
from manybody.model_builder import ModelBuilder
from manybody.nn.distributions import Distribution
from manybody.nn.normalizer import MovingMeanStd

SCHEDULED = {"learning_rate": "last_lr", "entropy_coef": "entropy_coef"}
"""Settings that a schedule changes during training, and the attributes that hold their current values."""
PER_MINIBATCH = ("legacy", "per_minibatch")
CLIP_FRACTION = "diagnostics/clip_frac"
"""Name of the share of clipped ratios, which is logged for each mini-epoch separately."""


class OnPolicyAgent(A2CBase):
    """Learns from the rollouts of :class:`A2CBase` with PPO, for any kind of action.

    A subclass sets ``actions_num`` and defines its policy's distribution. :meth:`build_learner` completes it.

    Hooks, each with a default that changes nothing: :meth:`extra_batch`, :meth:`extra_losses`.
    """

    PARAMS: ClassVar[dict[str, str]] = {
        "learning_rate": "last_lr",
        "entropy_coef": "entropy_coef",
        "critic_coef": "critic_coef",
        "gamma": "gamma",
        "tau": "tau",
        "e_clip": "e_clip",
        "mini_epochs": "mini_epochs_num",
    }

    bounds_loss_coef: float | None = None
    """Weight of :meth:`bounds_loss`."""
    self_play: SelfPlayManager | None = None

    def __init__(self, base_name: str, params: Params[OnPolicyConfig], **parts: Unpack[AgentParts]) -> None:
        super().__init__(base_name, params, **parts)
        config = self.config
        self.normalize_value: bool = config.normalize_value
        self.mini_epochs_num: int = config.mini_epochs
        self.minibatch_size = self._checked_minibatch_size()
        self.e_clip: float = config.e_clip
        self.clip_value: bool = config.clip_value
        self.critic_coef: float = config.critic_coef
        self.truncate_grads: bool = config.truncate_grads
        self.grad_norm: float | None = config.grad_norm
        self.ppo: bool = config.ppo
        self.actor_loss_func = policy_maths.smoothed_actor_loss if config.use_smooth_clamp else policy_maths.actor_loss
        self.schedule_type: str = config.schedule_type
        self.scheduler = self._make_scheduler()
        self.last_lr = torch.tensor(float(config.learning_rate), device=self.ppo_device)
        self.entropy_coef = torch.tensor(float(config.entropy_coef), device=self.ppo_device)

    def _make_scheduler(self) -> RLScheduler:
        config = self.config
        if config.lr_schedule == "adaptive":
            assert config.kl_threshold is not None  # a rule of the configuration
            return AdaptiveScheduler(config.kl_threshold, config.min_lr, config.max_lr, config.lr_multiplier)
        if config.lr_schedule == "linear":
            return LinearScheduler(
                config.learning_rate,
                config.min_lr,
                max_steps=self.max_epochs if self.max_epochs > 0 else self.max_frames,
                use_epochs=self.max_epochs > 0,
                apply_to_entropy=config.schedule_entropy,
                start_entropy_coef=config.entropy_coef,
            )
        return RLScheduler()

    def build_learner(self) -> None:
        """Build the model, the central value, the optimiser and the dataset.

        Raises:
            ConfigError: the network does not fit the environment or the settings.
        """
        config = self.config
        self.model = self.network.build(self.build_config()).to(self.ppo_device)
        self.is_rnn = self.model.is_rnn()
        if self.is_rnn:
            self.seq_length = self._checked_seq_length()
        self.central_value = self._build_central_value()
        critic: Any = self.model if self.central_value is None else self.central_value
        self.value_mean_std: Any = critic.value_mean_std if self.normalize_value else None
        self.has_value_loss: bool = config.use_experimental_cv or self.central_value is None
        """The policy's own value head learns."""
        self.advantage_mean_std: MovingMeanStd | None = (
            MovingMeanStd(config.adv_rms_momentum).to(self.ppo_device) if config.normalize_rms_advantage else None
        )
        self.optimizer = GuardedAdam(
            self.model.parameters(), config.learning_rate, config.weight_decay, self.ppo_device
        )
        self.dataset = PPODataset(self.batch_size, self.minibatch_size, config.shuffle_minibatches, self.seq_length)
        self._losses = compiled(self.forward_losses, config.torch_compile)
        if config.self_play_config is not None:
            self.self_play = SelfPlayManager(config.self_play_config, self)

    def _build_central_value(self) -> CentralValueTrain | None:
        section = self.config.central_value_config
        if section is None:
            return None
        state_space = self.env_info.get("state_space")
        if state_space is None:
            what = f"got a block, but the environment '{self.config.env_name}' has no state_space, so no obs['states']"
            raise ConfigError([Problem("params.config.central_value_config", what)])
        builder = ModelBuilder()
        recipe = builder.model_factory.create(
            section.model["name"], network=builder.network_factory.load(section.network)
        )
        return CentralValueTrain(
            section,
            recipe,
            self.config,
            state_space=state_space,
            num_agents=self.num_agents,
            value_size=self.value_size,
            guard=self.guard,
            device=self.ppo_device,
        )

    def _checked_minibatch_size(self) -> int:
        """M. Raises ConfigError when it does not divide the batch."""
        size: int = self.config.resolved_minibatch_size
        if not self.config.minibatch_size:
            size *= self.num_agents
        if self.batch_size % size:
            product = f"horizon_length {self.horizon_length} x num_actors {self.num_actors} x agents {self.num_agents}"
            what = f"got {size}; expected a divisor of {self.batch_size} (= {product})"
            raise ConfigError([Problem("params.config.minibatch_size", what)])
        return size

    def _checked_seq_length(self) -> int:
        """L. Raises ConfigError when it does not divide the horizon and the minibatch."""
        length = self.config.seq_length
        for key, size in (("horizon_length", self.horizon_length), ("minibatch_size", self.minibatch_size)):
            if size % length:
                what = f"got {length}; expected a divisor of {key} ({size}), because the network is recurrent"
                raise ConfigError([Problem("params.config.seq_length", what)])
        return length

    @property
    @override
    def rows_per_update(self) -> int:
        return self.minibatch_size

    @override
    def choose_precision(self, saved: State) -> None:
        super().choose_precision(saved)
        if self.central_value is not None:
            self.central_value.choose_precision(saved)

    # --- the policy, defined by subclasses -----------------------------------------------------------------------

    @abstractmethod
    def acting_policy(self, result: ModelOutput) -> Distribution:
        """The policy that the model returned."""

    @abstractmethod
    def old_policy(self, minibatch: TrainBatch) -> Distribution:
        """Reference of the KL divergence. Gaussian: the previous pass over this minibatch; discrete: the rollout."""

    @abstractmethod
    def policy_batch(self, batch: RolloutBatch) -> dict[str, Tensor]:
        """Return the parameters of :meth:`old_policy`, and masks, by name (B, ...)."""

    def bounds_loss(self, result: ModelOutput) -> Tensor | None:
        """() penalty on actions that leave their bounds, which ``bounds_loss_coef`` weighs; None: there is none."""
        return None

    # --- the loop ------------------------------------------------------------------------------------------------

    def train(self) -> tuple[float, int]:
        """Train until a stop rule holds; return the last mean return and the number of epochs.

        Raises:
            TrainingAbortedError: values stayed non-finite; the last good state was saved.
        """
        self.start_training()
        with self.run:
            while not self.run.finished:
                self.run.begin_epoch()
                self.update_epoch()
                metrics = self.train_epoch()
                self.run.end_epoch(metrics)
        return self.run.mean_reward, self.epoch_num

    def update_epoch(self) -> int:
        """Count the epoch; return its number."""
        self.epoch_num += 1
        return self.epoch_num

    def train_epoch(self) -> EpochMetrics:
        """Collect one rollout, then learn in ``mini_epochs`` passes over it."""
        self.vec_env.set_train_info(self.frame, self)
        started = time.perf_counter()
        batch = self.play_steps_rnn() if self.is_rnn else self.play_steps()
        played = time.perf_counter()
        self.curr_frames = batch.pop("played_frames")
        self.algo_observer.after_steps()
        self.prepare_dataset(batch)
        central_losses = self.train_central_value()
        self.means = EpochMeans()
        all_kl: list[Tensor] = []
        for mini_epoch in range(self.mini_epochs_num):
            self.set_train()
            if mini_epoch > 0:  # each rollout enters the statistics once
                self.freeze_normalizers()
            kls = self._one_pass(mini_epoch)
            all_kl += kls
            if self.schedule_type == "standard":
                self.update_schedule(mean_of(kls))
        if self.schedule_type == "standard_epoch":
            self.update_schedule(mean_of(all_kl))
        self.dataset.update_values_dict(None)
        self.frame += self.curr_frames
        return EpochMetrics(
            self.curr_frames,
            batch.get("step_time", 0.0),
            played - started,
            time.perf_counter() - played,
            self.mini_epochs_num * len(self.dataset) + (self.central_value.updates if self.central_value else 0),
            {
                **self.means.means(),
                **central_losses,
                "info/last_lr": self.last_lr,
                "info/entropy_coef": self.entropy_coef,
                "info/lr_mul": torch.ones(()),
                "info/e_clip": torch.tensor(self.e_clip),
            },
        )

    def _one_pass(self, mini_epoch: int) -> list[Tensor]:
        """Run one mini-epoch; return the divergence of each minibatch."""
        kls = []
        self.dataset.start_pass()
        for index in range(len(self.dataset)):
            result = self._update(cast(TrainBatch, self.dataset[index]))
            if result.mu is not None and result.sigma is not None:
                self.dataset.update_mu_sigma(index, result.mu, result.sigma)
            kls.append(result.kl)
            if self.schedule_type in PER_MINIBATCH:
                self.update_schedule(result.kl)
            self.means.add(
                {
                    "losses/a_loss": result.a_loss,
                    "losses/c_loss": result.c_loss,
                    "losses/entropy": result.entropy,
                    "losses/bounds_loss": result.b_loss,
                    "info/kl": result.kl,
                    **{
                        f"{name}/{mini_epoch}" if name == CLIP_FRACTION else name: value
                        for name, value in result.extra.items()
                    },
                }
            )
        return kls

    def prepare_dataset(self, batch: RolloutBatch) -> None:
        """Turn a rollout into a :class:`TrainBatch`: advantages, normalised values, what hooks add."""
        values, returns = batch["values"], batch["returns"]
        advantages = (returns - values).sum(dim=1)
        if self.config.use_diagnostics:
            self.epoch_extras["diagnostics/exp_var"] = explained_variance(values, returns)
            if self.normalize_value:
                self.epoch_extras["diagnostics/rms_value/mean"] = self.value_mean_std.running_mean.mean()
                self.epoch_extras["diagnostics/rms_value/var"] = self.value_mean_std.running_var.mean()
        if self.normalize_value:
            self.value_mean_std.train(not self.config.freeze_critic)
            with torch.no_grad():
                values, returns = self.value_mean_std(values), self.value_mean_std(returns)
            self.value_mean_std.eval()
        if self.config.normalize_advantage:
            moving = self.advantage_mean_std
            advantages = normalize_advantage(advantages) if moving is None else moving(advantages)
        self.dataset.update_values_dict(
            {
                "old_values": values,
                "old_logp_actions": batch["neglogpacs"],
                "advantages": advantages,
                "returns": returns,
                "actions": batch["actions"],
                "obs": batch["obses"],
                "dones": batch["dones"],
                **({"rnn_states": batch["rnn_states"]} if self.is_rnn else {}),
                **self.policy_batch(batch),
                **self.extra_batch(batch),
            }
        )

    def train_central_value(self) -> dict[str, Tensor]:
        """Let the central value, if any, learn from the prepared rollout; return () tensors by TensorBoard tag."""
        if self.central_value is None:
            return {}
        batch = self.dataset.values_dict
        return self.central_value.train_net(batch["old_values"], batch["returns"], self.epoch_num, self.frame)

    def _update(self, minibatch: TrainBatch) -> TrainResult:
        """Call :meth:`train_actor_critic`; override it to convert another return type."""
        return self.train_actor_critic(minibatch)

    def train_actor_critic(self, minibatch: TrainBatch) -> TrainResult:
        """Run one update from one minibatch."""
        self.train_result = self.calc_gradients(minibatch)
        return self.train_result

    def calc_gradients(self, minibatch: TrainBatch) -> TrainResult:
        """Compute losses and gradients, clip, and step the optimiser if all values are finite."""
        losses, kl, policy = self._losses(minibatch)
        self.step_optimizer(losses["loss"])
        known = ("loss", "a_loss", "c_loss", "entropy", "bounds_loss")
        extra = {name if "/" in name else f"losses/{name}": x for name, x in losses.items() if name not in known}
        return TrainResult(
            losses["a_loss"],
            losses["c_loss"],
            losses["entropy"],
            kl,
            self.last_lr,
            1.0,
            policy.get("mus"),
            policy.get("sigmas"),
            losses["bounds_loss"],
            extra,
        )

    def step_optimizer(self, loss: Tensor) -> None:
        """Compute the gradients of ``loss`` (), clip them if ``truncate_grads``, and step if all are finite."""
        self.optimizer.minimize(loss, self.grad_norm if self.truncate_grads else None, self.guard)

    def calc_grad(self, minibatch: TrainBatch) -> TrainResult:
        """An alias of :meth:`calc_gradients`."""
        return self.calc_gradients(minibatch)

    def forward_losses(self, minibatch: TrainBatch) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """Evaluate a minibatch: losses by name (``loss`` is the total), mean KL () and the policy's parameters."""
        with autocast(self.ppo_device, self.mixed_precision):
            result = self.model(
                {
                    "is_train": True,
                    "prev_actions": minibatch["actions"],
                    "obs": minibatch["obs"],
                    "action_masks": minibatch.get("action_masks"),
                    "rnn_states": minibatch.get("rnn_states"),
                    "seq_length": self.seq_length,
                    "dones": minibatch["dones"] if self.config.zero_rnn_on_done else None,
                }
            )
        losses = self.extra_losses(minibatch, self.calc_losses(minibatch, result))
        policy = self.acting_policy(result)
        with torch.no_grad():
            kl = policy.kl(self.old_policy(minibatch)).mean()
        return losses, kl, {name: value.detach() for name, value in policy.parameters().items()}

    def calc_losses(self, minibatch: TrainBatch, result: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute PPO's losses, each () and averaged over the minibatch.

        ``loss = a_loss + critic_coef c_loss / 2 - entropy_coef entropy + bounds_loss_coef bounds_loss`` (RL Games).
        """
        neglogp = result["prev_neglogp"]
        old_neglogp = minibatch["old_logp_actions"]
        a_loss = self.actor_loss_func(old_neglogp, neglogp, minibatch["advantages"], self.ppo, self.e_clip).mean()
        c_loss = critic_loss(
            minibatch["old_values"], result["values"], self.e_clip, minibatch["returns"], self.clip_value
        ).mean()
        entropy = result["entropy"].mean()
        loss = a_loss
        if self.has_value_loss:
            loss = loss + 0.5 * self.critic_coef * c_loss
        loss = loss - self.entropy_coef * entropy
        bounds_loss = self.bounds_loss(result)
        if bounds_loss is not None and self.bounds_loss_coef is not None:
            loss = loss + self.bounds_loss_coef * bounds_loss
        losses = {"a_loss": a_loss, "c_loss": c_loss, "entropy": entropy}
        losses["bounds_loss"] = torch.zeros_like(loss) if bounds_loss is None else bounds_loss
        for name, value in (self.model.get_aux_loss() or {}).items():
            loss = loss + value
            losses[name] = value
        if self.config.use_diagnostics:
            losses[CLIP_FRACTION] = policy_maths.clip_fraction(old_neglogp, neglogp, self.e_clip)
        return {"loss": loss, **losses}

    def extra_losses(self, minibatch: TrainBatch, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Hook: add to ``losses['loss']``; every other new entry () is logged as ``losses/<name>``."""
        return losses

    # --- between updates -----------------------------------------------------------------------------------------

    def set_train(self) -> None:
        """Set training mode. Statistics of values change in :meth:`prepare_dataset` alone."""
        self.model.train()
        if self.normalize_value:
            self.value_mean_std.eval()

    def freeze_normalizers(self) -> None:
        """Keep the statistics of inputs as they are until :meth:`set_train`."""
        if self.normalize_input:
            self.model.running_mean_std.eval()

    @override
    def summary(self) -> dict[str, object]:
        updates = self.mini_epochs_num * len(self.dataset)
        return {
            **super().summary(),
            "GAE lambda tau": self.config.tau,
            "epoch": f"{self.horizon_length} steps x {self.rows} rows = {self.batch_size} frames, {updates} updates",
            "minibatch": f"{self.minibatch_size} frames, {self.mini_epochs_num} mini-epochs",
            "learning rate": f"{self.config.learning_rate:g}, {self.config.lr_schedule}",
            "clipping range e_clip": self.e_clip,
        }

    def update_schedule(self, kl: Tensor) -> None:
        """Let the schedule choose the learning rate of the next update; ``kl`` () is ignored unless finite."""
        kl = torch.where(kl.isfinite(), kl, self.config.kl_threshold or 0.0)
        self.last_lr, self.entropy_coef = self.scheduler.update(
            self.last_lr, self.entropy_coef, self.epoch_num, self.frame, kl
        )
        self.update_lr(self.last_lr)

    def update_lr(self, lr: Tensor | float) -> None:
        """Set the learning rate of the optimiser."""
        self.optimizer.set_lr(lr)

    def extra_batch(self, rollout: RolloutBatch) -> dict[str, Tensor]:
        """Hook: further entries (B, ...) of the training batch (AMP: demonstrations and replay)."""
        return {}

    # --- checkpoints ---------------------------------------------------------------------------------------------

    @override
    def learner_parts(self) -> Parts:
        parts: dict[str, Stateful] = {
            "optimizer": OptimizerPart(self.optimizer, "optimizer", dict(self.model.named_parameters())),
            "schedule": Part(self._schedule_state, self._load_schedule),
        }
        if self.advantage_mean_std is not None:
            parts["advantage_mean_std"] = ModulePart(self.advantage_mean_std, "advantage_mean_std")
        return parts if self.central_value is None else {**parts, **self.central_value.learner_parts()}

    @override
    def memory_parts(self) -> Parts:
        manager = self.self_play
        if manager is None:
            return {}
        return {"self_play": Part(manager.state_dict, manager.load_state_dict, optional=True)}

    def _schedule_state(self) -> State:
        return {
            "last_lr": self.last_lr,
            "entropy_coef": self.entropy_coef,
            "configured": {name: float(self.config[name]) for name in SCHEDULED},
        }

    def _load_schedule(self, schedule: State) -> None:
        """Restore the scheduled values; a setting that was changed in the configuration takes effect instead."""
        changed = self._reconfigured(schedule)
        for name, attribute in SCHEDULED.items():
            value = schedule[attribute].to(self.ppo_device).clone()
            setattr(self, attribute, value.fill_(self.config[name]) if name in changed else value)
        for group in self.optimizer.param_groups:
            group["lr"] = self.last_lr.clone()

    def _reconfigured(self, schedule: State) -> dict[str, float]:
        """Scheduled settings whose configured value has changed, with the previous value."""
        previous = schedule.get("configured", {})
        return {name: old for name, old in previous.items() if old != self.config[name]}

    @override
    def end_epoch(self, read: Mapping[str, float]) -> None:
        if self.self_play is not None:
            self.self_play.after_epoch(read)

    def set_full_state_weights(self, weights: State, set_epoch: bool = True, path: str = "weights") -> None:
        """Resume from a checkpoint; report scheduled settings that were changed in the configuration."""
        super().set_full_state_weights(weights, set_epoch, path)
        for name, old in self._reconfigured(weights.get("schedule", {})).items():
            notice(f"{path}: {name} changes from {old:g} to the configured {self.config[name]:g}")

    @override
    def complete(self, state: State, path: str) -> tuple[dict[str, Any], list[str]]:
        whole, restarted = super().complete(state, path)
        rate = learning_rate(state.get("optimizer"), path)
        if rate is not None:
            whole["schedule"]["last_lr"] = torch.tensor(rate)
        if self.central_value is not None:
            key = "assymetric_vf_nets"
            whole[key] = without_unused(state[key], self.central_value.state_dict(), state)
        return whole, restarted

    @override
    def set_param(self, param_name: str, param_value: object) -> None:
        super().set_param(param_name, param_value)
        self.update_lr(self.last_lr)
