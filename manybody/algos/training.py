"""``TrainableAlgorithm``: the loop around epochs, what a checkpoint keeps, and how training goes on from one."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from manybody.algos.interaction import EnvAlgorithm
from manybody.algos.run import EpochMetrics, Run
from manybody.engine.checkpoint import (
    check_algorithm,
    check_state_dict,
    load_checkpoint,
    require,
)
from manybody.engine.checkpoint.adoption import best_return, counter, policy_state
from manybody.engine.checkpoint.finite import OPTIMIZERS, WEIGHTS, check_values
from manybody.engine.console import warn
from manybody.engine.precision import BF16, choose_bf16
from manybody.engine.random_state import rng_state, set_rng_state
from manybody.engine.run_folder import RunFolder


class TrainableAlgorithm(EnvAlgorithm):
    """Trains epoch by epoch; its whole state can be saved at an epoch boundary and put back."""

    PARAMS: ClassVar[dict[str, str]] = {}
    """What population-based training may change: configuration key to attribute."""

    run: Run
    resumed: bool = False
    """A checkpoint has put environments and episode counters back."""

    def open_run(self, folder: Callable[[], RunFolder] | None, checkpoint: str | None) -> None:
        """The last act of a constructor: everything that leaves a trace.

        Args:
            folder: makes the run folder, after the checkpoint was found to fit. None: nothing is written.
            checkpoint: the file to go on from.

        Raises:
            CheckpointError: what is wrong with the checkpoint; no run folder was made.
        """
        state = load_checkpoint(checkpoint) if checkpoint else None
        if state is not None:
            self.check(state, str(checkpoint))
        self.run = Run(self, folder)
        if state is None:
            self.choose_precision({})
        self.algo_observer.after_init(self)
        if state is not None:
            self.set_full_state_weights(state, path=str(checkpoint))

    def choose_precision(self, saved: Mapping[str, Any]) -> None:
        """Decide whether updates run in bf16: as the run did that was saved, else as a measurement says."""
        wanted, rows = self.config.mixed_precision, self.rows_per_update
        self.mixed_precision = choose_bf16("mixed_precision", wanted, saved, BF16, self.model, rows)

    @property
    def rows_per_update(self) -> int:
        """M, the rows of a minibatch; N where an algorithm does not say."""
        return self.rows

    @property
    def writer(self) -> Any:
        """Where observers write scalars: ``add_scalar(tag, value, step)``."""
        return self.run.writer

    # --- the loop ------------------------------------------------------------------------------------------------

    def train(self) -> tuple[float, int]:
        """Train until a stop rule holds; returns the last mean return and the epochs done.

        Raises:
            TrainingAbortedError: numbers stayed broken; the last good state was saved.
        """
        self.start_training()
        with self.run:
            while not self.run.finished:
                self.run.begin_epoch()
                self.update_epoch()
                metrics = self.train_epoch()
                self.run.end_epoch(metrics)
        return self.run.mean_reward, self.epoch_num

    def start_training(self) -> None:
        """Allocate and reset, unless a checkpoint has already done so."""
        if not self.resumed:
            self.start_episodes()

    def update_epoch(self) -> int:
        """Count the epoch."""
        self.epoch_num += 1
        return self.epoch_num

    @abstractmethod
    def train_epoch(self) -> EpochMetrics:
        """One epoch: experience, and the updates from it."""

    def end_epoch(self, read: Mapping[str, float]) -> None:
        """Called between epochs with what came to the host, before anything is saved."""

    # --- weights -------------------------------------------------------------------------------------------------

    @abstractmethod
    def learner_state(self) -> dict[str, Any]:
        """Weights, optimisers and schedules: what a rollback returns to."""

    @abstractmethod
    def set_learner_state(self, state: Mapping[str, Any], path: str = "state") -> None:
        """The inverse of :meth:`learner_state`."""

    def adopt(self, weights: Mapping[str, Any], path: str) -> list[str]:
        """Take over what is of use of an RL Games checkpoint; returns what of the optimisers starts anew.

        Raises:
            CheckpointError: it does not fit.
        """
        self.set_weights(weights, path)
        check_values(weights, path, WEIGHTS)
        counter(weights, "epoch", path)
        counter(weights, "frame", path)
        return []

    def get_weights(self) -> dict[str, Any]:
        """The policy alone: parameters and normalisers."""
        return {"model": self.model.state_dict()}

    def set_weights(self, weights: Mapping[str, Any], path: str = "weights") -> None:
        """The inverse of :meth:`get_weights`. Raises CheckpointError naming every parameter that does not fit."""
        require(weights, "model", path)
        expected = self.model.state_dict()
        state = policy_state(weights, expected)
        check_state_dict(expected, state, path)
        self.model.load_state_dict(state)

    # --- checkpoints ---------------------------------------------------------------------------------------------

    def memory_state(self) -> dict[str, Any]:
        """What else training goes on from, and a rollback does not return to (SAC: the replay buffer)."""
        return {}

    def set_memory_state(self, state: Mapping[str, Any], path: str) -> None:
        """The inverse of :meth:`memory_state`, after ``init_tensors``."""

    def interaction_state(self) -> dict[str, Any]:
        """Where collecting stands between two steps."""
        return {"obs": self.obs, "dones": self.dones, "shortened": self.shortened}

    def set_interaction_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`interaction_state`."""
        self.obs = self.on_device(state["obs"])
        self.dones = state["dones"].to(self.ppo_device)
        if "shortened" in state:  # earlier versions have none
            self.shortened = state["shortened"].to(self.ppo_device)

    def get_full_state_weights(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here (at an epoch boundary)."""
        return {
            "algo": self.params.algo.name,
            **self.learner_state(),
            **self.memory_state(),
            "epoch": self.epoch_num,
            "frame": self.frame,
            "last_mean_rewards": self.last_mean_rewards,
            "best_seen": self.run.best_seen,
            "best_games": self.run.best_games,
            "elapsed": self.run.elapsed,
            "statistics": {
                "game_rewards": self.game_rewards.state_dict(),
                "game_shaped_rewards": self.game_shaped_rewards.state_dict(),
                "game_lengths": self.game_lengths.state_dict(),
                "extras": self.extras_metrics.state_dict(),
                "current_rewards": self.current_rewards,
                "current_shaped_rewards": self.current_shaped_rewards,
                "current_lengths": self.current_lengths,
            },
            "interaction": self.interaction_state(),
            "env_state": self.vec_env.get_env_state(),
            "observer": self.algo_observer.state_dict(),
            "rng": rng_state(),
            **({BF16: self.mixed_precision} if self.config.mixed_precision else {}),
        }

    def set_full_state_weights(self, weights: Mapping[str, Any], set_epoch: bool = True, path: str = "weights") -> None:
        """Go on from a checkpoint. Raises CheckpointError when it belongs to another agent or lacks a part.

        Of RL Games' checkpoints, weights, normalisers, counters and optimisers are taken over.
        """
        self.choose_precision(weights)
        if "algo" not in weights:
            self._begin_from(weights, set_epoch, path)
            return
        check_values(weights, path, (*WEIGHTS, *OPTIMIZERS))
        self.set_learner_state(weights, path)
        self.init_tensors()
        self.set_memory_state(weights, path)
        if set_epoch:
            self.epoch_num = require(weights, "epoch", path)
            self.frame = require(weights, "frame", path)
            self.last_mean_rewards = require(weights, "last_mean_rewards", path)
            self.run.best_seen = weights.get("best_seen", self.last_mean_rewards)
            self.run.best_games = weights.get("best_games", 0.0)
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
            self.adopt(weights, path)
            return
        check_algorithm(self.params.algo.name, weights, path)
        check_values(weights, path, (*WEIGHTS, *OPTIMIZERS))
        self.set_learner_state(weights, path)
        for part in ("epoch", "frame", "last_mean_rewards", "elapsed", "interaction", "statistics", "rng"):
            require(weights, part, path)

    def _begin_from(self, weights: Mapping[str, Any], set_epoch: bool, path: str) -> None:
        """Begin with what RL Games has learned."""
        anew = ["episodes", *self.adopt(weights, path)]
        if set_epoch:
            self.epoch_num, self.frame = counter(weights, "epoch", path), counter(weights, "frame", path)
            self.last_mean_rewards = best_return(weights, path, float("-inf"))
        env_state = weights.get("env_state")
        if env_state is not None and not self.vec_env.restores_exactly:
            self.vec_env.set_env_state(env_state)  # of RL Games' protocol, as the one that gave it
        warn(
            f"{path}: an RL Games checkpoint; weights, normalisers, counters and optimisers are taken over, "
            f"{' and '.join(anew)} start anew"
        )

    def _restore_interaction(self, weights: Mapping[str, Any], path: str) -> bool:
        """Put environments and episode counters back; false when the environments cannot."""
        statistics = require(weights, "statistics", path)
        for name in ("game_rewards", "game_shaped_rewards", "game_lengths"):
            getattr(self, name).load_state_dict(statistics[name])
        if "extras" in statistics:
            self.extras_metrics.load_state_dict(statistics["extras"])
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
        if not self.vec_env.restores_exactly:
            warn(f"{path}: the environment saves only what outlives its episodes; new episodes start")
            return False
        self.set_interaction_state(weights["interaction"])
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
        value = getattr(self, self._attribute(param_name))
        return float(value) if isinstance(value, Tensor) else value

    def set_param(self, param_name: str, param_value: Any) -> None:
        """See :class:`BaseAlgorithm`. Raises KeyError naming what there is."""
        name = self._attribute(param_name)
        current = getattr(self, name)
        setattr(self, name, torch.full_like(current, param_value) if isinstance(current, Tensor) else param_value)

    def _attribute(self, param_name: str) -> str:
        if param_name not in self.PARAMS:
            raise KeyError(f"{param_name}: cannot change during training; those that can: {', '.join(self.PARAMS)}")
        return self.PARAMS[param_name]
