"""Checkpoints of agents with RL Games' interface, and the settings that may change during training."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos.a2c.on_policy import SCHEDULED, OnPolicyAgent
from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.data.tree import State
from manybody.engine.checkpoint import load_checkpoint
from manybody.engine.checkpoint.parts import Parts
from manybody.engine.checkpoint.untrusted import named_file

SETTINGS = {name: name for name in ("mini_epochs_num", "grad_norm", "bounds_loss_coef")}
"""Settings that RL Games lets observers change besides the library's, and their attributes."""


class ChangeableSettings:
    """``get_param`` and ``set_param`` by RL Games' names, for agents of the library and of clients."""

    def restore_central_value_function(self, fn: str) -> None:
        """Load the weights of the central value from the file ``fn``."""
        self.central_value.set_weights(load_checkpoint(fn), fn)  # type: ignore[attr-defined]

    def get_param(self, param_name: str) -> Any:
        """Return a setting by RL Games' name. Raises KeyError with the known names."""
        if param_name == "kl_threshold":
            return self.scheduler.kl_threshold  # type: ignore[attr-defined]
        return super().get_param(param_name)  # type: ignore[misc]

    def set_param(self, param_name: str, param_value: Any) -> None:
        """Change a setting by RL Games' name. Raises KeyError with the known names."""
        if param_name == "kl_threshold":
            self.scheduler.kl_threshold = param_value  # type: ignore[attr-defined]
        else:
            super().set_param(param_name, param_value)  # type: ignore[misc]


class ClientState(ChangeableSettings, OnPolicyAgent):
    """Statistics outside the model in methods of their own, as clients extend them."""

    PARAMS: ClassVar[dict[str, str]] = {**OnPolicyAgent.PARAMS, **SETTINGS}

    last_lr: Any
    entropy_coef: Any
    game_rewards: Any
    game_shaped_rewards: Any
    game_lengths: Any
    central_value: Any
    scaler: torch.amp.GradScaler

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
