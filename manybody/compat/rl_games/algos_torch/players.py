"""RL Games' players of PPO and SAC."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos.a2c.agent import refuse_blocked
from manybody.algos.sac.models import action_bounds
from manybody.compat.environments import LegacyEnv
from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.compat.rl_games.common.player import BasePlayer
from manybody.engine.checkpoint import check_algorithm
from manybody.engine.checkpoint.rl_games import model_state
from manybody.engine.guard import PlayGuard, invalid_logits
from manybody.envs import spaces
from manybody.functional.policy import rescale_actions
from manybody.nn.distributions import Categorical, joined

__all__ = [
    "BasePlayer",
    "PPOPlayerContinuous",
    "PpoPlayerContinuous",
    "PpoPlayerDiscrete",
    "SACPlayer",
    "rescale_actions",
]


class _Player(BasePlayer):
    """A player whose model the configuration names."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__(params)
        self.network: Any = self.config["network"]
        self.mask = [False]
        self.normalize_input: bool = self.config.get("normalize_input", False)
        self.normalize_value: bool = self.config.get("normalize_value", False)
        self.actions_num: Any = None
        self._load_action_space()
        self.model = self.network.build(self._model_config())
        self.model.to(self.device)
        self.model.eval()
        self.is_rnn = self.model.is_rnn()

    def _load_action_space(self) -> None:
        """Set ``actions_num`` and the bounds from the action space."""
        raise NotImplementedError

    def _model_config(self) -> dict[str, Any]:
        """Return the arguments of the model's builder, as in training."""
        return {
            "actions_num": self.actions_num,
            "input_shape": self.obs_shape,
            "num_seqs": self.num_agents,
            "value_size": self.value_size,
            "normalize_value": self.normalize_value,
            "normalize_input": self.normalize_input,
        }

    def restore(self, fn: str) -> None:
        """Load weights and statistics, from a file of this library or of RL Games.

        Raises:
            CheckpointError: the file is damaged, or does not fit.
        """
        checkpoint = torch_ext.load_checkpoint(fn)
        check_algorithm((self.params.get("algo") or {}).get("name", ""), checkpoint, fn)
        self.model.load_state_dict(model_state(checkpoint, fn, self.model.state_dict()))
        env_state = checkpoint.get("env_state")
        # What outlives episodes, such as a curriculum, is restored; an episode is not resumed in its middle.
        resumes_episodes = isinstance(self.env, LegacyEnv) and self.env.restores_exactly
        if env_state is not None and hasattr(self.env, "set_env_state") and not resumes_episodes:
            self.env.set_env_state(env_state)

    def _act(self, obs: Any, **masks: Any) -> dict[str, Any]:
        """Return the model's outputs for ``obs``; the recurrent state advances."""
        self.model.eval()
        with torch.no_grad():
            out: dict[str, Any] = self.model(
                {
                    "is_train": False,
                    "prev_actions": None,
                    "obs": self.batched_obs(obs),
                    "rnn_states": self.states,
                    **masks,
                }
            )
        self.states = out["rnn_states"]
        return out

    def _without_batch(self, actions: Tensor) -> Tensor:
        """(N, ...), without the first axis for a single environment."""
        return actions.detach() if self.has_batch_dimension else actions.detach().squeeze(0)


class PpoPlayerContinuous(_Player):
    """``algo.name: a2c_continuous``."""

    @override
    def _load_action_space(self) -> None:
        space = self.action_space
        self.actions_num = space.shape[0]
        self.actions_low, self.actions_high = (
            torch.as_tensor(np.array(bound), dtype=torch.float32, device=self.device)
            for bound in (space.low, space.high)
        )

    @override
    def get_action(self, obs: Any, is_deterministic: bool = False) -> Tensor:
        out = self._act(obs)
        action = self._without_batch(out["mus"] if is_deterministic else out["actions"])
        if not self.clip_actions:
            return action
        return rescale_actions(self.actions_low, self.actions_high, action.clamp(-1.0, 1.0))


PPOPlayerContinuous = PpoPlayerContinuous


class PpoPlayerDiscrete(_Player):
    """``algo.name: a2c_discrete``."""

    logits: Tensor | None = None
    """(N, sum of head sizes): what the last actions were drawn from."""

    @override
    def _load_action_space(self) -> None:
        self._sizes = spaces.head_sizes(spaces.gymnasium_space(self.action_space))
        self.is_multi_discrete = type(self.action_space).__name__ != "Discrete"
        self.actions_num = list(self._sizes) if self.is_multi_discrete else self._sizes[0]

    @override
    def get_action(self, obs: Any, is_deterministic: bool = False) -> Tensor:
        return self._chosen(self._act(obs), is_deterministic)

    @override
    def get_masked_action(self, obs: Any, action_masks: Any, is_deterministic: bool = True) -> Tensor:
        """Choose among allowed actions; ``action_masks`` (N, sum of head sizes), or one array per head in each row.

        Raises:
            EnvError: a row allows nothing.
        """
        if not isinstance(action_masks, Tensor):
            rows = action_masks if self.has_batch_dimension else [action_masks]
            action_masks = spaces.action_masks(rows)
        masks = torch.atleast_2d(action_masks).to(self.device).bool()
        refuse_blocked(self.env_name, spaces.blocked_rows(masks, self._sizes))
        return self._chosen(self._act(obs, action_masks=masks), is_deterministic)

    @override
    def unsound(self, actions: Any, guard: PlayGuard) -> Tensor:
        return super().unsound(actions, guard) if self.logits is None else invalid_logits(self.logits)

    def _chosen(self, out: Mapping[str, Any], is_deterministic: bool) -> Tensor:
        self.logits = joined(out["logits"])
        if not is_deterministic:
            return self._without_batch(out["actions"])
        return self._without_batch(Categorical(self.logits, self._sizes if self.is_multi_discrete else None).mode())


class SACPlayer(_Player):
    """``algo.name: sac``; actions are mapped to the bounds as in training, where RL Games only clips them."""

    @override
    def _load_action_space(self) -> None:
        space = spaces.gymnasium_space(self.action_space)
        self.actions_low, self.actions_high = action_bounds({"action_space": space}, self.device)
        self.actions_num = len(self.actions_low)

    @override
    def _model_config(self) -> dict[str, Any]:
        sizes = {"obs_dim": self.observation_space.shape[0], "action_dim": self.actions_num}
        return {**super()._model_config(), **sizes, "normalize_value": False}

    @override
    def get_action(self, obs: Any, is_deterministic: bool = False) -> Tensor:
        with torch.no_grad():
            policy = self.model.actor(self.model.norm_obs(self.batched_obs(obs)))
            action = policy.mode() if is_deterministic else policy.sample()
        return rescale_actions(self.actions_low, self.actions_high, self._without_batch(action))
