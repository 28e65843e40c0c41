"""``EnvAlgorithm``: what every algorithm that learns in a ``VecEnv`` shares, before any learning."""

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from manybody.algos.base import BaseAlgorithm
from manybody.algos.model import ObsShape
from manybody.config import ConfigError, Params, Problem
from manybody.data.rollout import Field, FieldTree
from manybody.data.tree import tree_map
from manybody.engine.extras import ExtrasMetrics
from manybody.engine.guard import Guard
from manybody.engine.metrics import AverageMeter
from manybody.engine.observers import AlgoObserver
from manybody.envs.base import Obs, Step, VecEnv
from manybody.envs.registration import create_vec_env
from manybody.envs.spaces import observation_dtype
from manybody.functional.reward import RewardsShaper
from manybody.model_builder import ModelBuilder


def boxes(space: Any) -> Any:
    """A ``Dict`` space as a dictionary of its parts; another space as it is."""
    return {key: boxes(part) for key, part in space.spaces.items()} if isinstance(space, spaces.Dict) else space


def observation_shape(space: Any) -> ObsShape:
    """Shape of one observation, or shapes by key."""
    return tree_map(lambda part: part.shape, boxes(space))


def observation_fields(space: Any) -> FieldTree:
    """Shape and type under which one observation is stored, or each of its parts by key."""
    return tree_map(lambda part: Field(part.shape, observation_dtype(part)), boxes(space))


class EnvAlgorithm(BaseAlgorithm):
    """Steps N rows (environments x agents), keeps broken numbers out, counts episodes.

    ``self.network`` is the model recipe (RL Games' name), ``self.model`` the live module that a subclass builds
    from it.

    Args:
        base_name: what the runner calls this training (``run``).
        params: the validated configuration.
        vec_env: environments to use; by default those that ``config.env_name`` names.
        observer: is told what happens.

    Raises:
        EnvError: unknown environment.
        ConfigError: its size is not ``num_actors``.
    """

    def __init__(
        self,
        base_name: str,
        params: Params,
        *,
        vec_env: VecEnv | None = None,
        observer: AlgoObserver | None = None,
    ) -> None:
        self.params = params
        self.config = config = params.config
        self.base_name = base_name
        self.name: str = config.name
        self.ppo_device = torch.device(config.device)
        self.algo_observer = observer or AlgoObserver()
        self.algo_observer.before_init(base_name, config, config.full_experiment_name or config.name)
        self.num_actors: int = config.num_actors
        self.vec_env = vec_env or create_vec_env(
            config.env_name, self.num_actors, **{"seed": params.seed, **config.env_config}
        )
        if self.vec_env.num_envs != self.num_actors:
            what = f"given {self.num_actors}; expected {self.vec_env.num_envs}, as many as the environment has"
            raise ConfigError([Problem("params.config.num_actors", what)])
        self.env_info = self.vec_env.get_env_info()
        self.num_agents: int = self.env_info["agents"]
        self.reward_size: int = self.env_info["value_size"]
        self.value_size = self.value_heads()
        self.rows = self.num_actors * self.num_agents
        self.observation_space = self.env_info["observation_space"]
        self.obs_shape = observation_shape(self.observation_space)

        self.gamma: float = config.gamma
        self.normalize_input: bool = config.normalize_input
        self.value_bootstrap: bool = config.value_bootstrap
        self.games_to_track: int = config.games_to_track
        self.mixed_precision = False  # decided when the model and the checkpoint are known
        self.rewards_shaper = RewardsShaper.from_config(config.reward_shaper)
        self.network = ModelBuilder().load(params)
        self.model: Any = None  # the live module; whoever learns builds it
        self.guard = Guard(config.guard, self.rows, self.ppo_device)

        self.max_epochs: int = config.max_epochs
        self.max_frames: int = config.max_frames
        self.epoch_num = 0
        self.frame = 0
        self.last_mean_rewards = float("-inf")

        self.game_rewards = AverageMeter((self.reward_size,), self.games_to_track, self.ppo_device)
        self.game_shaped_rewards = AverageMeter((self.reward_size,), self.games_to_track, self.ppo_device)
        self.game_lengths = AverageMeter((), self.games_to_track, self.ppo_device)
        self.extras_metrics = ExtrasMetrics(self.rows, self.num_agents, self.games_to_track, self.ppo_device)
        self.obs: Obs = {}
        self.epoch_extras: dict[str, Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where the learner computes."""
        return self.ppo_device

    def value_heads(self) -> int:
        """Hook: V. One for each component of the environment's reward; an algorithm may add rewards of its own."""
        return self.reward_size

    def init_tensors(self) -> None:
        """Allocate the running episode counters."""
        zeros = torch.zeros((self.rows, self.reward_size), device=self.ppo_device)
        self.current_rewards = zeros.clone()
        self.current_shaped_rewards = zeros.clone()
        self.current_lengths = torch.zeros(self.rows, device=self.ppo_device)
        self.shortened = torch.zeros(self.rows, dtype=torch.bool, device=self.ppo_device)
        self.dones = torch.ones(self.rows, dtype=torch.uint8, device=self.ppo_device)

    # --- environment ---------------------------------------------------------------------------------------------

    def on_device(self, obs: Obs) -> Obs:
        """``obs`` where the learner computes."""
        return tree_map(lambda x: x.to(self.ppo_device), obs)

    def preprocess_actions(self, actions: Tensor) -> Tensor:
        """Sampled actions (N, A) in the units and on the device of the environment."""
        return actions.to(self.vec_env.device)

    def env_reset(self) -> Obs:
        """Start new episodes everywhere; the first observation, on the learner's device."""
        return self.on_device(self.vec_env.reset())

    def start_episodes(self) -> None:
        """Start new episodes everywhere, at random ages where the environment has them."""
        self.init_tensors()
        self.obs = self.env_reset()
        shortened = self.vec_env.stagger_episodes()
        if shortened is not None:
            self.shortened = shortened.to(self.ppo_device).repeat_interleave(self.num_agents)

    def env_step(self, actions: Tensor) -> Step:
        """One step with sampled ``actions`` (N, A); everything on the learner's device, rewards (N, V)."""
        step = self.vec_env.step(self.preprocess_actions(actions))
        reward = step.reward.to(self.ppo_device)
        return Step(
            self.on_device(step.obs),
            reward.unsqueeze(1) if reward.ndim == 1 else reward,
            step.terminated.to(self.ppo_device),
            step.truncated.to(self.ppo_device),
            None if step.final_obs is None else self.on_device(step.final_obs),
            step.extras,
        )

    def quarantine(self, n: int, step: Step) -> tuple[Step, Tensor]:
        """Step ``n`` of this epoch without broken numbers: such rows end there, without a value beyond them.

        A row that an environment calls terminated and truncated at once is terminated: it has no future.

        Returns:
            The step, and (N,) bool, which rows were broken.
        """
        obs, bad_obs = self.clean_obs("obs", n, step.obs)
        reward, bad_reward = self.guard.clean("reward", n, step.reward)
        broken = bad_obs | bad_reward
        final_obs = step.final_obs
        if final_obs is not None:
            final_obs, bad_last = self.clean_obs("final_obs", n, final_obs, step.truncated)
            broken = broken | bad_last
        return Step(
            obs,
            torch.where(broken.unsqueeze(1), 0.0, reward),
            step.terminated | broken,
            step.truncated & ~(step.terminated | broken),
            final_obs,
            step.extras,
        ), broken

    def clean_obs(self, key: str, n: int, obs: Obs, rows: Tensor | None = None) -> tuple[Obs, Tensor]:
        """``obs`` with broken rows (among ``rows``) zeroed, and (N,) bool, which rows were broken.

        ``states`` have one row per environment; all of its agents' rows break with it.
        """
        cleaned, broken = self.guard.clean(key, n, obs["obs"], rows)
        if "states" not in obs:
            return {**obs, "obs": cleaned}, broken
        states = tree_map(lambda x: x.repeat_interleave(self.num_agents, dim=0), obs["states"])
        states, bad_states = self.guard.clean("states", n, states, rows)
        states = tree_map(lambda x: x[:: self.num_agents], states)
        return {**obs, "obs": cleaned, "states": states}, broken | bad_states

    def count_episodes(self, step: Step, shaped: Tensor, broken: Tensor) -> None:
        """Add a step with shaped rewards (N, V) to the episode statistics; ``broken`` rows (N,) do not count.

        Neither do shortened episodes that ran out of time: their returns are only a part. Those that failed are whole.
        """
        self.current_rewards += step.reward
        self.current_shaped_rewards += shaped
        self.current_lengths += 1
        finished = step.done & ~broken & ~(self.shortened & step.truncated)
        self.shortened = self.shortened & ~step.done
        self.game_rewards.update(self.current_rewards, finished)
        self.game_shaped_rewards.update(self.current_shaped_rewards, finished)
        self.game_lengths.update(self.current_lengths, finished)
        if not self.algo_observer.logs_extras:
            self.extras_metrics.add(step.extras, finished)
        self.algo_observer.process_infos(step.extras, step.done)
        going_on = 1.0 - step.done.float()
        self.current_rewards *= going_on.unsqueeze(1)
        self.current_shaped_rewards *= going_on.unsqueeze(1)
        self.current_lengths *= going_on

    def clear_stats(self) -> None:
        """Forget the episode statistics."""
        for meter in (self.game_rewards, self.game_shaped_rewards, self.game_lengths):
            meter.clear()
        self.extras_metrics.clear()
        self.last_mean_rewards = float("-inf")
        self.algo_observer.after_clear_stats()
