"""``BaseAlgorithm``, the interface of every algorithm, and ``EnvAlgorithm``, which learns in a ``VecEnv``.

``EnvAlgorithm`` steps environments, counts episodes, and saves and restores the whole state of training. How an
algorithm learns, ``train`` included, is left to its subclasses.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypedDict

import torch
from gymnasium import spaces
from torch import Tensor
from typing_extensions import override

from manybody.algos.model import BaseModel, build_arguments
from manybody.algos.network import ModelArguments
from manybody.algos.session import Session
from manybody.config import ConfigError, Params, Problem
from manybody.config.algorithm import AlgorithmConfig
from manybody.config.params import require_schema
from manybody.config.tables import table
from manybody.data.tree import State, tree_map
from manybody.engine.checkpoint import (
    check_algorithm,
    load_checkpoint,
    require,
)
from manybody.engine.checkpoint.parts import Attribute, OptimizerPart, Parts, restore, state_of
from manybody.engine.checkpoint.rl_games import adam_state, converted, model_state, without_unused
from manybody.engine.checkpoint.untrusted import named_file
from manybody.engine.checkpoint.values import OPTIMIZERS, WEIGHTS, best_return, check_values, counter
from manybody.engine.console import warn
from manybody.engine.episodes import EpisodeStatistics
from manybody.engine.guard import Guard
from manybody.engine.observers import AlgoObserver
from manybody.engine.precision import BF16, choose_bf16
from manybody.engine.rng import rng_state, set_rng_state
from manybody.engine.run_folder import RunFolder
from manybody.engine.writers import Writer
from manybody.envs.base import Obs, Step, VecEnv
from manybody.envs.registration import create_vec_env
from manybody.envs.spaces import actions_num, observation_shape
from manybody.envs.validation import ReturnValidator
from manybody.functional.reward import RewardsShaper
from manybody.model_builder import ModelBuilder


class BaseAlgorithm(ABC):
    """Something that trains a policy in a :class:`~manybody.envs.base.VecEnv`."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the learner computes."""

    @abstractmethod
    def clear_stats(self) -> None:
        """Forget the episode statistics."""

    @abstractmethod
    def train(self) -> tuple[float, int]:
        """Train until a stop rule holds; return the last mean return and the number of epochs."""

    @abstractmethod
    def train_epoch(self) -> object:
        """Run one epoch: experience, and the updates from it."""

    @abstractmethod
    def get_full_state_weights(self) -> State:
        """Return everything a checkpoint holds, so that training can resume exactly from here."""

    @abstractmethod
    def set_full_state_weights(self, weights: State, set_epoch: bool = True) -> None:
        """Restore :meth:`get_full_state_weights`; without ``set_epoch`` the counters start at zero."""

    @abstractmethod
    def get_weights(self) -> State:
        """Return the policy alone: parameters and normalisers."""

    @abstractmethod
    def set_weights(self, weights: State) -> None:
        """Restore :meth:`get_weights`."""

    @abstractmethod
    def get_param(self, param_name: str) -> Any:
        """Return a setting that may change during training, by its configuration key."""

    @abstractmethod
    def set_param(self, param_name: str, param_value: object) -> None:
        """Change such a setting."""


class _OfEpisodes:
    """An attribute of ``agent.episodes``, under the same name on the agent as in RL Games."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, agent: Any, owner: type) -> Any:
        return self if agent is None else getattr(agent.episodes, self.name)

    def __set__(self, agent: Any, value: Any) -> None:
        setattr(agent.episodes, self.name, value)


class AgentParts(TypedDict, total=False):
    """The keyword arguments of :class:`EnvAlgorithm`, which subclasses pass on."""

    vec_env: VecEnv | None
    observer: AlgoObserver | None
    folder: Callable[[], RunFolder] | None
    checkpoint: str | None


class EnvAlgorithm(BaseAlgorithm):
    """Steps N rows (environments x agents), replaces non-finite values, counts episodes, saves and restores.

    ``self.network`` is the model recipe (RL Games' name), ``self.model`` the live module that a subclass builds.

    Args:
        base_name: what the runner calls this training (``run``).
        params: the validated configuration.
        vec_env: environments to use; by default those that ``config.env_name`` names.
        observer: receives the events of training.
        folder: makes the run folder, at the end of the constructor. None: nothing is written.
        checkpoint: the file to resume from.

    Raises:
        EnvError: unknown environment.
        ConfigError: its size is not ``num_actors``, or no schema has validated the settings.
    """

    PARAMS: ClassVar[dict[str, str]] = {}
    """Settings that may change during training: configuration key to attribute."""

    config: AlgorithmConfig
    """The algorithm's settings."""
    game_rewards: Any = _OfEpisodes()
    game_shaped_rewards: Any = _OfEpisodes()
    game_lengths: Any = _OfEpisodes()
    extras_metrics: Any = _OfEpisodes()
    current_rewards: Any = _OfEpisodes()
    current_shaped_rewards: Any = _OfEpisodes()
    current_lengths: Any = _OfEpisodes()
    run: Session
    """Logging, checkpoints and stop rules of this training."""

    def __init__(
        self,
        base_name: str,
        params: Params[AlgorithmConfig],
        *,
        vec_env: VecEnv | None = None,
        observer: AlgoObserver | None = None,
        folder: Callable[[], RunFolder] | None = None,
        checkpoint: str | None = None,
    ) -> None:
        require_schema(params, type(self))
        self.params = params
        self.config = config = params.config
        self._folder, self._checkpoint = folder, checkpoint
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
            what = f"got {self.num_actors}; expected {self.vec_env.num_envs}, as many as the environment has"
            raise ConfigError([Problem("params.config.num_actors", what)])
        self.env_returns = ReturnValidator(config.env_name)
        self.env_info = self.vec_env.get_env_info()
        self.num_agents: int = self.env_info["agents"]
        self.reward_size: int = self.env_info["value_size"]
        self.value_size = self.value_heads()
        self.rows = self.num_actors * self.num_agents
        self.observation_space: spaces.Space = self.env_info["observation_space"]
        self.obs_shape = observation_shape(self.observation_space)
        self.actions_num: Any = actions_num(self.env_info["action_space"])

        self.gamma: float = config.gamma
        self.normalize_input: bool = config.normalize_input
        self.value_bootstrap: bool = config.value_bootstrap
        self.games_to_track: int = config.games_to_track
        self.mixed_precision = False  # decided when the model and the checkpoint are known
        self.rewards_shaper = RewardsShaper.from_config({**config.reward_shaper})
        self.network = self.load_recipe(params)
        self.model: Any = None
        self.guard = Guard(config.guard, self.rows, self.ppo_device)

        self.max_epochs: int = config.max_epochs
        self.max_frames: int = config.max_frames
        self.epoch_num = 0
        self.frame = 0
        self.last_mean_rewards = float("-inf")

        self.episodes = EpisodeStatistics(
            self.rows, self.num_agents, self.reward_size, self.games_to_track, self.ppo_device
        )
        self.obs: Obs = {}
        """The observation to act on next; empty until episodes start."""
        self.epoch_extras: dict[str, Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where the learner computes."""
        return self.ppo_device

    @property
    def writer(self) -> Writer:
        """Where observers write scalars: ``add_scalar(tag, value, step)``."""
        return self.run.writer

    def value_heads(self) -> int:
        """Hook: V, one for each component of the environment's reward; an algorithm may add its own rewards."""
        return self.reward_size

    def load_recipe(self, params: Params) -> BaseModel:
        """Return the recipe of the model, with ``build``, that ``params`` describe."""
        return ModelBuilder().load(params)

    def build_config(self) -> ModelArguments:
        """Return the arguments of the model's ``build``; agents with more networks add to them."""
        return build_arguments(self.config, self.observation_space, self.actions_num, self.rows, self.value_size)

    def episode_means(self) -> dict[str, Tensor]:
        """Return means () over the last finished episodes, and how many these are, by name."""
        return self.episodes.means()

    def open_run(self) -> None:
        """Finish the constructor of an agent: open the run, after the checkpoint, if any, was found to fit.

        Raises:
            CheckpointError: what is wrong with the checkpoint; no run folder was made.
        """
        checkpoint = self._checkpoint
        state = load_checkpoint(checkpoint) if checkpoint else None
        if state is not None:
            self._restore_learner(state, str(checkpoint))
        self.run = Session(self, self._folder)
        if state is None:
            self.choose_precision({})
        self.algo_observer.after_init(self)
        if state is not None:
            self.set_full_state_weights(state, path=str(checkpoint))

    def choose_precision(self, saved: State) -> None:
        """Decide whether updates run in bf16: as in the run that was saved, else by a measurement."""
        wanted, rows = self.config.mixed_precision, self.rows_per_update
        self.mixed_precision = choose_bf16("mixed_precision", wanted, saved, BF16, self.model, rows)

    @property
    def rows_per_update(self) -> int:
        """M, the rows of a minibatch; N by default."""
        return self.rows

    def summary(self) -> dict[str, object]:
        """Return what ``print(agent)`` shows: names and values."""
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        agents = f" x {self.num_agents} agents" if self.num_agents > 1 else ""
        return {
            "algorithm": f"{self.params.algo.name} ({type(self).__name__})",
            "environments": f"{self.config.env_name}, {self.num_actors}{agents}",
            "observation": self.obs_shape,
            "actions": self.env_info["action_space"],
            "network": f"{self.params.network['name']}, {parameters:,} parameters",
            "device": self.ppo_device,
            "discount gamma": self.gamma,
        }

    def __str__(self) -> str:
        parts = [table("agent", ("", ""), list(self.summary().items()))]
        if hasattr(self.vec_env, "describe"):
            parts.append(str(self.vec_env))
        return "\n\n".join(parts)

    def end_epoch(self, read: Mapping[str, float]) -> None:
        """Hook: called between epochs with the values that came to the host, before anything is saved."""

    # --- environment ---------------------------------------------------------------------------------------------

    def init_tensors(self) -> None:
        """Allocate what the agent keeps for each row."""
        self.episodes.start()
        self.dones = torch.ones(self.rows, dtype=torch.uint8, device=self.ppo_device)

    def on_device(self, obs: Obs) -> Obs:
        """Return ``obs`` on the learner's device."""
        return tree_map(lambda x: x.to(self.ppo_device), obs)

    def preprocess_actions(self, actions: Tensor) -> Tensor:
        """Return sampled actions (N, A) in the units and on the device of the environment."""
        return actions.to(self.vec_env.device)

    def env_reset(self) -> Obs:
        """Start new episodes everywhere; return the first observation, on the learner's device."""
        return self.on_device(self.env_returns.reset(self.vec_env))

    def start_episodes(self) -> None:
        """Start new episodes everywhere, with randomly shortened first episodes where the environment supports it."""
        self.init_tensors()
        self.obs = self.env_reset()
        shortened = self.vec_env.stagger_episodes()
        if shortened is not None:
            self.episodes.shortened = shortened.to(self.ppo_device).repeat_interleave(self.num_agents)

    def start_training(self) -> None:
        """Start the first episodes, unless a checkpoint has restored running ones."""
        if not self.obs:
            self.start_episodes()

    def env_step(self, actions: Tensor) -> Step:
        """Take one step with sampled ``actions`` (N, A); return tensors on the learner's device, rewards (N, V)."""
        step = self.env_returns.step(self.vec_env, self.preprocess_actions(actions))
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
        """Replace non-finite values in step ``n`` of this epoch; the episodes of such rows terminate.

        A row that is both terminated and truncated counts as terminated.

        Returns:
            The step, and (N,) bool, the rows with non-finite values.
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
        """Return ``obs`` with non-finite rows (among ``rows``) set to zero, and (N,) bool, these rows.

        ``states`` have one row per environment, which stands for the rows of all its agents.
        """
        cleaned, broken = self.guard.clean(key, n, obs["obs"], rows)
        if "states" not in obs:
            return {**obs, "obs": cleaned}, broken
        states = tree_map(lambda x: x.repeat_interleave(self.num_agents, dim=0), obs["states"])
        states, bad_states = self.guard.clean("states", n, states, rows)
        states = tree_map(lambda x: x[:: self.num_agents], states)
        return {**obs, "obs": cleaned, "states": states}, broken | bad_states

    def count_episodes(self, step: Step, shaped: Tensor, broken: Tensor) -> None:
        """Add a step with shaped rewards (N, V) to the episode statistics; ``broken`` rows (N,) do not count."""
        finished = self.episodes.add(step.reward, shaped, step.done, step.truncated, broken)
        if not self.algo_observer.logs_extras:
            self.extras_metrics.add(step.extras, finished)
        self.algo_observer.process_infos(step.extras, step.done)
        self.episodes.restart(step.done)

    def clear_stats(self) -> None:
        """Reset the episode statistics."""
        self.episodes.clear()
        self.last_mean_rewards = float("-inf")
        self.algo_observer.after_clear_stats()

    # --- weights and checkpoints ---------------------------------------------------------------------------------

    def learner_parts(self) -> Parts:
        """Optimisers, schedules and other models: with the weights, the state that a rollback returns to."""
        return {}

    def memory_parts(self) -> Parts:
        """Parts that a rollback of the guard does not restore, by key; optional in checkpoints."""
        return {}

    def interaction_parts(self) -> Parts:
        """The state of collecting between two steps."""
        return {
            "obs": Attribute(self, "obs", self.ppo_device),
            "dones": Attribute(self, "dones", self.ppo_device),
            # Earlier versions did not save it.
            "shortened": Attribute(self.episodes, "shortened", self.ppo_device, optional=True),
        }

    def learner_state(self) -> State:
        """Return weights, optimisers and schedules: the state that a rollback returns to."""
        return {**self.get_weights(), **state_of(self.learner_parts())}

    def set_learner_state(self, state: State, path: str = "state") -> None:
        """Restore :meth:`learner_state`. Raises CheckpointError when a part is missing or does not fit."""
        with named_file(path):
            self.set_weights(state)
        restore(self.learner_parts(), state, path)

    def complete(self, state: State, path: str) -> tuple[dict[str, Any], list[str]]:
        """Fill a converted checkpoint of RL Games with this agent's own state where it lacks something.

        Args:
            state: the checkpoint in this library's layout.
            path: the file, for messages.

        Returns:
            A whole :meth:`learner_state`, and the names of the parts that restart.
        """
        own, restarted = self.learner_state(), []
        whole = {key: state.get(key, part) for key, part in own.items()}
        whole["model"] = without_unused(require(state, "model", path), own["model"], state)
        for key, part in self.learner_parts().items():
            if not isinstance(part, OptimizerPart):
                continue
            names = [*require(state, part.weights, path), *whole]  # a parameter outside the model is a part itself
            moments = adam_state(part.parameters, names, state.get(key))
            whole[key] = {**own[key], "state": moments or {}}
            if moments is None:
                restarted.append(f"the moments of {key}")
        return whole, restarted

    def get_weights(self) -> State:
        """Return the policy alone: parameters and normalisers."""
        return {"model": self.model.state_dict()}

    def set_weights(self, weights: State) -> None:
        """Restore :meth:`get_weights`. Raises CheckpointError naming every parameter that does not fit."""
        self.model.load_state_dict(model_state(weights, "weights", self.model.state_dict()))

    def get_full_state_weights(self) -> State:
        """Return everything needed to resume exactly from here (at an epoch boundary)."""
        return {
            "algo": self.params.algo.name,
            **self.learner_state(),
            **state_of(self.memory_parts()),
            "epoch": self.epoch_num,
            "frame": self.frame,
            "last_mean_rewards": self.last_mean_rewards,
            "best_seen": self.run.best_seen,
            "best_games": self.run.best_games,
            "elapsed": self.run.elapsed,
            "statistics": state_of({**self.episodes.finished_parts(), **self.episodes.running_parts()}),
            "interaction": state_of(self.interaction_parts()),
            "env_state": self.vec_env.get_env_state(),
            "observer": self.algo_observer.state_dict(),
            "rng": rng_state(),
            **({BF16: self.mixed_precision} if self.config.mixed_precision else {}),
        }

    def set_full_state_weights(self, weights: State, set_epoch: bool = True, path: str = "weights") -> None:
        """Resume from a checkpoint. Raises CheckpointError when it belongs to another agent or lacks a part.

        From RL Games' checkpoints, weights, normalisers, counters and optimisers are restored.
        """
        self.choose_precision(weights)
        restarted = self._restore_learner(weights, path)
        if set_epoch:
            self.epoch_num, self.frame = counter(weights, "epoch", path), counter(weights, "frame", path)
            self.last_mean_rewards = best_return(weights, path, float("-inf"))
        if "algo" not in weights:
            state = weights.get("env_state")
            if state is not None and not self.vec_env.restores_exactly:
                self.vec_env.set_env_state(state)  # of RL Games' protocol, as the one that gave it
            warn(
                f"{path}: an RL Games checkpoint; weights, normalisers, counters and optimisers are restored, "
                f"{' and '.join(['episodes', *restarted])} restart"
            )
            return
        self.init_tensors()
        restore(self.memory_parts(), weights, path)
        if set_epoch:
            self.run.best_seen = weights.get("best_seen", self.last_mean_rewards)
            self.run.best_games = weights.get("best_games", 0.0)
            self.run.elapsed = require(weights, "elapsed", path)
        self._restore_interaction(weights, path)
        self.algo_observer.load_state_dict(weights.get("observer", {}))
        set_rng_state(require(weights, "rng", path))

    def _restore_learner(self, weights: State, path: str) -> list[str]:
        """Restore the learner from a checkpoint, of RL Games too; return the names of the parts that restart.

        Raises:
            CheckpointError: it belongs to another agent, or lacks a part.
        """
        state: Mapping[str, Any] = weights
        restarted: list[str] = []
        if "algo" in weights:
            check_algorithm(self.params.algo.name, weights, path)
            for part in ("epoch", "frame", "last_mean_rewards", "elapsed", "interaction", "statistics", "rng"):
                require(weights, part, path)
        else:
            state, restarted = self.complete(converted(weights, path), path)
            counter(weights, "epoch", path)
            counter(weights, "frame", path)
        check_values(state, path, (*WEIGHTS, *OPTIMIZERS))
        self.set_learner_state(state, path)
        return restarted

    def _restore_interaction(self, weights: State, path: str) -> None:
        """Restore environments and episode counters; new episodes start where the environments cannot."""
        self.obs = {}
        statistics = require(weights, "statistics", path)
        restore(self.episodes.finished_parts(), statistics, path)
        state = weights.get("env_state")
        dones = require(weights, "interaction", path)["dones"]
        if state is None or dones.shape != self.dones.shape:
            sizes = f"the checkpoint holds {dones.shape[0]} environments, this run has {self.rows}"
            why = "the environment cannot save its state" if state is None else sizes
            warn(f"{path}: {why}; new episodes start, everything else is restored")
            return
        self.vec_env.set_env_state(state)
        if not self.vec_env.restores_exactly:
            warn(f"{path}: the environment saves only what outlives its episodes; new episodes start")
            return
        restore(self.interaction_parts(), weights["interaction"], path)
        restore(self.episodes.running_parts(), statistics, path)

    def save(self, fn: str) -> bool:
        """Write ``<fn>.pth`` in the run's ``nn/``; false (and a warning) when the disk refuses."""
        return self.run.save(fn)

    def restore(self, fn: str, set_epoch: bool = True) -> None:
        """Resume from the checkpoint file ``fn``. Raises CheckpointError."""
        self.set_full_state_weights(load_checkpoint(fn), set_epoch, fn)

    @override
    def get_param(self, param_name: str) -> Any:
        """Return a setting, () values as numbers. Raises KeyError with the known ones."""
        value = getattr(self, self._attribute(param_name))
        return float(value) if isinstance(value, Tensor) else value

    @override
    def set_param(self, param_name: str, param_value: Any) -> None:
        """Change a setting. Raises KeyError with the known ones."""
        name = self._attribute(param_name)
        current = getattr(self, name)
        setattr(self, name, torch.full_like(current, param_value) if isinstance(current, Tensor) else param_value)

    def _attribute(self, param_name: str) -> str:
        if param_name not in self.PARAMS:
            raise KeyError(f"{param_name}: cannot change during training; those that can: {', '.join(self.PARAMS)}")
        return self.PARAMS[param_name]
