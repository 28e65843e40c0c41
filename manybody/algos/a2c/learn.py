"""How an on-policy agent learns from its rollouts, whatever its actions are."""

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos.a2c.central_value import CentralValue, CentralValueTrain
from manybody.algos.a2c.self_play import SelfPlay, SelfPlayManager
from manybody.algos.a2c.types import RolloutBatch, TrainBatch
from manybody.algos.a2c.update import CLIP_FRACTION, PPOUpdate
from manybody.algos.run import EpochMetrics
from manybody.config import ConfigError, Params, Problem
from manybody.data.minibatch import PPODataset
from manybody.engine.accelerate import compiled
from manybody.engine.checkpoint import load_optimizer, require
from manybody.engine.checkpoint.adoption import adopt_moments, learning_rate
from manybody.engine.console import notice
from manybody.engine.metrics import EpochMeans, mean_of
from manybody.engine.optim import GuardedAdam
from manybody.engine.run_folder import RunFolder
from manybody.functional import policy as policy_maths
from manybody.functional.stats import normalize_advantage
from manybody.functional.value import explained_variance
from manybody.model_builder import ModelBuilder
from manybody.nn.normalizer import MovingMeanStd

SCHEDULED = {"learning_rate": "last_lr", "entropy_coef": "entropy_coef"}
"""Settings that a schedule moves in training, and the attributes that it moves."""
PER_MINIBATCH = ("legacy", "per_minibatch")


class _OnPolicy(PPOUpdate):
    """The learning that every on-policy agent shares, whatever its actions are.

    Args:
        folder: makes the run folder; called once everything else stands. None: nothing is written.
        checkpoint: the file to go on from.

    Raises:
        CheckpointError: what is wrong with the checkpoint; no run folder was made.
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

    def __init__(
        self,
        base_name: str,
        params: Params,
        *,
        folder: Callable[[], RunFolder] | None = None,
        checkpoint: str | None = None,
        **parts: Any,
    ) -> None:
        super().__init__(base_name, params, **parts)
        config = self.config
        self.mini_epochs_num: int = config.mini_epochs
        self.minibatch_size = self._checked_minibatch_size()
        self.e_clip: float = config.e_clip
        self.clip_value: bool = config.clip_value
        self.critic_coef: float = config.critic_coef
        self.ppo: bool = config.ppo
        self.actor_loss_func = policy_maths.smoothed_actor_loss if config.use_smooth_clamp else policy_maths.actor_loss
        self.check_action_space()
        self.model = self.network.build(self.build_config()).to(self.ppo_device)
        if self.is_rnn:
            self.seq_length = self._checked_seq_length()
        self.central_value = self._build_central_value()
        self.value_mean_std: Any = None
        if self.normalize_value:
            critic: Any = self.central_value if self.central_value.present else self.model
            self.value_mean_std = critic.value_mean_std
        # The policy's own value head learns too, unless a central value makes it idle.
        self.has_value_loss: bool = config.use_experimental_cv or not self.central_value.present
        self.advantage_mean_std: MovingMeanStd | None = (
            MovingMeanStd(config.adv_rms_momentum).to(self.ppo_device) if config.normalize_rms_advantage else None
        )
        self.optimizer = GuardedAdam(
            self.model.parameters(), config.learning_rate, config.weight_decay, self.ppo_device
        )
        self.dataset = PPODataset(self.batch_size, self.minibatch_size, config.shuffle_minibatches, self.seq_length)
        self._losses = compiled(self.forward_losses, config.torch_compile)
        section = config.self_play_config
        self.self_play = SelfPlay() if section is None else SelfPlayManager(section, self)
        self.open_run(folder, checkpoint)

    @property
    @override
    def rows_per_update(self) -> int:
        return self.minibatch_size

    def choose_precision(self, saved: Mapping[str, Any]) -> None:
        """See :class:`TrainableAlgorithm`; the central value decides for itself."""
        super().choose_precision(saved)
        self.central_value.choose_precision(saved)

    def build_config(self) -> dict[str, Any]:
        """What the model is built from; agents with further networks add to it."""
        return {
            "actions_num": self.actions_num,
            "input_shape": self.obs_shape,
            "num_seqs": self.rows,
            "value_size": self.value_size,
            "normalize_value": self.normalize_value,
            "normalize_input": self.normalize_input,
        }

    # --- central value and recurrence --------------------------------------------------------------------------

    def _build_central_value(self) -> CentralValue:
        section = self.config.central_value_config
        if section is None:
            return CentralValue()
        state_space = self.env_info.get("state_space")
        if state_space is None:
            what = f"given, but the environment '{self.config.env_name}' has no state_space, so no obs['states']"
            raise ConfigError([Problem("params.config.central_value_config", what)])
        builder = ModelBuilder()
        recipe = builder.model_factory.create(
            section.model["name"], network=builder.network_factory.load(section.network)
        )
        return CentralValueTrain(
            section,
            recipe,
            state_space=state_space,
            num_actors=self.num_actors,
            num_agents=self.num_agents,
            horizon_length=self.horizon_length,
            seq_length=self.config.seq_length,
            zero_rnn_on_done=self.config.zero_rnn_on_done,
            value_size=self.value_size,
            normalize_value=self.normalize_value,
            max_epochs=self.max_epochs,
            max_frames=self.max_frames,
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
            what = f"given {size}; expected a divisor of {self.batch_size} (= {product})"
            raise ConfigError([Problem("params.config.minibatch_size", what)])
        return size

    def _checked_seq_length(self) -> int:
        """L. Raises ConfigError when it does not divide the horizon and the minibatch."""
        length = self.config.seq_length
        for key, size in (("horizon_length", self.horizon_length), ("minibatch_size", self.minibatch_size)):
            if size % length:
                what = f"given {length}; expected a divisor of {key} ({size}), because the network is recurrent"
                raise ConfigError([Problem("params.config.seq_length", what)])
        return length

    # --- the loop ------------------------------------------------------------------------------------------------

    def train_epoch(self) -> EpochMetrics:
        """One rollout, then ``mini_epochs`` passes over it."""
        self.vec_env.set_train_info(self.frame, self)
        started = time.perf_counter()
        batch = self.play_steps_rnn() if self.is_rnn else self.play_steps()
        played = time.perf_counter()
        self.algo_observer.after_steps()
        self.prepare_dataset(batch)
        self.means = EpochMeans()
        all_kl: list[Tensor] = []
        for mini_epoch in range(self.mini_epochs_num):
            self.set_train(first_pass=mini_epoch == 0)
            kls = self._one_pass(mini_epoch)
            all_kl += kls
            if self.schedule_type == "standard":
                self.update_schedule(mean_of(kls))
        if self.schedule_type == "standard_epoch":
            self.update_schedule(mean_of(all_kl))
        self.dataset.update_values_dict(None)
        self.frame += self.batch_size
        return EpochMetrics(
            self.batch_size,
            batch["step_time"],
            played - started,
            time.perf_counter() - played,
            self.mini_epochs_num * len(self.dataset) + self.central_value.updates,
            {
                **self.means.means(),
                **self.central_losses,
                "info/last_lr": self.last_lr,
                "info/entropy_coef": self.entropy_coef,
                "info/lr_mul": torch.ones(()),
                "info/e_clip": torch.tensor(self.e_clip),
            },
        )

    def _one_pass(self, mini_epoch: int) -> list[Tensor]:
        """One mini-epoch; the divergence of each minibatch."""
        kls = []
        self.dataset.start_pass()
        for index in range(len(self.dataset)):
            result = self.train_actor_critic(cast(TrainBatch, self.dataset[index]))
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

    def update_schedule(self, kl: Tensor) -> None:
        """Let the schedule choose the learning rate of the next update; ``kl`` () is ignored when broken."""
        kl = torch.where(kl.isfinite(), kl, self._target_kl())
        self.last_lr, self.entropy_coef = self.scheduler.update(
            self.last_lr, self.entropy_coef, self.epoch_num, self.frame, kl
        )
        self.update_lr(self.last_lr)

    def _target_kl(self) -> float:
        return self.config.kl_threshold or 0.0

    def update_lr(self, lr: Tensor | float) -> None:
        """Set the learning rate of the optimiser."""
        self.optimizer.set_lr(lr)

    def set_train(self, first_pass: bool = True) -> None:
        """Training mode. Each rollout enters the observation statistics once, in the first pass over it."""
        self.model.train()
        if self.normalize_value:
            self.value_mean_std.eval()
        if self.normalize_input and not first_pass:
            self.model.running_mean_std.eval()

    # --- checkpoints ---------------------------------------------------------------------------------------------

    def learner_state(self) -> dict[str, Any]:
        """Weights, optimiser and schedule: what a rollback returns to."""
        moving = self.advantage_mean_std
        return {
            **self.get_weights(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {
                "last_lr": self.last_lr,
                "entropy_coef": self.entropy_coef,
                "configured": {name: float(self.config[name]) for name in SCHEDULED},
            },
            **({} if moving is None else {"advantage_mean_std": moving.state_dict()}),
            **self.central_value.learner_state(),
        }

    def set_learner_state(self, state: Mapping[str, Any], path: str = "state") -> None:
        """The inverse of :meth:`learner_state`."""
        self.set_weights(state, path)
        load_optimizer(self.optimizer, state, "optimizer", path)
        schedule = require(state, "schedule", path)
        changed = self._reconfigured(schedule)
        for name, attribute in SCHEDULED.items():
            value = schedule[attribute].to(self.ppo_device).clone()
            # A setting that somebody changed counts from here; one that they left goes on where it was.
            setattr(self, attribute, value.fill_(self.config[name]) if name in changed else value)
        for group in self.optimizer.param_groups:
            group["lr"] = self.last_lr.clone()
        if self.advantage_mean_std is not None:
            self.advantage_mean_std.load_state_dict(require(state, "advantage_mean_std", path))
        self.central_value.set_learner_state(state, path)

    @override
    def end_epoch(self, read: Mapping[str, float]) -> None:
        self.self_play.after_epoch(read)

    def memory_state(self) -> dict[str, Any]:
        """See :class:`TrainableAlgorithm`: the opponents."""
        return self.self_play.state()

    @override
    def set_memory_state(self, state: Mapping[str, Any], path: str) -> None:
        self.self_play.set_state(state)

    def _reconfigured(self, schedule: Mapping[str, Any]) -> dict[str, float]:
        """Scheduled settings that are configured otherwise now, with what they were."""
        began_with = schedule.get("configured", {})
        return {name: old for name, old in began_with.items() if old != self.config[name]}

    def set_full_state_weights(self, weights: Mapping[str, Any], set_epoch: bool = True, path: str = "weights") -> None:
        """See :class:`TrainableAlgorithm`; a scheduled setting that was changed since then counts from here."""
        super().set_full_state_weights(weights, set_epoch, path)
        for name, old in self._reconfigured(weights.get("schedule", {})).items():
            notice(f"{path}: {name} was configured as {old:g} and goes on from {self.config[name]:g}")

    def adopt(self, weights: Mapping[str, Any], path: str) -> list[str]:
        """See :class:`TrainableAlgorithm`: also the central value, and the optimisers."""
        anew = super().adopt(weights, path) + self.central_value.adopt(weights, path)
        state = weights.get("optimizer")
        rate = learning_rate(state, path)
        if rate is not None:
            self.last_lr = torch.full_like(self.last_lr, rate)
            self.update_lr(self.last_lr)
        if not adopt_moments(self.optimizer, dict(self.model.named_parameters()), weights["model"], state):
            anew.append("the optimiser's moments")
        return anew

    @override
    def set_param(self, param_name: str, param_value: Any) -> None:
        super().set_param(param_name, param_value)
        self.update_lr(self.last_lr)

    # --- from rollout to batch -----------------------------------------------------------------------------------

    def prepare_dataset(self, batch: RolloutBatch) -> None:
        """Turn a rollout into a :class:`TrainBatch`: advantages, normalised values, what hooks add."""
        values, returns = batch["values"], batch["returns"]
        advantages = (returns - values).sum(dim=1)
        self._diagnose(values, returns)
        if self.normalize_value:
            self.value_mean_std.train(not self.config.freeze_critic)
            with torch.no_grad():
                values, returns = self.value_mean_std(values), self.value_mean_std(returns)
            self.value_mean_std.eval()
        self.central_losses = self.central_value.train_net(values, returns, self.epoch_num, self.frame)
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

    def extra_batch(self, rollout: RolloutBatch) -> dict[str, Tensor]:
        """Hook: further entries (B, ...) of the training batch (AMP: demonstrations and replay)."""
        return {}

    def _diagnose(self, values: Tensor, returns: Tensor) -> None:
        if self.config.use_diagnostics:
            self.epoch_extras["diagnostics/exp_var"] = explained_variance(values, returns)
            if self.normalize_value:
                self.epoch_extras["diagnostics/rms_value/mean"] = self.value_mean_std.running_mean.mean()
                self.epoch_extras["diagnostics/rms_value/var"] = self.value_mean_std.running_var.mean()
