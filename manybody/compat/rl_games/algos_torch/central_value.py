"""RL Games' ``rl_games.algos_torch.central_value``: a critic that an agent hands rollouts to."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from typing_extensions import override

from manybody.algos.a2c.central_value import CentralValueTrain as _CentralValueTrain
from manybody.algos.a2c.config import CentralValueConfig
from manybody.compat.settings import LegacyConfig
from manybody.engine.guard import Guard

__all__ = ["CentralValueTrain"]


class CentralValueTrain(_CentralValueTrain):
    """The library's central value with RL Games' arguments, among them its spelling of ``writter``.

    Raises:
        ConfigError: minibatches do not divide the batch.
    """

    def __init__(
        self,
        state_shape: Any,
        value_size: int,
        ppo_device: Any,
        num_agents: int,
        horizon_length: int,
        num_actors: int,
        num_actions: Any,
        seq_length: int,
        normalize_value: bool,
        network: Any,
        config: dict[str, Any],
        writter: Any,
        max_epochs: int,
        multi_gpu: bool,
        zero_rnn_on_done: bool,
        guard: Guard | None = None,
    ) -> None:
        section: Any = config if isinstance(config, LegacyConfig) else LegacyConfig(config, CentralValueConfig)
        policy: Any = SimpleNamespace(
            num_actors=num_actors,
            horizon_length=horizon_length,
            seq_length=seq_length,
            zero_rnn_on_done=zero_rnn_on_done,
            normalize_value=normalize_value,
            max_epochs=max_epochs,
            max_frames=-1,
        )
        super().__init__(
            section,
            network,
            policy,
            state_space=spaces.Box(-np.inf, np.inf, state_shape),
            num_agents=num_agents,
            value_size=value_size,
            guard=guard or Guard("quarantine", num_actors, torch.device(ppo_device)),
            device=ppo_device,
        )
        self.state_shape, self.value_size, self.num_actions = state_shape, value_size, num_actions
        self.writter, self.max_epochs, self.multi_gpu = writter, max_epochs, multi_gpu
        self.ppo_device = ppo_device
        self.normalize_value, self.normalize_input = normalize_value, section.normalize_input
        self.is_rnn = self.model.is_rnn()
        self.init_tensors()

    @property
    def rnn_states(self) -> Any:
        """The recurrent state between two steps."""
        return self.recurrent.current

    def get_stats_weights(self, model_stats: bool = False) -> dict[str, Any]:
        """With ``model_stats``: the running statistics, which are part of the model too."""
        state: dict[str, Any] = {}
        if model_stats and self.normalize_input:
            state["running_mean_std"] = self.model.running_mean_std.state_dict()
        if model_stats and self.normalize_value:
            state["reward_mean_std"] = self.model.value_mean_std.state_dict()
        return state

    def forward(self, input_dict: dict[str, Any]) -> dict[str, Any]:
        """The model's."""
        answer: dict[str, Any] = self.model(input_dict)
        return answer

    def get_value(self, input_dict: dict[str, Any]) -> Tensor:
        """(rows, V) in units of reward, from ``states`` (num_actors, S); the recurrent state moves on."""
        self.eval()
        with torch.no_grad():
            values = self.values({"obs": torch.empty(0), "states": input_dict["states"]})
        self.advance()
        return values

    def calc_gradients(self, batch: dict[str, Any]) -> Tensor:
        """Loss, gradients and an optimiser step from a minibatch."""
        return super()._update(batch)

    @override
    def _update(self, minibatch: dict[str, Any]) -> Tensor:
        return self.calc_gradients(minibatch)
