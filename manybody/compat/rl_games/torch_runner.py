"""RL Games' ``rl_games.torch_runner``: ``Runner``, with settings in a dictionary."""

import os
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from manybody.algos.model import override_sigma
from manybody.compat.own_agent import ContinuousAgent, DiscreteAgent, typed_params
from manybody.compat.rl_games.algos_torch import a2c_continuous, a2c_discrete, players, sac_agent
from manybody.compat.rl_games.common import object_factory
from manybody.compat.rl_games.common.algo_observer import DefaultAlgoObserver, IsaacAlgoObserver
from manybody.compat.settings import params_of, rewards_shaper
from manybody.config import ConfigError
from manybody.engine.accelerate import keep_freed_memory, set_threads
from manybody.engine.checkpoint import load_checkpoint
from manybody.engine.console import log, warn
from manybody.envs.registration import register, use_vecenv_type
from manybody.launch.resolve import TASK_ENV, is_tree_mapping, make_task, resolve_tree
from manybody.launch.rl_games_yaml import open_content
from manybody.launch.validate import first_checkpoint, reached_limits

__all__ = ["Runner", "a2c_continuous", "a2c_discrete", "players", "sac_agent"]

BUILT_IN: Mapping[str, Callable[..., Any]] = {
    "a2c_continuous": ContinuousAgent.create,
    "a2c_discrete": DiscreteAgent.create,
    "sac": sac_agent.SACAgent,
}
"""The library's algorithms. Their settings are validated; a client's algorithm reads its settings itself."""


class Runner:
    """Trains or plays as a configuration says. Algorithms are created by ``builder(base_name=, params=)``."""

    def __init__(self, algo_observer: Any = None) -> None:
        self.algo_factory = object_factory.ObjectFactory()
        for name, build in BUILT_IN.items():
            self.algo_factory.register_builder(name, build)
        self.player_factory = object_factory.ObjectFactory()
        for name, player in (
            ("a2c_continuous", players.PpoPlayerContinuous),
            ("a2c_discrete", players.PpoPlayerDiscrete),
            ("sac", players.SACPlayer),
        ):
            self.player_factory.register_builder(name, lambda player=player, **kwargs: player(**kwargs))
        self.algo_observer = algo_observer or DefaultAlgoObserver()
        self.chooses_observer = algo_observer is None

    def reset(self) -> None:
        """Do nothing; scripts call it."""

    def load(self, yaml_config: Mapping[str, Any]) -> None:
        """Load a configuration, ``{'params': {...}}`` or the ``config.yaml`` of a run, resolve ``${...}``, and seed.

        Raises:
            ConfigError: lists all problems of a library algorithm's settings, or the missing sections of any other.
        """
        if is_tree_mapping(yaml_config):
            tree, task = resolve_tree(yaml_config)
            register(TASK_ENV, partial(make_task, tree, task))
            yaml_config = tree["train"]
        self.default_config = params_of(open_content(yaml_config))
        if self._is_built_in(self.default_config["algo"]["name"]):
            typed_params(self.default_config)
        self.load_config(params=self.default_config)

    def _is_built_in(self, name: str) -> bool:
        return name in BUILT_IN and self.algo_factory.builders.get(name) is BUILT_IN[name]

    def load_config(self, params: dict[str, Any]) -> None:
        """Set the section ``params``; put the observer and the reward shaper into its ``config`` as objects."""
        seed = params.get("seed")
        self.seed = int(time.time()) if seed is None or int(seed) < 0 else int(seed)
        params["seed"] = self.seed
        self.local_rank = self.global_rank = 0
        self.world_size = 1
        log(f"self.seed = {self.seed}")
        self.algo_params = params["algo"]
        self.algo_name = self.algo_params["name"]
        torch.manual_seed(self.seed)
        np.random.seed(self.seed % 2**32)
        random.seed(self.seed)
        config = params["config"]
        if config.get("vecenv_type"):
            use_vecenv_type(str(config["env_name"]), str(config["vecenv_type"]))
        if self.chooses_observer and "isaac" in str(config.get("algo_observer")).lower():
            self.algo_observer = IsaacAlgoObserver()
        if isinstance(config.get("env_config"), dict):
            config["env_config"].setdefault("seed", self.seed)
        config["reward_shaper"] = rewards_shaper(config.get("reward_shaper"))
        config["features"] = config.get("features") or {}
        config["features"]["observer"] = self.algo_observer
        self.params = params
        set_threads(params.get("torch_threads", "auto"))
        keep_freed_memory()

    def run(self, args: Mapping[str, Any]) -> Any:
        """Train, or play where ``args['play']`` and not ``args['train']``."""
        if args.get("play") and not args.get("train"):
            return self.run_play(args)
        return self.run_train(args)

    def run_train(self, args: Mapping[str, Any]) -> Any:
        """Train; return the agent.

        Args:
            args: ``checkpoint``: the file to resume from; ``sigma``: replaces the policy's standard deviation;
                ``load_critic_only``: load only the central value of the checkpoint.

        Raises:
            CheckpointError: the checkpoint is missing or damaged; nothing was created.
            ConfigError: the checkpoint has already reached a limit of training; nothing was created.
            SystemExit: 130 or 143 when a signal ended training; a checkpoint was written.
        """
        log("Started to train")
        args = self._started(args)
        name = str(args.get("checkpoint") or "")
        if name and not name.endswith(".pth") and self.params.get("load_checkpoint") is False:
            # RL Games 1.1 had such names as defaults, and a flag to use them.
            args["checkpoint"] = name if os.path.exists(name) else None
        if args.get("checkpoint"):
            state = load_checkpoint(args["checkpoint"])
            if self._is_built_in(self.algo_name) and not args.get("load_critic_only"):
                problems = reached_limits(self.params["config"], state, args["checkpoint"])
                if problems:
                    raise ConfigError(problems)
        agent = self.algo_factory.create(self.algo_name, base_name="run", params=self.params)
        _restore(agent, args)
        _override_sigma(agent, args)
        agent.train()
        stop = getattr(getattr(agent, "run", None), "stop", None)
        if stop is not None and stop.requested is not None:
            raise SystemExit(stop.exit_code)
        return agent

    def run_play(self, args: Mapping[str, Any]) -> Any:
        """Play; return the player. For ``args`` see :meth:`run_train`."""
        log("Started to play")
        args = self._started(args)
        player = self.create_player()
        _restore(player, args)
        _override_sigma(player, args)
        player.run()
        return player

    def _started(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Add the checkpoint of ``load_path``, if needed. Raises ConfigError: ``load_checkpoint`` without a path."""
        return {**args, "checkpoint": first_checkpoint(self.params, args.get("checkpoint"))}

    def create_player(self) -> Any:
        """Create a player for the loaded configuration; its weights are random until ``restore``."""
        return self.player_factory.create(self.algo_name, params=self.params)


def _restore(agent: Any, args: Mapping[str, Any]) -> None:
    """Load ``args['checkpoint']``, if any, into an agent or a player."""
    checkpoint = args.get("checkpoint")
    if not checkpoint:
        return
    if args.get("train") and args.get("load_critic_only"):
        if not getattr(agent, "has_central_value", False):
            raise ValueError("load_critic_only: got True, but the agent has no central value to load")
        agent.restore_central_value_function(checkpoint)
    else:
        agent.restore(checkpoint)


def _override_sigma(agent: Any, args: Mapping[str, Any]) -> None:
    """Fill the policy's fixed standard deviation with ``args['sigma']``, if present."""
    try:
        override_sigma(agent.model, args.get("sigma"))
    except ConfigError as error:  # RL Games ignores it
        warn(str(error))
