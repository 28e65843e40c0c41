"""What a checkpoint of SAC keeps, and how training resumes from one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos.sac.models import adopt_optimizers, model_state
from manybody.algos.sac.units import ACTION_BOUNDS, are_unit, is_convertible, to_unit_actions
from manybody.algos.training import TrainableAlgorithm
from manybody.data.replay import ReplayBuffer
from manybody.engine.checkpoint import load_optimizer, require
from manybody.engine.checkpoint.adoption import number
from manybody.engine.console import warn
from manybody.engine.optim import GuardedAdam


class SACState(TrainableAlgorithm):
    """The part of :class:`~manybody.algos.sac.SACAgent` that reads and writes checkpoints."""

    actions_low: Tensor
    actions_high: Tensor
    actor_optimizer: GuardedAdam
    critic_optimizer: GuardedAdam
    log_alpha_optimizer: GuardedAdam
    log_alpha: Tensor
    update_counter: int
    replay_buffer: ReplayBuffer
    learning_starts: int
    broken: Tensor

    @property
    def action_bounds(self) -> Tensor:
        """(2, A) the environment's lowest and highest action."""
        return torch.stack([self.actions_low, self.actions_high])

    def get_weights(self) -> dict[str, Any]:
        """See :class:`TrainableAlgorithm`; the bounds mark that the critics see actions in [-1, 1]."""
        return {**super().get_weights(), ACTION_BOUNDS: self.action_bounds}

    def set_weights(self, weights: Mapping[str, Any], path: str = "weights") -> None:
        """See :class:`TrainableAlgorithm`; RL Games' files keep the parts of the network apart.

        Critics that see actions in the environment's units are converted.
        """
        super().set_weights({"model": model_state(weights, path)}, path)
        if self.converts(weights):
            self.model.load_state_dict(to_unit_actions(self.model.state_dict(), self.action_bounds))

    def converts(self, weights: Mapping[str, Any]) -> bool:
        """Whether the critics of a checkpoint see other numbers for an action than these."""
        return ACTION_BOUNDS not in weights and not are_unit(self.action_bounds)

    def adopt(self, weights: Mapping[str, Any], path: str) -> list[str]:
        """See :class:`TrainableAlgorithm`: also the temperature, where it was saved (2.0), and the optimisers."""
        reset = super().adopt(weights, path)
        if "log_alpha" in weights:
            self._set_log_alpha(torch.tensor(number(weights, "log_alpha", path, 0.0)))
        else:
            reset.append("the temperature")
        reset += adopt_optimizers(self, weights, path)
        if self.converts(weights):
            self._forget_critic_moments()
            moments = "the moments of critic_optimizer"
            reset = [*filter(moments.__ne__, reset), f"{moments} ({self._conversion()})"]
        return reset

    def learner_state(self) -> dict[str, Any]:
        """Weights, temperature and optimisers: what a rollback returns to."""
        return {
            **self.get_weights(),
            "log_alpha": self.log_alpha.detach(),
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "log_alpha_optimizer": self.log_alpha_optimizer.state_dict(),
            "update_counter": self.update_counter,
        }

    def set_learner_state(self, state: Mapping[str, Any], path: str = "state") -> None:
        """The inverse of :meth:`learner_state`; the learning rates are those of the configuration."""
        self.set_weights(state, path)
        self._set_log_alpha(require(state, "log_alpha", path))
        config = self.config
        for name, rate in (
            ("actor", config.actor_lr),
            ("critic", config.critic_lr),
            ("log_alpha", config.alpha_lr),
        ):
            optimizer = getattr(self, f"{name}_optimizer")
            load_optimizer(optimizer, state, f"{name}_optimizer", path)
            for group in optimizer.param_groups:
                group["lr"] = torch.tensor(rate, device=self.ppo_device)
        self.update_counter = require(state, "update_counter", path)
        if self.converts(state):
            self._forget_critic_moments()

    def _forget_critic_moments(self) -> None:
        """The squares of the gradients do not convert with the critics."""
        self.critic_optimizer.state.clear()

    def _conversion(self) -> str:
        if is_convertible(self.model.state_dict()):
            return "the critics are converted to actions in [-1, 1]"
        return "the critics saw actions in the environment's units; they have to learn again, from actions in [-1, 1]"

    def set_full_state_weights(self, weights: Mapping[str, Any], set_epoch: bool = True, path: str = "weights") -> None:
        """See :class:`TrainableAlgorithm`; gives one notice where the critics of an earlier version are converted."""
        super().set_full_state_weights(weights, set_epoch, path)
        if "algo" in weights and self.converts(weights):
            warn(f"{path}: an earlier version saved it; {self._conversion()}; the moments of critic_optimizer restart")

    def _set_log_alpha(self, value: Tensor) -> None:
        with torch.no_grad():
            self.log_alpha.copy_(value.reshape(()))

    def memory_state(self) -> dict[str, Any]:
        """The remembered steps, with ``save_replay_buffer``."""
        return {"replay_buffer": self.replay_buffer.state_dict()} if self.config.save_replay_buffer else {}

    def set_memory_state(self, state: Mapping[str, Any], path: str) -> None:
        """The inverse of :meth:`memory_state`; warns where the checkpoint has none."""
        why = "it holds no replay buffer (save_replay_buffer was off)"
        self.replay_buffer.clear()
        if "replay_buffer" in state:
            try:
                self.replay_buffer.load_state_dict(state["replay_buffer"])
                return
            except ValueError as error:
                why = f"its replay buffer does not fit: {error}"
        warn(
            f"{path}: {why}; the policy acts until {self.learning_starts} transitions are remembered, then learning "
            "goes on"
        )

    @override
    def interaction_state(self) -> dict[str, Any]:
        return {**super().interaction_state(), "broken": self.broken}

    @override
    def set_interaction_state(self, state: Mapping[str, Any]) -> None:
        super().set_interaction_state(state)
        self.broken = state["broken"].to(self.ppo_device)
