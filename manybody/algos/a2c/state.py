"""What an on-policy agent keeps in a checkpoint, and how it goes on from one."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from manybody.algos.a2c.collect import A2CBase
from manybody.algos.a2c.run import Run, clone
from manybody.engine.checkpoint import check_state_dict, load_checkpoint, require, rng_state, set_rng_state
from manybody.engine.console import warn
from manybody.engine.optim import GuardedAdam
from manybody.nn.normalizer import MovingMeanStd

PARAMS = {
    "learning_rate": "last_lr",
    "entropy_coef": "entropy_coef",
    "critic_coef": "critic_coef",
    "gamma": "gamma",
    "tau": "tau",
    "e_clip": "e_clip",
    "mini_epochs": "mini_epochs_num",
}
"""What population-based training may change: configuration key to attribute."""


class RestorableA2C(A2CBase):
    """An agent whose whole state can be saved at an epoch boundary and put back."""

    optimizer: GuardedAdam
    advantage_mean_std: MovingMeanStd | None
    run: Run
    resumed: bool
    """A checkpoint has put environments and episode counters back."""

    @abstractmethod
    def update_lr(self, lr: Tensor | float) -> None:
        """Set the learning rate of the optimiser."""

    def get_weights(self) -> dict[str, Any]:
        """The policy alone: parameters and normalisers."""
        return {"model": self.model.state_dict()}

    def set_weights(self, weights: Mapping[str, Any], path: str = "weights") -> None:
        """The inverse of :meth:`get_weights`. Raises CheckpointError naming every parameter that does not fit."""
        state = require(weights, "model", path)
        check_state_dict(self.model.state_dict(), state, path)
        self.model.load_state_dict(state)

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

    def get_full_state_weights(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here (at an epoch boundary)."""
        return {
            "algo": self.params.algo.name,
            **self.learner_state(),
            "epoch": self.epoch_num,
            "frame": self.frame,
            "last_mean_rewards": self.last_mean_rewards,
            "elapsed": self.run.elapsed,
            "statistics": {
                "game_rewards": self.game_rewards.state_dict(),
                "game_shaped_rewards": self.game_shaped_rewards.state_dict(),
                "game_lengths": self.game_lengths.state_dict(),
                "current_rewards": self.current_rewards,
                "current_shaped_rewards": self.current_shaped_rewards,
                "current_lengths": self.current_lengths,
            },
            "interaction": {"obs": self.obs, "dones": self.dones},
            "env_state": self.vec_env.get_env_state(),
            "observer": self.algo_observer.state_dict(),
            "rng": rng_state(),
        }

    def set_full_state_weights(
        self, weights: Mapping[str, Any], set_epoch: bool = True, path: str = "weights"
    ) -> None:
        """Go on from a checkpoint. Raises CheckpointError when it belongs to another agent or lacks a part.

        Of RL Games' checkpoints, weights, normalisers, counters and learning rate are taken over.
        """
        if "algo" not in weights:
            self._adopt(weights, set_epoch, path)
            return
        self.set_learner_state(weights, path)
        self.init_tensors()
        if set_epoch:
            self.epoch_num = require(weights, "epoch", path)
            self.frame = require(weights, "frame", path)
            self.last_mean_rewards = require(weights, "last_mean_rewards", path)
            self.run.elapsed = require(weights, "elapsed", path)
        self.resumed = self._restore_interaction(weights, path)
        self.algo_observer.load_state_dict(weights.get("observer", {}))
        set_rng_state(require(weights, "rng", path))

    def check(self, weights: Mapping[str, Any], path: str) -> None:
        """Find out, before anything is written, whether this agent can go on from a checkpoint.

        Raises:
            CheckpointError: it belongs to another agent or lacks a part.
        """
        if "algo" not in weights:
            self.set_weights(weights, path)
            return
        self.set_learner_state(weights, path)
        for part in ("epoch", "frame", "last_mean_rewards", "elapsed", "interaction", "statistics", "rng"):
            require(weights, part, path)

    def _adopt(self, weights: Mapping[str, Any], set_epoch: bool, path: str) -> None:
        """Begin with what RL Games has learned."""
        self.set_weights(weights, path)
        groups = (weights.get("optimizer") or {}).get("param_groups")
        if groups:
            self.last_lr = torch.full_like(self.last_lr, float(groups[0]["lr"]))
            self.update_lr(self.last_lr)
        if set_epoch:
            self.epoch_num = int(weights.get("epoch", 0))
            self.frame = int(weights.get("frame", 0))
            self.last_mean_rewards = float(weights.get("last_mean_rewards", "-inf"))
        warn(
            f"{path}: an RL Games checkpoint; weights, normalisers, counters and learning rate are taken over, "
            "episodes and the optimiser's moments start anew"
        )

    def _restore_interaction(self, weights: Mapping[str, Any], path: str) -> bool:
        """Put environments and episode counters back; false when the environments cannot."""
        statistics = require(weights, "statistics", path)
        for name in ("game_rewards", "game_shaped_rewards", "game_lengths"):
            getattr(self, name).load_state_dict(statistics[name])
        state = weights.get("env_state")
        dones = require(weights, "interaction", path)["dones"]
        if state is None or dones.shape != self.dones.shape:
            why = (
                "the environment cannot save its state"
                if state is None
                else (f"the checkpoint holds {dones.shape[0]} environments, this run has {self.rows}")
            )
            warn(f"{path}: {why}; new episodes start, everything else goes on as saved")
            return False
        self.vec_env.set_env_state(state)
        self.obs = self._on_device(weights["interaction"]["obs"])
        self.dones = dones.to(self.ppo_device)
        for name in ("current_rewards", "current_shaped_rewards", "current_lengths"):
            setattr(self, name, statistics[name].to(self.ppo_device).clone())
        return True

    def save(self, fn: str) -> bool:
        """Write ``<fn>.pth`` in the run's ``nn/``; false (and a warning) when the disk refuses."""
        return self.run.save(fn)

    def restore(self, fn: str, set_epoch: bool = True) -> None:
        """Go on from the checkpoint file ``fn``. Raises CheckpointError saying what is wrong with it."""
        self.set_full_state_weights(load_checkpoint(fn), set_epoch, fn)

    def get_param(self, param_name: str) -> Any:
        """See :class:`BaseAlgorithm`; () values as numbers. Raises KeyError naming what there is."""
        value = getattr(self, _attribute(param_name))
        return float(value) if isinstance(value, Tensor) else value

    def set_param(self, param_name: str, param_value: Any) -> None:
        """See :class:`BaseAlgorithm`. Raises KeyError naming what there is."""
        name = _attribute(param_name)
        current = getattr(self, name)
        setattr(
            self, name, torch.full_like(current, param_value) if isinstance(current, Tensor) else param_value
        )
        self.update_lr(self.last_lr)


def _attribute(param_name: str) -> str:
    if param_name not in PARAMS:
        raise KeyError(f"{param_name}: cannot change during training; those that can: {', '.join(PARAMS)}")
    return PARAMS[param_name]
