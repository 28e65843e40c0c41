"""RL Games' ``rl_games.common.experience``: the rollout buffer and the replay buffer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from manybody.data import rollout
from manybody.data.rollout import Field
from manybody.data.tree import tree_map
from manybody.envs.spaces import gymnasium_space, head_sizes, observation_fields


class VectorizedReplayBuffer:
    """The last ``capacity`` transitions of many environments, in tensors on one device."""

    def __init__(self, obs_shape: Sequence[int], action_shape: Sequence[int], capacity: int, device: Any) -> None:
        self.device = device
        self.capacity = capacity
        self.obses = torch.zeros((capacity, *obs_shape), device=device)
        self.next_obses = torch.zeros_like(self.obses)
        self.actions = torch.zeros((capacity, *action_shape), device=device)
        self.rewards = torch.zeros((capacity, 1), device=device)
        self.dones = torch.zeros((capacity, 1), dtype=torch.bool, device=device)
        self.idx = 0
        self.full = False

    @torch.no_grad()
    def add(self, obs: Tensor, action: Tensor, reward: Tensor, next_obs: Tensor, done: Tensor) -> None:
        """Store ``obs`` (N, ...), ``action`` (N, A), ``reward`` (N, 1), ``next_obs`` (N, ...) and ``done`` (N, 1).

        If N exceeds the capacity, only the last rows are stored.
        """
        count = len(obs)
        kept = min(count, self.capacity)
        places = (self.idx + torch.arange(count - kept, count, device=self.device)) % self.capacity
        new = (obs, action, reward, next_obs, done)
        rings = (self.obses, self.actions, self.rewards, self.next_obses, self.dones)
        for ring, rows in zip(rings, new, strict=True):
            ring[places] = rows[-kept:].reshape(kept, *ring.shape[1:]).to(ring)
        self.full = self.full or self.idx + count >= self.capacity
        self.idx = (self.idx + count) % self.capacity

    def sample(self, batch_size: int) -> tuple[Tensor, ...]:
        """Draw observations, actions, rewards, next observations and dones of ``batch_size`` rows with replacement."""
        rows = torch.randint(self.capacity if self.full else self.idx, (batch_size,), device=self.device)
        rings = (self.obses, self.actions, self.rewards, self.next_obses, self.dones)
        return tuple(ring[rows] for ring in rings)


class ExperienceBuffer(rollout.ExperienceBuffer):
    """The T steps that N rows (environments x agents) went through since the last update, in ``tensor_dict``.

    Args:
        env_info: ``observation_space``, ``action_space`` [, ``state_space``, ``agents``, ``value_size``].
        algo_info: ``num_actors``, ``horizon_length``, ``has_central_value`` [, ``use_action_masks``].
        device: of the tensors.
        aux_tensor_dict: shapes of further float32 fields by name.

    Raises:
        ValueError: the action space cannot be stored; names its class.
    """

    def __init__(
        self,
        env_info: Mapping[str, Any],
        algo_info: Mapping[str, Any],
        device: Any,
        aux_tensor_dict: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.env_info = env_info
        self.algo_info = algo_info
        self.device = device
        self.num_agents = env_info.get("agents", 1)
        self.num_actors = algo_info["num_actors"]
        self.has_central_value = algo_info["has_central_value"]
        self.use_action_masks = algo_info.get("use_action_masks", False)
        self._read_action_space(env_info["action_space"])
        steps, rows = algo_info["horizon_length"], self.num_agents * self.num_actors
        extra = {name: Field(tuple(shape), torch.float32) for name, shape in (aux_tensor_dict or {}).items()}
        super().__init__(steps, rows, {**self._fields(), **extra}, device)
        self.obs_base_shape = (steps, rows)
        self.state_base_shape = (steps, self.num_actors)
        if self.has_central_value:
            space = env_info.get("state_space") or env_info["observation_space"]
            fields = {"states": observation_fields(gymnasium_space(space))}
            self.tensor_dict |= rollout.ExperienceBuffer(steps, self.num_actors, fields, device).tensor_dict

    def _read_action_space(self, action_space: Any) -> None:
        kind, sizes = type(action_space).__name__, head_sizes(gymnasium_space(action_space))
        self.is_discrete = kind == "Discrete"
        self.is_multi_discrete = kind in ("Tuple", "MultiDiscrete")
        self.is_continuous = kind == "Box"
        self.actions_shape: tuple[int, ...] = ()
        self.actions_num: Any = sum(sizes)
        if self.is_multi_discrete:
            self.actions_num, self.actions_shape = list(sizes), (len(sizes),)
        elif self.is_continuous:
            self.actions_num, self.actions_shape = action_space.shape[0], action_space.shape
        elif not self.is_discrete:
            raise ValueError(f"action space: got {kind}; expected Box, Discrete, MultiDiscrete or Tuple")
        self._choices = sum(sizes)

    def _fields(self) -> dict[str, Any]:
        number = Field((), torch.float32)
        value = Field((self.env_info.get("value_size", 1),), torch.float32)
        action = Field(self.actions_shape, torch.float32 if self.is_continuous else torch.int64)
        fields: dict[str, Any] = {
            "obses": observation_fields(gymnasium_space(self.env_info["observation_space"])),
            "rewards": value,
            "values": value,
            "neglogpacs": number,
            "dones": Field((), torch.uint8),
            "actions": action,
        }
        if self.is_continuous:
            fields |= {"mus": action, "sigmas": action}
        if self.use_action_masks:
            fields["action_masks"] = Field((self._choices,), torch.bool)
        return fields

    @override
    def update_data(self, name: str, index: Any, val: Any) -> None:
        super().update_data(name, index, val)

    @override
    def get_transformed_list(self, transform_op: Callable[[Tensor], Any], tensor_list: Sequence[str]) -> dict[str, Any]:
        """Return ``transform_op`` of each named field that exists."""
        fields = self.tensor_dict
        return {name: tree_map(transform_op, fields[name]) for name in tensor_list if fields.get(name) is not None}
