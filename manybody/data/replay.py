"""What an off-policy learner remembers: a ring of the last steps of all environments, on its device."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from manybody.data.rollout import Field, FieldTree
from manybody.data.tree import Tree, tree_map


class ReplayBatch(NamedTuple):
    """M transitions of up to n steps each."""

    obs: Tree
    """(M, *shape), or such a tensor by key, as the environment gave it."""
    action: Tensor
    """(M, A)."""
    reward: Tensor
    """(M,) discounted sum of the rewards on the way."""
    next_obs: Tree
    """As ``obs``: where the way ended."""
    discount: Tensor
    """(M,) weight of the value of ``next_obs``: gamma^steps, 0 where the episode terminated."""
    valid: Tensor
    """(M,) bool: false where the step was broken and must not be learned from."""


class ReplayBuffer:
    """Remembers steps of N rows (environments x agents); the oldest step is overwritten when it is full.

    Everything is preallocated and filled by slices. Which rows lie where is known to the host, so nothing waits for
    the device. Returns over several steps are added up when a batch is drawn.

    Args:
        capacity: transitions, rounded down to whole steps of N rows, at least one step.
        rows: N.
        obs: shape and type of one observation, or of each of its parts by key.
        actions_num: A.
        device: where to.
    """

    def __init__(self, capacity: int, rows: int, obs: FieldTree, actions_num: int, device: torch.device) -> None:
        self.rows = rows
        self.steps = max(capacity // rows, 1)
        self.capacity = self.steps * rows
        self.position = 0
        self.filled = 0

        flag = Field((), torch.bool)
        fields = {
            "obs": obs,
            "next_obs": obs,
            "action": Field((actions_num,), torch.float32),
            "reward": Field((), torch.float32),
            "terminated": flag,
            "ended": flag,
            "valid": flag,
        }
        self.fields: dict[str, Any] = tree_map(
            lambda field: torch.zeros((self.capacity, *field.shape), dtype=field.dtype, device=device), fields
        )

    def __len__(self) -> int:
        return self.filled * self.rows

    def add(
        self,
        obs: Tree,
        action: Tensor,
        reward: Tensor,
        next_obs: Tree,
        terminated: Tensor,
        truncated: Tensor,
        valid: Tensor,
    ) -> None:
        """Remember one step of all rows.

        Args:
            obs: (N, ...) what was acted on.
            action: (N, A).
            reward: (N,).
            next_obs: (N, ...) what followed in the same episode; finite but without meaning where it terminated.
            terminated: (N,) bool.
            truncated: (N,) bool.
            valid: (N,) bool: false rows are never learned from.
        """
        step = {
            "obs": obs,
            "next_obs": next_obs,
            "action": action,
            "reward": reward,
            "terminated": terminated,
            "ended": terminated | truncated,
            "valid": valid,
        }
        place = slice(self.position * self.rows, (self.position + 1) * self.rows)
        tree_map(lambda ring, x: ring[place].copy_(x), self.fields, step)
        self.position = (self.position + 1) % self.steps
        self.filled = min(self.filled + 1, self.steps)

    def clear(self) -> None:
        """Forget everything."""
        self.position = self.filled = 0

    def cut(self) -> None:
        """New episodes start everywhere: no return reaches from the newest step into the next one."""
        if self.filled:
            newest = (self.position - 1) % self.steps
            self.fields["ended"][newest * self.rows : (newest + 1) * self.rows] = True

    def sample(self, batch_size: int, gamma: float, n_step: int = 1) -> ReplayBatch:
        """``batch_size`` transitions drawn evenly, with replacement.

        A return stops early, and the value of the observation there takes over, at the end of its episode, at the
        newest step and before a broken step.

        Args:
            batch_size: M.
            gamma: discount per step.
            n_step: the most rewards that are added up.
        """
        fields = self.fields
        first = torch.randint(len(self), (batch_size,), device=fields["reward"].device)
        last, reward = first, fields["reward"][first]
        discount = torch.full_like(reward, gamma)
        if n_step > 1:
            last, reward, discount = self._add_up(first, reward, gamma, n_step)
        return ReplayBatch(
            tree_map(lambda ring: ring[first], fields["obs"]),
            fields["action"][first],
            reward,
            tree_map(lambda ring: ring[last], fields["next_obs"]),
            torch.where(fields["terminated"][last], 0.0, discount),
            fields["valid"][first],
        )

    def _add_up(self, first: Tensor, reward: Tensor, gamma: float, n_step: int) -> tuple[Tensor, Tensor, Tensor]:
        """The place of each return's last step (M,), the discounted sum up to there, and gamma^steps."""
        fields = self.fields
        newer = (self.position * self.rows - 1 - first) % self.capacity // self.rows  # steps after the first
        last, going = first, ~fields["ended"][first]
        discount = torch.full_like(reward, gamma)
        for step in range(1, n_step):
            following = (first + step * self.rows) % self.capacity
            going = going & (newer >= step) & fields["valid"][following]
            reward = torch.where(going, reward + discount * fields["reward"][following], reward)
            discount = torch.where(going, discount * gamma, discount)
            last = torch.where(going, following, last)
            going = going & ~fields["ended"][following]
        return last, reward, discount

    def state_dict(self) -> dict[str, Any]:
        """What is remembered, for a checkpoint."""
        filled = tree_map(lambda ring: ring[: len(self)], self.fields)
        return {"fields": filled, "position": self.position, "filled": self.filled, "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`.

        Raises:
            ValueError: it is of another size; says what differs.
        """
        rows = len(state["fields"]["reward"]) // max(state["filled"], 1)
        if (rows, state["steps"]) != (self.rows, self.steps):
            given = f"given {state['steps']} steps of {rows} rows"
            raise ValueError(f"{given}; expected {self.steps} steps of {self.rows} rows")
        self.position, self.filled = state["position"], state["filled"]
        tree_map(lambda ring, x: ring[: len(self)].copy_(x), self.fields, state["fields"])
