"""One minibatch: PPO's losses, gradients and optimiser step, whatever the actions are."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from manybody.algos.a2c.collect import A2CBase
from manybody.algos.a2c.types import RolloutBatch, TrainBatch, TrainResult
from manybody.engine.accelerate import autocast
from manybody.engine.optim import GuardedAdam
from manybody.functional import policy as policy_maths
from manybody.functional.value import critic_loss
from manybody.nn.distributions import Distribution

CLIP_FRACTION = "diagnostics/clip_frac"
"""Name of the share of clipped ratios, which is logged of each mini-epoch apart."""


class PPOUpdate(A2CBase):
    """What :class:`A2CBase` collects becomes a better policy, minibatch by minibatch.

    A subclass sets the attributes below and says what kind of distribution its policy is.
    """

    optimizer: GuardedAdam
    e_clip: float
    clip_value: bool
    critic_coef: float
    ppo: bool
    has_value_loss: bool
    """The policy's own value head learns."""
    actor_loss_func: Any
    _losses: Any
    """:meth:`forward_losses`, compiled if ``torch_compile`` asks for it."""

    # --- what kind of action, which subclasses say ---------------------------------------------------------------

    @property
    @abstractmethod
    def actions_num(self) -> int | tuple[int, ...]:
        """A: how many numbers the policy's head gives; several heads: of each."""

    @abstractmethod
    def check_action_space(self) -> None:
        """Raise ConfigError when the environment's actions are of another kind."""

    @abstractmethod
    def acting_policy(self, result: dict[str, Any]) -> Distribution:
        """The policy that the model returned."""

    @abstractmethod
    def old_policy(self, minibatch: TrainBatch) -> Distribution:
        """The policy that divergence is measured against."""

    @abstractmethod
    def policy_batch(self, batch: RolloutBatch) -> dict[str, Tensor]:
        """What :meth:`old_policy` is made from, and masks, by name (B, ...)."""

    def bounds_loss(self, result: dict[str, Any]) -> Tensor | None:
        """() penalty on actions that leave their bounds, which ``bounds_loss_coef`` weighs; None: there is none."""
        return None

    # --- the update ----------------------------------------------------------------------------------------------

    def train_actor_critic(self, minibatch: TrainBatch) -> TrainResult:
        """One update from one minibatch."""
        self.train_result = self.calc_gradients(minibatch)
        return self.train_result

    def calc_gradients(self, minibatch: TrainBatch) -> TrainResult:
        """Losses, backward, clip and, if all numbers are sound, an optimiser step."""
        losses, kl, policy = self._losses(minibatch)
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        max_norm = self.config.grad_norm if self.config.truncate_grads else float("inf")
        grad_norm = nn.utils.clip_grad_norm_(self.model.parameters(), max_norm)
        self.optimizer.guarded_step(self.guard.healthy_update(losses["loss"], grad_norm))
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

    def calc_grad(self, minibatch: TrainBatch) -> TrainResult:
        """The name that ISAAC_GYM.md uses for :meth:`calc_gradients`."""
        return self.calc_gradients(minibatch)

    def forward_losses(self, minibatch: TrainBatch) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """The model on a minibatch: losses by name (``loss`` is the total), mean KL () and the policy's parameters."""
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
        """PPO's losses, each () and averaged over the minibatch.

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
        if bounds_loss is not None:
            loss = loss + self.config.bounds_loss_coef * bounds_loss
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
