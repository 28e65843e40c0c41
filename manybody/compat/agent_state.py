"""Checkpoints of agents with RL Games' interface, and the settings that may change during training."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos.a2c.rollout import A2CBase
from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.engine.checkpoint import check_state_dict, load_optimizer, require
from manybody.engine.checkpoint.untrusted import CheckpointError
from manybody.engine.checkpoint.values import best_return, check_values, counter, number

CHANGEABLE = (
    "grad_norm",
    "critic_coef",
    "bounds_loss_coef",
    "entropy_coef",
    "gamma",
    "tau",
    "mini_epochs_num",
)
"""Settings of ``get_param`` and ``set_param``, besides ``e_clip``, ``kl_threshold`` and ``learning_rate``."""


NO_REWARD = -1_000_000_000
"""RL Games' ``last_mean_rewards`` before the first episode has ended."""
WEIGHTS = "weights"
"""Name in errors of a checkpoint that is a dictionary, not a file."""


def _load(module: Any, weights: Mapping[str, Any], key: str) -> None:
    """Load ``weights[key]`` into ``module``. Raises CheckpointError naming what does not fit."""
    state = require(weights, key, WEIGHTS)
    check_state_dict(module.state_dict(), state, WEIGHTS, key)
    module.load_state_dict(state)


@contextmanager
def _of_file(fn: str) -> Iterator[None]:
    """Name the file in errors about its weights."""
    try:
        yield
    except CheckpointError as error:
        if str(error.path) != WEIGHTS:
            raise
        raise CheckpointError(fn, error.field, error.given, error.expected, error.advice) from None


class AgentState(A2CBase):
    """Weights, counters and normalisers under RL Games' keys; subclasses collect and learn."""

    config: Any
    writer: Any = None
    vec_env: Any
    rewards_shaper: Any
    game_rewards: Any
    game_shaped_rewards: Any
    game_lengths: Any
    experience_buffer: Any
    model: Any
    optimizer: Any
    dataset: Any
    scaler: Any
    scheduler: Any
    value_mean_std: Any
    advantage_mean_std: Any
    central_value_net: Any = None
    update_list: Any = ()
    tensor_list: Any = ()
    bounds_loss_coef: float | None = None
    has_central_value: bool
    normalize_value: bool
    normalize_rms_advantage: bool
    last_lr: Any
    is_adaptive_lr: bool
    mean_rewards: Any
    last_mean_rewards: Any

    @override
    def learner_state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    @override
    def set_learner_state(self, state: Mapping[str, Any], path: str = "state") -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    @override
    def episode_means(self) -> dict[str, Tensor]:
        means = {name: torch.as_tensor(meter.mean).reshape(-1) for name, meter in self._meters().items()}
        played, rewards = self.game_rewards, means["reward"]
        return {
            **{name: mean[0] for name, mean in means.items()},
            "games": torch.as_tensor(played.current_size),
            "finished_games": torch.as_tensor(getattr(played, "finished", float("nan"))),  # a client's has no such
            **{f"rewards{head}": value for head, value in enumerate(rewards[1:], 1)},
        }

    def _meters(self) -> dict[str, Any]:
        return {"reward": self.game_rewards, "shaped_reward": self.game_shaped_rewards, "length": self.game_lengths}

    def get_full_state_weights(self) -> dict[str, Any]:
        """Return everything that RL Games writes into a checkpoint."""
        state = self.get_weights()
        state["epoch"], state["frame"] = self.epoch_num, self.frame
        state["optimizer"] = self.optimizer.state_dict()
        state["last_mean_rewards"] = max(float(self.last_mean_rewards), NO_REWARD)
        state["last_lr"] = self.last_lr
        if self.central_value_net is not None:
            state["assymetric_vf_nets"] = self.central_value_net.state_dict()
            state["assymetric_vf_optimizer"] = self.central_value_net.optimizer.state_dict()
        if self.vec_env is not None and hasattr(self.vec_env, "get_env_state"):
            state["env_state"] = self.vec_env.get_env_state()
        return state

    def set_full_state_weights(  # type: ignore[override]
        self, weights: Mapping[str, Any], set_epoch: bool = True
    ) -> None:
        """Restore :meth:`get_full_state_weights`.

        Raises:
            CheckpointError: a part is missing, does not fit or is not finite.
        """
        self.set_weights(weights)
        if set_epoch:
            self.epoch_num = counter(weights, "epoch", WEIGHTS)
            self.frame = counter(weights, "frame", WEIGHTS)
        if self.central_value_net is not None:
            self.set_central_value_function_weights(weights)
            if "assymetric_vf_optimizer" in weights:
                optimizer = self.central_value_net.optimizer
                load_optimizer(optimizer, weights, "assymetric_vf_optimizer", WEIGHTS)
                for group in optimizer.param_groups:  # a number in files of RL Games
                    group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=self.device)
        load_optimizer(self.optimizer, weights, "optimizer", WEIGHTS)
        check_values(weights, WEIGHTS, ("last_lr",))
        self.last_lr = number(weights, "last_lr", WEIGHTS, float(self.optimizer.param_groups[0]["lr"]))
        self.last_mean_rewards = best_return(weights, WEIGHTS, float("-inf"))
        if self.vec_env is not None and hasattr(self.vec_env, "set_env_state"):
            self.vec_env.set_env_state(weights.get("env_state"))

    def set_central_value_function_weights(self, weights: Mapping[str, Any]) -> None:
        """Load the central value's weights alone. Raises CheckpointError as :meth:`set_weights` does."""
        _load(self.central_value_net, weights, "assymetric_vf_nets")

    def get_weights(self) -> dict[str, Any]:
        """Return the policy alone: parameters, and statistics outside the model."""
        state: dict[str, Any] = self.get_stats_weights()
        state["model"] = self.model.state_dict()
        return state

    def set_weights(self, weights: Mapping[str, Any]) -> None:  # type: ignore[override]
        """Restore :meth:`get_weights`. Raises CheckpointError naming every parameter that does not fit."""
        _load(self.model, weights, "model")
        self.set_stats_weights(weights)

    def get_stats_weights(self, model_stats: bool = False) -> dict[str, Any]:
        """Return statistics outside the model; with ``model_stats`` also those in it."""
        state: dict[str, Any] = {}
        if self.mixed_precision:
            state["scaler"] = self.scaler.state_dict()
        if self.normalize_rms_advantage:
            state["advantage_mean_std"] = self.advantage_mean_std.state_dict()
        if self.central_value_net is not None:
            state["central_val_stats"] = self.central_value_net.get_stats_weights(model_stats)
        for key, normalizer in self._normalizers().items() if model_stats else ():
            state[key] = normalizer.state_dict()
        return state

    def _normalizers(self) -> dict[str, Any]:
        """Return the running statistics by their key in checkpoints."""
        wanted = {"running_mean_std": self.normalize_input, "reward_mean_std": self.normalize_value}
        names = {"running_mean_std": "running_mean_std", "reward_mean_std": "value_mean_std"}
        return {key: getattr(self.model, names[key]) for key, there in wanted.items() if there}

    def set_stats_weights(self, weights: Mapping[str, Any]) -> None:
        """Restore those parts of :meth:`get_stats_weights` that ``weights`` has."""
        if self.normalize_rms_advantage and "advantage_mean_std" in weights:
            _load(self.advantage_mean_std, weights, "advantage_mean_std")
        for key, normalizer in self._normalizers().items():
            if key in weights:
                _load(normalizer, weights, key)
        if self.mixed_precision and "scaler" in weights:
            self.scaler.load_state_dict(weights["scaler"])

    def save(self, fn: str) -> bool:
        """Write ``<fn>.pth``."""
        torch_ext.save_checkpoint(fn, self.get_full_state_weights())
        return True

    def restore(self, fn: str, set_epoch: bool = True) -> None:
        """Resume from the file ``fn``. Raises CheckpointError saying what is wrong with it."""
        weights = torch_ext.load_checkpoint(fn)
        with _of_file(fn):
            self.set_full_state_weights(weights, set_epoch)

    def restore_central_value_function(self, fn: str) -> None:
        """Load the central value from the file ``fn``."""
        weights = torch_ext.load_checkpoint(fn)
        with _of_file(fn):
            self.set_central_value_function_weights(weights)

    def get_param(self, param_name: str) -> Any:
        """Raise NotImplementedError for settings that RL Games does not know."""
        if param_name == "learning_rate":
            return self.last_lr
        if param_name not in (*CHANGEABLE, "e_clip", "kl_threshold"):
            raise NotImplementedError(f"Can't get param {param_name}; known: {', '.join(CHANGEABLE)}, e_clip")
        return getattr(self, param_name)

    def set_param(self, param_name: str, param_value: Any) -> None:
        """Raise NotImplementedError for settings that RL Games does not know."""
        if param_name == "learning_rate" and not self.is_adaptive_lr:
            self.last_lr = param_value
            self.update_lr(param_value)
        elif param_name == "kl_threshold" and self.is_adaptive_lr:
            self.kl_threshold = self.scheduler.kl_threshold = param_value
        elif param_name in (*CHANGEABLE, "e_clip"):
            setattr(self, param_name, param_value)
        else:
            raise NotImplementedError(f"Can't set param {param_name} with lr_schedule {self.config['lr_schedule']!r}")

    def update_lr(self, lr: float) -> None:
        """Set the learning rate of the optimiser."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def clear_stats(self, clean_rewards: bool = True) -> None:
        """Forget the episode statistics."""
        best = self.mean_rewards, self.last_mean_rewards
        super().clear_stats()
        self.mean_rewards = self.last_mean_rewards
        if not clean_rewards:
            self.mean_rewards, self.last_mean_rewards = best
