"""RL Games' ``rl_games.common.experience``: the rollout buffer and the replay buffer."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from manybody.compat.rl_games.algos_torch.torch_ext import numpy_to_torch_dtype_dict
from manybody.data.tree import tree_map


class ReplayBuffer:
    """The last ``size`` transitions of one environment with numbered actions, in NumPy.

    Args:
        size: transitions; the oldest is overwritten when it is full.
        ob_space: space of an observation.
    """

    def __init__(self, size: int, ob_space: Any) -> None:
        self._obses = np.zeros((size, *ob_space.shape), dtype=ob_space.dtype)
        self._next_obses = np.zeros_like(self._obses)
        self._rewards = np.zeros(size)
        self._actions = np.zeros(size, dtype=np.int32)
        self._dones = np.zeros(size, dtype=bool)
        self._maxsize = size
        self._next_idx = 0
        self._curr_size = 0

    def __len__(self) -> int:
        return self._curr_size

    def add(self, obs_t: Any, action: Any, reward: Any, obs_tp1: Any, done: Any) -> None:
        """Remember one transition."""
        n = self._next_idx
        self._obses[n], self._next_obses[n] = obs_t, obs_tp1
        self._actions[n], self._rewards[n], self._dones[n] = action, reward, done
        self._next_idx = (n + 1) % self._maxsize
        self._curr_size = min(self._curr_size + 1, self._maxsize)

    def _encode_sample(self, idxes: Sequence[int]) -> tuple[np.ndarray, ...]:
        rows = np.asarray(idxes)
        fields = self._obses, self._actions, self._rewards, self._next_obses, self._dones
        return tuple(field[rows] for field in fields)

    def sample(self, batch_size: int) -> tuple[np.ndarray, ...]:
        """Observations, actions, rewards, next observations and dones of ``batch_size`` draws with replacement."""
        return self._encode_sample([random.randrange(self._curr_size) for _ in range(batch_size)])


class VectorizedReplayBuffer:
    """The last ``capacity`` transitions of many environments, in tensors on one device.

    Args:
        obs_shape: of one observation.
        action_shape: of one action.
        capacity: transitions; the oldest are overwritten when it is full.
        device: where to.
    """

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
        """Remember ``obs`` (N, ...), ``action`` (N, A), ``reward`` (N, 1), ``next_obs`` (N, ...) and ``done`` (N, 1).

        Of more than fit, the last ones stay.
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
        """Observations, actions, rewards, next observations and dones of ``batch_size`` draws with replacement."""
        rows = torch.randint(self.capacity if self.full else self.idx, (batch_size,), device=self.device)
        return (
            self.obses[rows],
            self.actions[rows],
            self.rewards[rows],
            self.next_obses[rows],
            self.dones[rows],
        )


class ExperienceBuffer:
    """The T steps that N rows (environments x agents) went through since the last update, in ``tensor_dict``.

    Args:
        env_info: ``observation_space``, ``action_space`` [, ``state_space``, ``agents``, ``value_size``]; spaces are
            recognised by the names of their classes, from any library.
        algo_info: ``num_actors``, ``horizon_length``, ``has_central_value`` [, ``use_action_masks``].
        device: where to.
        aux_tensor_dict: shapes of further float32 fields by name.

    Raises:
        ValueError: a space that cannot be stored; names its class.
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
        self.action_space = env_info["action_space"]
        self.num_actors = algo_info["num_actors"]
        self.horizon_length = algo_info["horizon_length"]
        self.has_central_value = algo_info["has_central_value"]
        self.use_action_masks = algo_info.get("use_action_masks", False)
        self.obs_base_shape = (self.horizon_length, self.num_agents * self.num_actors)
        self.state_base_shape = (self.horizon_length, self.num_actors)
        self._read_action_space()
        self.tensor_dict: dict[str, Any] = {}
        self._init_from_env_info(env_info)
        self.aux_tensor_dict = aux_tensor_dict
        if aux_tensor_dict is not None:
            self._init_from_aux_dict(aux_tensor_dict)

    def _read_action_space(self) -> None:
        space, kind = self.action_space, type(self.action_space).__name__
        self.is_discrete = kind == "Discrete"
        self.is_multi_discrete = kind in ("Tuple", "MultiDiscrete")
        self.is_continuous = kind == "Box"
        self.actions_shape: tuple[int, ...]
        self.actions_num: Any
        if self.is_discrete:
            self.actions_shape, self.actions_num = (), int(space.n)
        elif self.is_multi_discrete:
            self.actions_num = [int(part.n) for part in space] if kind == "Tuple" else space.nvec.tolist()
            self.actions_shape = (len(self.actions_num),)
        elif self.is_continuous:
            self.actions_num = space.shape[0]
            self.actions_shape = (self.actions_num,)
        else:
            raise ValueError(f"action space: got {kind}; expected Box, Discrete, MultiDiscrete or Tuple")

    def _init_from_env_info(self, env_info: Mapping[str, Any]) -> None:
        """One tensor for each thing that every rollout has."""
        fields, rows = self.tensor_dict, self.obs_base_shape
        fields["obses"] = self._create_tensor_from_space(env_info["observation_space"], rows)
        if self.has_central_value:
            states = env_info.get("state_space")
            states = env_info["observation_space"] if states is None else states
            fields["states"] = self._create_tensor_from_space(states, self.state_base_shape)
        value = (env_info.get("value_size", 1),)
        fields["rewards"] = self._zeros((*rows, *value))
        fields["values"] = self._zeros((*rows, *value))
        fields["neglogpacs"] = self._zeros(rows)
        fields["dones"] = self._zeros(rows, torch.uint8)
        whole = torch.float32 if self.is_continuous else torch.int64
        fields["actions"] = self._zeros((*rows, *self.actions_shape), whole)
        if self.use_action_masks:
            fields["action_masks"] = self._zeros((*rows, int(np.sum(self.actions_num))), torch.bool)
        if self.is_continuous:
            fields["mus"] = self._zeros((*rows, *self.actions_shape))
            fields["sigmas"] = self._zeros((*rows, *self.actions_shape))

    def _init_from_aux_dict(self, tensor_dict: Mapping[str, Sequence[int]]) -> None:
        for name, shape in tensor_dict.items():
            self.tensor_dict[name] = self._zeros((*self.obs_base_shape, *shape))

    def _zeros(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def _create_tensor_from_space(self, space: Any, base_shape: tuple[int, ...]) -> Any:
        """Zeros (*base_shape, *shape of ``space``), or by key for a dictionary of spaces."""
        kind = type(space).__name__
        if kind == "Dict":
            return {key: self._create_tensor_from_space(x, base_shape) for key, x in space.spaces.items()}
        if kind == "Tuple":
            return self._zeros((*base_shape, len(space)), torch.int64)
        if kind in ("Box", "Discrete", "MultiDiscrete", "MultiBinary"):
            return self._zeros((*base_shape, *space.shape), numpy_to_torch_dtype_dict[np.dtype(space.dtype)])
        raise ValueError(f"space: got {kind}; expected Box, Discrete, MultiDiscrete, MultiBinary, Tuple or Dict")

    def update_data(self, name: str, index: Any, val: Any) -> None:
        """Store ``val`` (N, ...), or such by key, as step ``index`` of the field ``name``."""
        self._write(name, (index, slice(None)), val)

    def update_data_rnn(self, name: str, indices: Any, play_mask: Any, val: Any) -> None:
        """Store ``val`` (K, ...), or such by key, at steps ``indices`` (K,) of the rows ``play_mask`` (K,)."""
        self._write(name, (indices, play_mask), val)

    def _write(self, name: str, place: tuple[Any, ...], val: Any) -> None:
        stored = self.tensor_dict[name]
        if isinstance(stored, Mapping) is not isinstance(val, Mapping):
            kinds = type(val).__name__, type(stored).__name__
            raise ValueError(f"{name}: got {kinds[0]}; expected {kinds[1]}")
        parts = [(stored[key], part) for key, part in val.items()] if isinstance(val, Mapping) else [(stored, val)]
        for field, part in parts:
            field[place] = part

    def get_transformed(self, transform_op: Callable[[Tensor], Any]) -> dict[str, Any]:
        """``transform_op`` of every field."""
        return {name: tree_map(transform_op, field) for name, field in self.tensor_dict.items()}

    def get_transformed_list(self, transform_op: Callable[[Tensor], Any], tensor_list: Sequence[str]) -> dict[str, Any]:
        """``transform_op`` of the fields that are named; names of none are left out."""
        fields = self.tensor_dict
        return {name: tree_map(transform_op, fields[name]) for name in tensor_list if fields.get(name) is not None}
