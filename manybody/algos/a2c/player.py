"""Players of on-policy agents."""

import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos.a2c.agent import check_masks, refuse_blocked
from manybody.algos.a2c.config import OnPolicyConfig, PPOConfig
from manybody.algos.network import ModelOutput
from manybody.algos.player import BasePlayer
from manybody.config import Params
from manybody.engine.guard import PlayGuard, invalid_logits
from manybody.envs.base import Obs, VecEnv
from manybody.envs.spaces import blocked_rows, head_sizes
from manybody.functional.policy import rescale_actions
from manybody.nn.distributions import Categorical, joined


class PpoPlayer(BasePlayer):
    """The network of an on-policy agent, its recurrent state and its checkpoints."""

    config: OnPolicyConfig

    @override
    def reset(self) -> None:
        """Set the recurrent state that episodes start with."""
        initial = self.model.get_default_rnn_state()
        self.states = None if initial is None else tuple(state.to(self.device) for state in initial)

    @override
    def forget(self, done: Tensor) -> None:
        if self.states is not None and self.config.zero_rnn_on_done:
            going_on = (~done).float().unsqueeze(-1)
            self.states = tuple(state * going_on for state in self.states)

    def act(self, obs: Obs) -> ModelOutput:
        """Return the model's outputs for ``obs`` and advance the recurrent state."""
        if self.states is None:
            self.reset()
        out = self.model({"is_train": False, "prev_actions": None, "rnn_states": self.states, "seq_length": 1, **obs})
        self.states = out["rnn_states"]
        return out


class PpoPlayerContinuous(PpoPlayer):
    """Plays ``a2c_continuous`` checkpoints, with the same action mapping as in training."""

    config: PPOConfig

    def __init__(self, params: Params[PPOConfig], *, vec_env: VecEnv | None = None) -> None:
        super().__init__(params, vec_env=vec_env)
        space = self.env_info["action_space"]
        self.clip_actions: bool = self.config.clip_actions
        self.actions_low = torch.as_tensor(space.low, dtype=torch.float32, device=self.device)
        self.actions_high = torch.as_tensor(space.high, dtype=torch.float32, device=self.device)

    @override
    def get_action(self, obs: Obs, is_deterministic: bool = False) -> Tensor:
        """Return the mean action or a sample."""
        out = self.act(obs)
        action = out["mus"] if is_deterministic else out["actions"]
        if not self.clip_actions:
            return action
        return rescale_actions(self.actions_low, self.actions_high, action.clamp(-1.0, 1.0))


PPOPlayerContinuous = PpoPlayerContinuous


class PpoPlayerDiscrete(PpoPlayer):
    """Plays ``a2c_discrete`` checkpoints."""

    logits: Tensor | None = None
    """(N, K or sum of K): what the last actions were drawn from."""

    @override
    def get_action(self, obs: Obs, is_deterministic: bool = False) -> Tensor:
        """Return the most likely action or a sample; (N,) or (N, heads) int64."""
        out = self.act(obs)
        self.logits = joined(out["logits"])
        if not is_deterministic:
            return out["actions"]
        sizes = self.actions_num
        return Categorical(self.logits, sizes if isinstance(sizes, tuple) else None).mode()

    @override
    def unsound(self, actions: Tensor, guard: PlayGuard) -> Tensor:
        """Rows with NaN among the logits, which a discrete choice would hide; -inf forbids an action."""
        return super().unsound(actions, guard) if self.logits is None else invalid_logits(self.logits)

    @override
    def get_masked_action(self, obs: Obs, action_masks: Tensor, is_deterministic: bool = False) -> Tensor:
        """Return actions among those that ``action_masks`` (N, sum of head sizes) bool allow.

        Raises:
            EnvError: there are none, or a row allows nothing.
        """
        sizes = head_sizes(self.env_info["action_space"])
        check_masks(self.config.env_name, "while playing,", action_masks, (self.rows, sum(sizes)))
        masks = torch.as_tensor(action_masks, dtype=torch.bool, device=self.device)
        refuse_blocked(self.config.env_name, blocked_rows(masks, sizes))
        return self.get_action({**obs, "action_masks": masks}, is_deterministic)


PPOPlayerDiscrete = PpoPlayerDiscrete
