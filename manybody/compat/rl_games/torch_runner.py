"""RL Games' ``rl_games.torch_runner``: ``Runner``, with its settings as the dictionary that scripts expect."""

import os
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from manybody.compat.own_agent import plain_continuous, plain_discrete, typed_params
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
    "a2c_continuous": plain_continuous,
    "a2c_discrete": plain_discrete,
    "sac": lambda **kwargs: sac_agent.SACAgent(**kwargs),
}
"""The library's algorithms, whose settings are validated here; a client's algorithm reads its own settings."""


class Runner:
    """Trains or plays what a configuration describes.

    Algorithms are made as RL Games makes them, ``builder(base_name=, params=)`` with ``params`` a dictionary.

    Args:
        algo_observer: receives the events of training.
    """

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
        """Nothing to do; scripts call it."""

    def load(self, yaml_config: Mapping[str, Any]) -> None:
        """Take a configuration, ``{'params': {...}}`` or the ``config.yaml`` of a run, and seed everything.

        ``${...}`` in it is resolved.

        Raises:
            ConfigError: lists all problems of a library algorithm's settings, or the missing sections of any other.
        """
        if is_tree_mapping(yaml_config):
            tree, task = resolve_tree(yaml_config)
            register(TASK_ENV, partial(make_task, tree, task))
            yaml_config = tree["train"]
        self.default_config = params_of(open_content(yaml_config))
        name = self.default_config["algo"]["name"]
        if name in BUILT_IN and self.algo_factory.builders.get(name) is BUILT_IN[name]:
            typed_params(self.default_config)
        self.load_config(params=self.default_config)

    def load_config(self, params: dict[str, Any]) -> None:
        """Use the section ``params``; observer and reward shaper become live objects in its ``config``."""
        seed = params.get("seed")
        self.seed = int(time.time()) if seed is None or int(seed) < 0 else int(seed)
        params["seed"] = self.seed
        self.local_rank = self.global_rank = 0
        self.world_size = 1
        log(f"self.seed = {self.seed}")
        self.algo_params = params["algo"]
        self.algo_name = self.algo_params["name"]
        self.exp_config = None
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
        """Train; returns the agent.

        Args:
            args: ``checkpoint``: the file to resume from; ``sigma``: replaces the policy's standard deviation;
                ``load_critic_only``: take only the central value of the checkpoint.

        Raises:
            CheckpointError: the checkpoint is missing or broken; nothing was made.
            ConfigError: the checkpoint stands at a limit of training; nothing was made.
            SystemExit: 130 or 143 when a signal ended training; a checkpoint was written.
        """
        log("Started to train")
        args = self._started(args)
        name = str(args.get("checkpoint") or "")
        if name and not name.endswith(".pth") and self.params.get("load_checkpoint") is False:
            # RL Games 1.1 had such names as defaults, and a flag beside them.
            args["checkpoint"] = None if not os.path.exists(name) else name
        if args.get("checkpoint"):
            self._check(args["checkpoint"], bool(args.get("load_critic_only")))
        agent = self.algo_factory.create(self.algo_name, base_name="run", params=self.params)
        _restore(agent, args)
        _override_sigma(agent, args)
        agent.train()
        stop = getattr(getattr(agent, "run", None), "stop", None)
        if stop is not None and stop.requested is not None:
            raise SystemExit(stop.exit_code)
        return agent

    def run_play(self, args: Mapping[str, Any]) -> Any:
        """Play; returns the player. ``args`` as in :meth:`run_train`."""
        log("Started to play")
        args = self._started(args)
        player = self.create_player()
        _restore(player, args)
        _override_sigma(player, args)
        player.run()
        return player

    def _started(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """``args`` with the checkpoint that the configuration names in ``load_path``, where they name none.

        Raises:
            ConfigError: ``load_checkpoint`` is true without a path.
        """
        return {**args, "checkpoint": first_checkpoint(self.params, args.get("checkpoint"))}

    def create_player(self) -> Any:
        """A player for the loaded configuration, with fresh weights until ``restore``."""
        return self.player_factory.create(self.algo_name, params=self.params)

    def _check(self, checkpoint: str, critic_only: bool) -> None:
        """Raise, before a run folder is made, unless training can resume from ``checkpoint``."""
        state = load_checkpoint(checkpoint)
        name, builders = self.algo_name, self.algo_factory.builders
        built_in = name in BUILT_IN and builders[name] is BUILT_IN[name]
        problems = reached_limits(self.params["config"], state, checkpoint) if built_in and not critic_only else []
        if problems:  # a client's own agent may count from zero
            raise ConfigError(problems)


def _restore(agent: Any, args: Mapping[str, Any]) -> None:
    """Load ``args['checkpoint']``, if there is one, into an agent or a player."""
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
    if args.get("sigma") in (None, ""):
        return
    net = agent.model.a2c_network
    if not getattr(net, "fixed_sigma", False):
        warn("sigma: has no effect: this network predicts its standard deviation (fixed_sigma is False)")
        return
    with torch.no_grad():
        net.sigma.fill_(float(args["sigma"]))
