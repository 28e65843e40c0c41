"""Self-play: past policies of the agent play the environment's other side."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from manybody.algos.a2c.config import SelfPlayConfig
from manybody.config import ConfigError, Problem
from manybody.data.tree import State, tree_map
from manybody.engine.accelerate import eval_mode
from manybody.envs.base import Obs

PATH = "params.config.self_play_config"


class SelfPlayManager:
    """A pool of past policies, from which each environment has an opponent.

    Once the mean return over at least ``games_to_check`` games exceeds ``update_score``, the present policy joins the
    pool, the next ``env_update_num`` environments in turn get it as their opponent, and the statistics are reset, as
    in RL Games. Unlike there, every other environment gets the pool's members in turn, and a full pool keeps the policy
    that training began with and drops the second, so that what was learned against old policies is not forgotten.

    The environment receives the opponent through :meth:`VecEnv.set_opponent`; one in RL Games' protocol through its
    ``set_weights(indices, weights)``.

    Args:
        config: the ``self_play_config`` section.
        agent: the agent that learns; its model exists.

    Raises:
        ConfigError: the environment has no other side to play, or the policy is recurrent.
    """

    def __init__(self, config: SelfPlayConfig, agent: Any) -> None:
        self.config = config
        self.agent = agent
        self.num_envs: int = agent.num_actors
        if agent.is_rnn:
            what = "got a block, but the network is recurrent; expected a feed-forward one: opponents keep no state"
            raise ConfigError([Problem(PATH, what)])
        self.pool: list[dict[str, Tensor]] = []
        self.assigned = torch.zeros(self.num_envs, dtype=torch.long, device=agent.device)
        self.next_env = 0
        self.last_update = 0
        self._join()
        everywhere = list(range(self.num_envs))
        if not (agent.vec_env.set_opponent(self.act) | agent.vec_env.set_weights(everywhere, agent.get_weights())):
            what = (
                f"got a block, but '{agent.config.env_name}' has no other side to play; expected an environment with "
                "set_opponent(act) or RL Games' set_weights(indices, weights)"
            )
            raise ConfigError([Problem(PATH, what)])

    @torch.no_grad()
    def act(self, obs: Obs, mask: Tensor) -> Tensor:
        """The opponents' actions, sampled, in the units of the action space.

        Args:
            obs: as the agent's own, from the opponents' side, for every environment.
            mask: (num_envs,) bool, where an action is asked for; other rows come back as zero.
        """
        obs, mask = self.agent.on_device(obs), mask.to(self.agent.device)
        field = self.agent.policy_fields()["actions"]
        actions = torch.zeros((self.num_envs, *field.shape), dtype=field.dtype, device=mask.device)
        with eval_mode(self.agent.model):
            for member, weights in enumerate(self.pool):
                rows = mask & (self.assigned == member)
                if rows.any():  # waits for the device; games are played on the CPU
                    own = tree_map(lambda x, rows=rows: x[rows], obs)
                    asked = {"is_train": False, "prev_actions": None, **own}
                    actions[rows] = functional_call(self.agent.model, weights, (asked,))["actions"]
        return self.agent.preprocess_actions(actions)

    def after_epoch(self, read: Mapping[str, float]) -> None:
        """Add the policy to the pool once it wins; ``read`` has ``reward`` and ``games`` on the host."""
        score, games = read["reward"], read["games"]
        if self.config.check_scores:
            scores = self.agent.algo_observer.game_scores
            score, games = float(scores.mean), float(scores.current_size)  # once an epoch
        if games < self.config.games_to_check or score <= self.config.update_score:
            return
        agent = self.agent
        agent.clear_stats()
        self._join()
        turn = [(self.next_env + k) % self.num_envs for k in range(self.config.env_update_num)]
        self.next_env = (turn[-1] + 1) % self.num_envs
        self.assigned = torch.arange(self.num_envs, device=self.assigned.device) % len(self.pool)
        self.assigned[turn] = len(self.pool) - 1
        agent.vec_env.set_weights(turn, agent.get_weights())
        agent.writer.add_scalar("selfplay/iters_update_weigths", agent.epoch_num - self.last_update, agent.frame)
        self.last_update = agent.epoch_num

    def _join(self) -> None:
        """Add the present policy to the pool."""
        weights = {name: value.detach().clone() for name, value in self.agent.model.state_dict().items()}
        self.pool = self._kept([*self.pool, weights])

    def _kept(self, pool: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
        """The first and the newest: past selves alone never make a beginner's moves, and defence is forgotten."""
        size = self.config.pool_size
        if len(pool) <= size:
            return pool
        return pool[-1:] if size == 1 else [pool[0], *pool[1 - size :]]

    def state_dict(self) -> State:
        """Return the pool and its assignment."""
        return {
            "pool": self.pool,
            "assigned": self.assigned,
            "next_env": self.next_env,
            "last_update": self.last_update,
        }

    def load_state_dict(self, state: State | None) -> None:
        """Restore :meth:`state_dict`; a checkpoint without self-play leaves the pool unchanged."""
        if state is None:
            return
        device = self.assigned.device
        pool = [{name: value.to(device) for name, value in weights.items()} for weights in state["pool"]]
        self.pool = self._kept(pool)
        self.assigned = state["assigned"].to(device).clamp_max(len(self.pool) - 1)
        self.next_env, self.last_update = state["next_env"], state["last_update"]
