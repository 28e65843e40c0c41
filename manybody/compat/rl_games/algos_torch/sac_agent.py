"""RL Games' ``rl_games.algos_torch.sac_agent``: soft actor-critic with its settings and arguments."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from typing_extensions import override

from manybody.algos.sac import SACAgent as _SACAgent
from manybody.compat.own_agent import RLGamesAgent
from manybody.data.replay import ReplayBatch, ReplayBuffer

__all__ = ["SACAgent"]


class SACAgent(RLGamesAgent, _SACAgent):
    """``sac``, to inherit from, whose updates call :meth:`update_critic` and :meth:`update_actor_and_alpha`."""

    _batch: ReplayBatch
    """The batch of the current update; RL Games' arguments are only a part of it."""

    ALGORITHM = "sac"

    def __init__(self, base_name: str, params: Mapping[str, Any]) -> None:
        super().__init__(base_name, params)
        self.replay_buffer: Any = ReplayView(self.replay_buffer)

    @override
    def explore(self, obs: Any) -> Tensor:
        if self.frame < self.num_warmup_frames:
            return super().explore(obs)
        return self.act(obs, self.actions_num, sample=True)

    def act(self, obs: Any, action_dim: int | None = None, sample: bool = False) -> Tensor:
        """Return actions (N, A) in [-1, 1]: with ``sample`` drawn from the policy, else its mode."""
        actor = self.model.actor(self.model.norm_obs(obs))
        actions: Tensor = actor.sample() if sample else actor.mode()
        return actions

    def update(self, step: int | None = None) -> int:
        """Run one update; return the number of gradient steps. ``step``, RL Games' frame counter, has no effect."""
        batch = self.replay_buffer.sample(self.batch_size, self.gamma, self.n_step)
        self._batch = batch = batch._replace(
            obs=self.model.norm_obs(batch.obs), next_obs=self.model.norm_obs(batch.next_obs)
        )
        self.update_counter += 1
        not_done = (batch.discount > 0).float().unsqueeze(1)
        self.update_critic(*(batch.obs, batch.action, batch.reward.unsqueeze(1), batch.next_obs, not_done), self.frame)
        actors_turn = self.update_counter % self.policy_frequency == 0
        if actors_turn:
            self.update_actor_and_alpha(batch.obs, self.frame)
        self.update_target_weights()
        return 1 + actors_turn

    def update_critic(  # type: ignore[override]
        self, obs: Any, action: Tensor, reward: Tensor, next_obs: Any, not_done: Tensor, step: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Step the critics; return their loss, and that of each.

        ``obs`` and ``next_obs`` (M, O) are normalised, or dictionaries; ``action`` (M, A) is in [-1, 1]; ``reward`` and
        ``not_done`` are (M, 1).
        """
        batch = self._batch._replace(
            obs=obs,
            action=action,
            reward=reward.squeeze(1),
            next_obs=next_obs,
            discount=self._batch.discount * not_done.squeeze(1),
        )
        return super().update_critic(batch)

    def update_actor_and_alpha(  # type: ignore[override]
        self, obs: Any, step: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Step actor and temperature; return the actor's loss, entropy, the temperature and its loss, if it learns."""
        return super().update_actor_and_alpha(self._batch._replace(obs=obs))


class ReplayView:
    """The library's replay buffer with RL Games' attributes."""

    def __init__(self, buffer: ReplayBuffer) -> None:
        self._buffer = buffer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._buffer, name)

    def __len__(self) -> int:
        return len(self._buffer)

    @property
    def idx(self) -> int:
        """The next row to write."""
        return self._buffer.position * self._buffer.rows

    @property
    def full(self) -> bool:
        """Whether new rows overwrite the oldest."""
        return len(self._buffer) == self._buffer.capacity
