"""Replay buffer of an off-policy learner, on its device."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from manybody.data.rollout import Field, FieldTree
from manybody.data.tree import State, Tree, tree_map


class ReplayBatch(NamedTuple):
    """M transitions of up to n steps each."""

    obs: Tree
    """(M, *shape), or a dictionary of such tensors, as the environment returned it."""
    action: Tensor
    """(M, A)."""
    reward: Tensor
    """(M,) discounted sum of the rewards of these steps."""
    next_obs: Tree
    """As ``obs``, after the last of these steps."""
    discount: Tensor
    """(M,) weight of the value of ``next_obs``: gamma^steps, 0 where the episode terminated."""
    valid: Tensor
    """(M,) bool: false where the step is not finite and must not be used."""


class ReplayBuffer:
    """The latest steps of N rows (environments x agents); a full buffer overwrites the oldest step.

    All tensors are preallocated; positions are known on the host, so no method waits for the device. Returns over
    several steps are computed when a batch is sampled.

    Args:
        capacity: transitions, rounded down to whole steps of N rows, at least one step.
        rows: N.
        obs: field of one observation, or of each of its parts by key.
        actions_num: A.
        device: the device of the tensors.
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
        """Store one step of all rows: ``obs`` and ``next_obs`` (N, ...), ``action`` (N, A), the others (N,).

        ``next_obs`` is of the same episode, any finite values where it terminated; the learner ignores rows that are
        not ``valid``.
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
        """Remove all steps."""
        self.position = self.filled = 0

    def cut(self) -> None:
        """Mark the newest step as the last of its episodes: no return extends beyond it."""
        if self.filled:
            newest = (self.position - 1) % self.steps
            self.fields["ended"][newest * self.rows : (newest + 1) * self.rows] = True

    def sample(self, batch_size: int, gamma: float, n_step: int = 1) -> ReplayBatch:
        """Draw ``batch_size`` transitions of at most ``n_step`` steps, uniformly, with replacement.

        A return ends early at the end of its episode, at the newest step and before an invalid step; it bootstraps from
        the observation there.
        """
        fields = self.fields
        first = torch.randint(len(self), (batch_size,), device=fields["reward"].device)
        last, reward = first, fields["reward"][first]
        discount = torch.full_like(reward, gamma)
        if n_step > 1:
            last, reward, discount = self._n_step_return(first, reward, gamma, n_step)
        return ReplayBatch(
            tree_map(lambda ring: ring[first], fields["obs"]),
            fields["action"][first],
            reward,
            tree_map(lambda ring: ring[last], fields["next_obs"]),
            torch.where(fields["terminated"][last], 0.0, discount),
            fields["valid"][first],
        )

    def _n_step_return(self, first: Tensor, reward: Tensor, gamma: float, n_step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the index of each return's last step (M,), the discounted sum up to it, and gamma^steps."""
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

    def state_dict(self) -> State:
        """Return the stored steps, for a checkpoint."""
        filled = tree_map(lambda ring: ring[: len(self)], self.fields)
        return {"fields": filled, "position": self.position, "filled": self.filled, "steps": self.steps}

    def load_state_dict(self, state: State) -> None:
        """Restore :meth:`state_dict`; raise ValueError if the sizes differ."""
        rows = len(state["fields"]["reward"]) // max(state["filled"], 1)
        if (rows, state["steps"]) != (self.rows, self.steps):
            given = f"got {state['steps']} steps of {rows} rows"
            raise ValueError(f"{given}; expected {self.steps} steps of {self.rows} rows")
        self.position, self.filled = state["position"], state["filled"]
        tree_map(lambda ring, x: ring[: len(self)].copy_(x), self.fields, state["fields"])
