"""``BasePlayer``: runs a trained policy and measures it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from manybody.algos.model import build_arguments
from manybody.algos.network import ModelArguments
from manybody.config import Params
from manybody.config.algorithm import AlgorithmConfig
from manybody.config.params import require_schema
from manybody.data.recurrent import States
from manybody.data.tree import Tree, tree_map
from manybody.engine.checkpoint import check_algorithm, load_checkpoint
from manybody.engine.checkpoint.rl_games import model_state
from manybody.engine.console import say
from manybody.engine.guard import PlayGuard, left_out_text
from manybody.envs.base import Obs, Step, VecEnv
from manybody.envs.registration import create_vec_env
from manybody.envs.spaces import actions_num
from manybody.envs.validation import ReturnValidator
from manybody.model_builder import ModelBuilder


class PlayResult(NamedTuple):
    """What playing measured, over all finished games without non-finite values."""

    games: int
    mean_reward: float
    """Mean return, in the environment's own units."""
    std_reward: float
    """Standard deviation of the return between games."""
    mean_steps: float
    """Mean episode length, control steps."""


class BasePlayer(ABC):
    """Plays ``player.games_num`` games with N environments side by side.

    Args:
        params: the validated configuration.
        vec_env: environments to use; by default those that ``config.env_name`` names.
    """

    model: Any
    """The live model, which a subclass builds."""
    states: States = None
    """The recurrent state between two steps."""
    config: AlgorithmConfig

    def __init__(self, params: Params[AlgorithmConfig], *, vec_env: VecEnv | None = None) -> None:
        require_schema(params, type(self))
        self.params = params
        self.config = config = params.config
        self.player_config = config.player
        self.device = torch.device(config.device)
        env_config = self.player_config.env_config or config.env_config
        self.env = vec_env or create_vec_env(config.env_name, config.num_actors, **{"seed": params.seed, **env_config})
        self.env_returns = ReturnValidator(config.env_name)
        self.env_info = self.env.get_env_info()
        self.rows: int = self.env.num_envs * self.env_info["agents"]
        self.actions_num = actions_num(self.env_info["action_space"])
        self.network = ModelBuilder().load(params)
        self.model = self.network.build(self.build_config()).to(self.device).eval()
        self.games_num: int = self.player_config.games_num * self.player_config.n_game_life
        self.is_deterministic: bool = self.player_config.deterministic
        self.print_stats: bool = self.player_config.print_stats
        self.max_steps = 108_000 // 4  # RL Games' limit of one game, in steps
        self.left_out = 0
        """Games of the last :meth:`run` that held non-finite values and were not counted."""

    def value_heads(self) -> int:
        """Hook: V, as in training."""
        return self.env_info["value_size"]

    def build_config(self) -> ModelArguments:
        """Return the arguments of the model's ``build``, as in training."""
        space = self.env_info["observation_space"]
        return build_arguments(self.config, space, self.actions_num, self.rows, self.value_heads())

    def restore(self, fn: str) -> None:
        """Load the policy from the checkpoint file ``fn``, of RL Games too. Raises CheckpointError."""
        weights = load_checkpoint(fn)
        check_algorithm(self.params.algo.name, weights, fn)
        self.model.load_state_dict(model_state(weights, fn, self.model.state_dict()))

    @abstractmethod
    def get_action(self, obs: Obs, is_deterministic: bool = False) -> Tensor:
        """Actions (N, A) in the units of the action space."""

    def get_masked_action(self, obs: Obs, action_masks: Tensor, is_deterministic: bool = False) -> Tensor:
        """Actions among those that ``action_masks`` allows; only discrete players have one."""
        raise NotImplementedError(f"{type(self).__name__} has no discrete actions to mask")

    def reset(self) -> None:
        """Forget what belongs to an episode; feed-forward policies have nothing."""

    def forget(self, done: Tensor) -> None:
        """Forget what belongs to the episodes that ended in rows ``done`` (N,) bool."""

    def choose(self, obs: Obs) -> Tensor:
        """The actions to take, among those allowed where the configuration uses masks."""
        if not self.config.get("use_action_masks", False):
            return self.get_action(obs, self.is_deterministic)
        masks: Any = obs["action_masks"] if "action_masks" in obs else self.env.get_action_masks()
        return self.get_masked_action(obs, masks, self.is_deterministic)

    def unsound(self, actions: Tensor, guard: PlayGuard) -> Tensor:
        """(N,) bool: the rows whose ``actions``, just chosen, the policy did not compute from finite values."""
        return guard.non_finite_rows(actions)

    def watched(self, step: Step) -> dict[str, Tree]:
        """Hook: what of ``step``, besides observations, has to be finite for its games to count; by key, (N, ...)."""
        return {"reward": step.reward}

    def env_reset(self) -> Obs:
        """Start new episodes; the first observation, on the player's device."""
        return self.on_device(self.env_returns.reset(self.env))

    def on_device(self, obs: Obs) -> Obs:
        """``obs`` on the player's device; masks only where they are used."""
        masked = self.config.get("use_action_masks", False)
        kept = {key: value for key, value in obs.items() if masked or key != "action_masks"}
        return tree_map(lambda x: x.to(self.device), kept)

    def env_step(self, actions: Tensor) -> Step:
        """One step of all environments."""
        step = self.env_returns.step(self.env, actions.to(self.env.device))
        return step._replace(obs=self.on_device(step.obs))

    @torch.inference_mode()
    def run(self, on_step: Callable[[Step], object] | None = None, quiet: bool = False) -> PlayResult:
        """Play, print and return the statistics.

        Every environment contributes its first games, as many as the others (or one more, where ``games_num`` does
        not divide): counting whichever games end first would favour short ones. A game in which an observation or a
        reward is NaN, infinite or above 1e15 ends there and is left out of the statistics; the first is reported.

        Args:
            on_step: called after every step; a true answer ends playing.
            quiet: print no statistics.

        Raises:
            NonFiniteError: the policy's actions are not finite, or every game was left out.
        """
        envs = self.rows
        rows = torch.arange(envs, device=self.device)
        wanted = self.games_num // envs + (rows < self.games_num % envs).long()
        rewards = torch.zeros(envs, device=self.device, dtype=torch.float64)
        steps = torch.zeros(envs, device=self.device, dtype=torch.float64)
        games = torch.zeros(envs, device=self.device, dtype=torch.long)
        total = torch.zeros(3, device=self.device, dtype=torch.float64)  # return, squared return, length
        left_out = torch.zeros((), device=self.device, dtype=torch.long)
        guard = PlayGuard(str(self.config.env_name), envs, self.device)
        obs, stopped = guard.reset(self.env_reset()), False
        self.reset()
        for _ in range(self.max_steps * int(wanted.max())):
            actions = self.choose(obs)
            guard.check_actions(self.unsound(actions, guard))
            step = self.env_step(actions)
            reward = step.reward.to(self.device)
            rewards += reward if reward.ndim == 1 else reward[:, 0]
            steps += 1
            done = step.done.to(self.device)
            self.forget(done)
            obs, ended, spoilt = guard.after_step(step.obs, done, self.watched(step), step.final_obs)
            finished = ended & (games < wanted)
            counted = finished & ~spoilt
            total += torch.stack([torch.where(counted, x, 0).sum() for x in (rewards, rewards.square(), steps)])
            games += finished
            left_out += (finished & spoilt).sum()
            rewards = torch.where(done, 0, rewards)
            steps = torch.where(done, 0, steps)
            if on_step is not None and on_step(step):
                stopped = True
                break
            if (games >= wanted).all():  # the host decides whether to go on, once a step
                break
        self.left_out = int(left_out)
        played = int(games.sum()) - self.left_out
        if self.left_out and not played and not stopped:
            raise guard.all_left_out(self.left_out)
        return self._result(played, total, quiet)

    def _result(self, games: int, total: Tensor, quiet: bool) -> PlayResult:
        mean, square, length = (total / max(games, 1)).tolist()
        result = PlayResult(games, mean, max(square - mean * mean, 0.0) ** 0.5, length)
        if quiet:
            return result
        if self.print_stats:
            say(f"reward: {result.mean_reward:.2f} +- {result.std_reward:.2f} steps: {result.mean_steps:.1f}")
            say(f"games: {games}{f', {left_out_text(self.left_out)}' if self.left_out else ''}")
        say(f"av reward: {result.mean_reward} av steps: {result.mean_steps}")
        return result
