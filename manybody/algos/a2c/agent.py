"""How an on-policy agent learns: ``ContinuousA2CBase`` and ``A2CAgent`` (``a2c_continuous``)."""

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from manybody.algos.a2c.collect import A2CBase
from manybody.algos.a2c.types import RolloutBatch, TrainBatch, TrainResult
from manybody.algos.run import EpochMetrics, clone
from manybody.config import Params
from manybody.data.minibatch import PPODataset
from manybody.data.rollout import Field
from manybody.engine.accelerate import autocast, compiled
from manybody.engine.checkpoint import require
from manybody.engine.metrics import EpochMeans, mean_of
from manybody.engine.observers import AlgoObserver
from manybody.engine.optim import GuardedAdam
from manybody.engine.run_folder import RunFolder
from manybody.envs.base import VecEnv
from manybody.functional import policy as policy_maths
from manybody.functional.actions import rescale_actions
from manybody.functional.stats import normalize_advantage
from manybody.functional.value import critic_loss, explained_variance
from manybody.nn.distributions import Gaussian
from manybody.nn.normalizer import MovingMeanStd

PER_MINIBATCH = ("legacy", "per_minibatch")


class _OnPolicy(A2CBase):
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
        vec_env: VecEnv | None = None,
        observer: AlgoObserver | None = None,
        folder: Callable[[], RunFolder] | None = None,
        checkpoint: str | None = None,
    ) -> None:
        super().__init__(base_name, params, vec_env=vec_env, observer=observer)
        config = self.config
        self.mini_epochs_num: int = config.mini_epochs
        self.minibatch_size: int = config.resolved_minibatch_size
        self.e_clip: float = config.e_clip
        self.clip_value: bool = config.clip_value
        self.critic_coef: float = config.critic_coef
        self.ppo: bool = config.ppo
        self.actor_loss_func = (
            policy_maths.smoothed_actor_loss if config.use_smooth_clamp else policy_maths.actor_loss
        )
        self.model = self.network.build(self.build_config()).to(self.ppo_device)
        self.value_mean_std: Any = self.model.value_mean_std if self.normalize_value else None
        self.advantage_mean_std: MovingMeanStd | None = (
            MovingMeanStd(config.adv_rms_momentum).to(self.ppo_device)
            if config.normalize_rms_advantage
            else None
        )
        self.optimizer = GuardedAdam(
            self.model.parameters(), config.learning_rate, config.weight_decay, self.ppo_device
        )
        self.dataset = PPODataset(self.batch_size, self.minibatch_size, config.shuffle_minibatches)
        self._losses = compiled(self.forward_losses, config.torch_compile)
        self.open_run(folder, checkpoint)

    @property
    @abstractmethod
    def actions_num(self) -> int:
        """A: how many numbers the policy's head gives."""

    @abstractmethod
    def forward_losses(self, minibatch: TrainBatch) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """The model on a minibatch: losses by name (``loss`` is the total), mean KL (), mu and sigma (M, A)."""

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

    # --- the loop ------------------------------------------------------------------------------------------------

    def train_epoch(self) -> EpochMetrics:
        """One rollout, then ``mini_epochs`` passes over it."""
        self.vec_env.set_train_info(self.frame, self)
        started = time.perf_counter()
        batch = self.play_steps()
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
            self.mini_epochs_num * len(self.dataset),
            {
                **self.means.means(),
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
                    **{name.format(mini_epoch=mini_epoch): value for name, value in result.extra.items()},
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
            "schedule": {"last_lr": self.last_lr, "entropy_coef": self.entropy_coef},
            **({} if moving is None else {"advantage_mean_std": moving.state_dict()}),
        }

    def set_learner_state(self, state: Mapping[str, Any], path: str = "state") -> None:
        """The inverse of :meth:`learner_state`."""
        self.set_weights(state, path)
        # A copy: the optimiser would go on writing into the tensors that it is given.
        self.optimizer.load_state_dict(clone(require(state, "optimizer", path)))
        schedule = require(state, "schedule", path)
        self.last_lr = schedule["last_lr"].to(self.ppo_device).clone()
        self.entropy_coef = schedule["entropy_coef"].to(self.ppo_device).clone()
        for group in self.optimizer.param_groups:
            group["lr"] = self.last_lr.clone()
        if self.advantage_mean_std is not None:
            self.advantage_mean_std.load_state_dict(require(state, "advantage_mean_std", path))

    def adopt_optimizer(self, weights: Mapping[str, Any]) -> None:
        """Of an RL Games checkpoint's optimiser, the learning rate."""
        groups = (weights.get("optimizer") or {}).get("param_groups")
        if groups:
            self.last_lr = torch.full_like(self.last_lr, float(groups[0]["lr"]))
            self.update_lr(self.last_lr)

    def set_param(self, param_name: str, param_value: Any) -> None:
        """See :class:`TrainableAlgorithm`."""
        super().set_param(param_name, param_value)
        self.update_lr(self.last_lr)

    # --- from rollout to batch -----------------------------------------------------------------------------------

    def prepare_dataset(self, batch: RolloutBatch) -> None:
        """Turn a rollout into a :class:`TrainBatch`: advantages, normalised values, what hooks add."""
        values, returns = batch["values"], batch["returns"]
        advantages = (returns - values).sum(dim=1)
        self._diagnose(values, returns)
        if self.normalize_value:
            self.value_mean_std.train()
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
                **self.policy_batch(batch),
                **self.extra_batch(batch),
            }
        )

    def policy_batch(self, batch: RolloutBatch) -> dict[str, Tensor]:
        """Parameters of the policy that acted, by name (B, ...)."""
        return {}

    def extra_batch(self, rollout: RolloutBatch) -> dict[str, Tensor]:
        """Hook: further entries (B, ...) of the training batch (AMP: demonstrations and replay)."""
        return {}

    def extra_losses(self, minibatch: TrainBatch, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Hook: add to ``losses['loss']``; every other new entry () is logged as ``losses/<name>``."""
        return losses

    def _diagnose(self, values: Tensor, returns: Tensor) -> None:
        if self.config.use_diagnostics:
            self.epoch_extras["diagnostics/exp_var"] = explained_variance(values, returns)
            if self.normalize_value:
                self.epoch_extras["diagnostics/rms_value/mean"] = self.value_mean_std.running_mean.mean()
                self.epoch_extras["diagnostics/rms_value/var"] = self.value_mean_std.running_var.mean()


class ContinuousA2CBase(_OnPolicy):
    """Actions are real vectors: Gaussian policies over a Box."""

    def __init__(self, base_name: str, params: Params, **parts: Any) -> None:
        self.clip_actions: bool = params.config.clip_actions
        self.bounds_loss_coef = params.config.bounds_loss_coef
        self.bound_loss_type: str = params.config.bound_loss_type
        super().__init__(base_name, params, **parts)

    @property
    def actions_num(self) -> int:
        """A."""
        return self.env_info["action_space"].shape[0]

    def policy_fields(self) -> dict[str, Field]:
        """Adds actions and the Gaussian's parameters."""
        per_action = Field((self.actions_num,), torch.float32)
        return {**super().policy_fields(), "actions": per_action, "mus": per_action, "sigmas": per_action}

    @property
    def update_list(self) -> list[str]:
        """See :class:`A2CBase`."""
        return [*super().update_list, "mus", "sigmas"]

    def policy_batch(self, batch: RolloutBatch) -> dict[str, Tensor]:
        """See :class:`_OnPolicy`."""
        return {"mu": batch["mus"], "sigma": batch["sigmas"]}

    def preprocess_actions(self, actions: Tensor) -> Tensor:
        """With ``clip_actions``: clamp to [-1, 1], then map to the action space's own range; else as sampled."""
        if self.clip_actions:
            actions = rescale_actions(self.actions_low, self.actions_high, actions.clamp(-1.0, 1.0))
        return super().preprocess_actions(actions)

    def init_tensors(self) -> None:
        """See :class:`A2CBase`."""
        super().init_tensors()
        space = self.env_info["action_space"]
        self.actions_low = torch.as_tensor(space.low, dtype=torch.float32, device=self.ppo_device)
        self.actions_high = torch.as_tensor(space.high, dtype=torch.float32, device=self.ppo_device)


class A2CAgent(ContinuousA2CBase):
    """``a2c_continuous``: PPO."""

    def train_actor_critic(self, minibatch: TrainBatch) -> TrainResult:
        """One update from one minibatch."""
        self.train_result = self.calc_gradients(minibatch)
        return self.train_result

    def calc_gradients(self, minibatch: TrainBatch) -> TrainResult:
        """Losses, backward, clip and, if all numbers are sound, an optimiser step."""
        losses, kl, mu, sigma = self._losses(minibatch)
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        max_norm = self.config.grad_norm if self.config.truncate_grads else float("inf")
        grad_norm = nn.utils.clip_grad_norm_(self.model.parameters(), max_norm)
        self.optimizer.guarded_step(self.guard.healthy_update(losses["loss"], grad_norm))
        known = ("loss", "a_loss", "c_loss", "entropy", "bounds_loss")
        extra = {
            name if "/" in name else f"losses/{name}": x for name, x in losses.items() if name not in known
        }
        return TrainResult(
            losses["a_loss"],
            losses["c_loss"],
            losses["entropy"],
            kl,
            self.last_lr,
            1.0,
            mu,
            sigma,
            losses["bounds_loss"],
            extra,
        )

    def calc_grad(self, minibatch: TrainBatch) -> TrainResult:
        """The name that ISAAC_GYM.md uses for :meth:`calc_gradients`."""
        return self.calc_gradients(minibatch)

    def forward_losses(self, minibatch: TrainBatch) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """The model on a minibatch: losses by name (``loss`` is the total), mean KL (), mu and sigma (M, A)."""
        with autocast(self.ppo_device, self.mixed_precision):
            result = self.model(
                {"is_train": True, "prev_actions": minibatch["actions"], "obs": minibatch["obs"]}
            )
        losses = self.extra_losses(minibatch, self.calc_losses(minibatch, result))
        with torch.no_grad():
            old = Gaussian(minibatch["mu"], minibatch["sigma"])
            kl = Gaussian(result["mus"], result["sigmas"]).kl(old).mean()
        return losses, kl, result["mus"].detach(), result["sigmas"].detach()

    def calc_losses(self, minibatch: TrainBatch, result: dict[str, Tensor]) -> dict[str, Tensor]:
        """PPO's losses, each () and averaged over the minibatch.

        ``loss = a_loss + critic_coef c_loss / 2 - entropy_coef entropy + bounds_loss_coef bounds_loss`` (RL Games).
        """
        neglogp = result["prev_neglogp"]
        old_neglogp = minibatch["old_logp_actions"]
        a_loss = self.actor_loss_func(
            old_neglogp, neglogp, minibatch["advantages"], self.ppo, self.e_clip
        ).mean()
        c_loss = critic_loss(
            minibatch["old_values"], result["values"], self.e_clip, minibatch["returns"], self.clip_value
        ).mean()
        entropy = result["entropy"].mean()
        bounds_loss = self.bounds_loss(result["mus"])
        loss = a_loss + 0.5 * self.critic_coef * c_loss - self.entropy_coef * entropy
        losses = {"a_loss": a_loss, "c_loss": c_loss, "entropy": entropy, "bounds_loss": bounds_loss}
        if self.bounds_loss_coef is not None:
            loss = loss + self.bounds_loss_coef * bounds_loss
        for name, value in (self.model.get_aux_loss() or {}).items():
            loss = loss + value
            losses[name] = value
        if self.config.use_diagnostics:
            losses["diagnostics/clip_frac/{mini_epoch}"] = policy_maths.clip_fraction(
                old_neglogp, neglogp, self.e_clip
            )
        return {"loss": loss, **losses}

    def bounds_loss(self, mu: Tensor) -> Tensor:
        """() penalty on mean actions (M, A) outside the bound, or on their size, as ``bound_loss_type`` says."""
        if self.bounds_loss_coef is None or self.bound_loss_type not in ("bound", "regularisation"):
            return torch.zeros((), device=mu.device)
        return (
            policy_maths.bound_loss(mu) if self.bound_loss_type == "bound" else policy_maths.reg_loss(mu)
        ).mean()
