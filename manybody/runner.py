"""``Runner``: from a configuration to a trained or played policy."""

import random
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from manybody.algos import a2c, amp, rnd, sac
from manybody.algos.base import EnvAlgorithm
from manybody.algos.model import override_sigma
from manybody.algos.player import BasePlayer, PlayResult
from manybody.config import ForeignSection, Params, plugins
from manybody.config.algorithm import AlgorithmConfig
from manybody.config.errors import Problems, did_you_mean, notify
from manybody.config.files import write_whole
from manybody.engine.accelerate import keep_freed_memory, set_threads
from manybody.engine.console import log, say
from manybody.engine.observers import AlgoObserver, DefaultAlgoObserver, IsaacAlgoObserver
from manybody.engine.run_folder import RunFolder, RunFolderError
from manybody.envs.base import VecEnv
from manybody.envs.registration import use_vecenv_type
from manybody.launch.configuration import Configuration
from manybody.launch.resolve import ResolvedRun, resolve_mapping
from manybody.launch.validate import Start, check_playing, check_training, first_checkpoint
from manybody.registry import ObjectFactory

ARGUMENTS = ("train", "play", "checkpoint", "sigma", "vec_env")
"""Arguments of ``Runner.run``."""
OBSERVERS: Mapping[str, type[AlgoObserver]] = {
    **dict.fromkeys(("default", "DefaultAlgoObserver"), DefaultAlgoObserver),
    **dict.fromkeys(("isaac", "IsaacAlgoObserver"), IsaacAlgoObserver),
}
"""Values of ``config.algo_observer``."""
IGNORED_ARGUMENTS = ("file", "seed", "tf", "num_actors", "track", "wandb_project_name", "wandb_entity")
"""Further arguments that RL Games' own script passes."""


class TrainingStopped(SystemExit):
    """A signal ended training, and a checkpoint was written. If not caught, the process ends with 130 or 143."""

    def __init__(self, agent: EnvAlgorithm) -> None:
        super().__init__(agent.run.stop.exit_code)
        self.agent = agent


class Runner:
    """Loads a configuration, then trains or plays it.

    Args:
        algo_observer: called during training.
    """

    def __init__(self, algo_observer: AlgoObserver | None = None) -> None:
        self.algo_factory: ObjectFactory[EnvAlgorithm] = ObjectFactory("algorithm")
        self.player_factory: ObjectFactory[BasePlayer] = ObjectFactory("player")
        self.algo_observer = algo_observer or DefaultAlgoObserver()
        self.chooses_observer = algo_observer is None
        """Whether ``config.algo_observer`` acts: the script has no observer."""
        self.seed: int | None = None
        a2c.register(self)
        rnd.register(self)
        sac.register(self)
        plugins.load_installed()
        plugins.register_with(self)

    def reset(self) -> None:
        """Do nothing; RL Games' scripts call it."""

    def load(self, yaml_config: Mapping[str, object], training: bool = True) -> None:
        """Validate a configuration and seed everything.

        Args:
            yaml_config: ``{'params': {...}}`` as in an RL Games file, or the ``config.yaml`` of a run of the
                configuration tree, which has them in ``train`` and describes its task too. ``${...}`` in it is
                resolved; in an RL Games file, ``seed``, ``num_envs`` next to ``params`` act as on a command
                line. Further keys are kept for the run's ``config.yaml``.
            training: False for playing alone, where rules on batch sizes do not matter.

        Raises:
            ConfigError: lists everything that is wrong.
        """
        self.load_run(resolve_mapping(self, yaml_config, training))

    def parse(self, yaml_config: Mapping[str, object], training: bool = True) -> Params:
        """Validate a configuration as :meth:`load` does, and change nothing.

        Raises:
            ConfigError: lists everything that is wrong.
        """
        return resolve_mapping(self, yaml_config, training).params

    def load_config(self, params: Params) -> None:
        """Use validated settings that come without the rest of a run."""
        self.load_run(ResolvedRun(Configuration({}), params))

    def load_run(self, run: ResolvedRun) -> None:
        """Use a resolved run; a ``seed`` of None is taken from the clock, 0 is a seed like any other."""
        seed = run.params.seed if run.params.seed is not None else int(time.time())
        self.seed = seed
        self.params = run.params.model_copy(update={"seed": seed})
        self.resolved = replace(run, params=self.params)
        self.algo_name = self.params.algo.name
        self._take_names(self.params.config)
        (say if run.params.seed is None else log)(f"self.seed = {seed}")
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        set_threads(self.params.torch_threads)
        keep_freed_memory()

    @property
    def run_config(self) -> dict[str, Any]:
        """The content of the run's ``config.yaml``."""
        return self.resolved.record()

    def _take_names(self, config: AlgorithmConfig | ForeignSection) -> None:
        """Use the classes that RL Games' ``vecenv_type`` and ``algo_observer`` name."""
        kind, env_name, observer = (config.get(key) for key in ("vecenv_type", "env_name", "algo_observer"))
        if kind and not use_vecenv_type(str(env_name), str(kind)):
            notify(f"params.config.vecenv_type: has no effect: {env_name} is registered otherwise")
        chosen = OBSERVERS.get(str(observer))
        if chosen and self.chooses_observer:
            self.algo_observer = chosen()
        elif chosen:
            notify("params.config.algo_observer: has no effect: the runner has an observer already")

    def run(self, args: Mapping[str, object]) -> Any:
        """Train, or play if ``args['play']``; further arguments as of :meth:`run_train` and :meth:`run_play`.

        Raises:
            ConfigError: an unknown argument.
        """
        problems, known = Problems(), f" (known: {', '.join(ARGUMENTS)})"
        for name in args:
            if name not in ARGUMENTS + IGNORED_ARGUMENTS:
                problems.add(f"run({name}=…)", f"unknown{did_you_mean(name, ARGUMENTS)}{known}")
        problems.refuse()
        return self.run_play(args) if args.get("play") and not args.get("train") else self.run_train(args)

    def run_train(self, args: Mapping[str, Any]) -> EnvAlgorithm:
        """Train; returns the agent.

        Args:
            args: ``checkpoint``: a file to start a new run from, or a run folder to resume; ``sigma``: replaces the
                standard deviation of the policy; ``vec_env``: environments to use.

        Raises:
            ConfigError: everything that would stop this training; nothing was written.
            TrainingStopped: a signal ended training; a checkpoint was written.
        """
        problems = Problems()
        checkpoint, sigma, vec_env = (args.get(key) for key in ("checkpoint", "sigma", "vec_env"))
        start = check_training(self.params, self.resolved.cfg, sigma, checkpoint, self._env_names(vec_env), problems)
        problems.refuse()
        return self.train(start, sigma, vec_env)

    def train(self, start: Start, sigma: Any = None, vec_env: VecEnv | None = None) -> EnvAlgorithm:
        """Train from ``start``; returns the agent. Other arguments and errors as of :meth:`run_train`."""
        vec_env = self.resolved.make_task() if vec_env is None else vec_env
        parts = {"vec_env": vec_env, "checkpoint": start.checkpoint and str(start.checkpoint)}
        agent = self.algo_factory.create(
            self.algo_name,
            base_name="run",
            params=self.params,
            observer=self.algo_observer,
            folder=partial(self._open, start, self.run_config),
            **{name: part for name, part in parts.items() if part is not None},
        )
        override_sigma(agent.model, sigma)
        log("Started to train")
        agent.train()
        if agent.run.stop.requested is not None:
            raise TrainingStopped(agent)
        return agent

    def run_play(self, args: Mapping[str, Any]) -> PlayResult:
        """Play; returns the :class:`~manybody.algos.player.PlayResult`.

        Args:
            args: ``checkpoint``: a file, or a run folder, whose best policy is played; without one, the initial
                weights; ``sigma`` and ``vec_env`` as in :meth:`run_train`.

        Raises:
            ConfigError: everything that would stop playing.
        """
        problems, sigma, vec_env = Problems(), args.get("sigma"), args.get("vec_env")
        check_playing(self.params, sigma, self._env_names(vec_env), problems)
        problems.refuse()
        checkpoint = first_checkpoint(self.params, args.get("checkpoint"))
        player = self.restored_player(RunFolder.resolve(checkpoint)[1] if checkpoint else None, sigma, vec_env)
        log("Started to play")
        return player.run()

    def restored_player(self, checkpoint: Path | None, sigma: Any = None, vec_env: VecEnv | None = None) -> BasePlayer:
        """Create a player with the policy of ``checkpoint``; None: with initial weights."""
        player = self.create_player(vec_env)
        if checkpoint is not None:
            player.restore(str(checkpoint))
        override_sigma(player.model, sigma)
        return player

    def create_player(self, vec_env: VecEnv | None = None) -> BasePlayer:
        """Create a player for the loaded configuration, with initial weights."""
        vec_env = replace(self.resolved, playing=True).make_task() if vec_env is None else vec_env
        parts = {} if vec_env is None else {"vec_env": vec_env}
        return self.player_factory.create(self.algo_name, params=self.params, **parts)

    def _env_names(self, vec_env: VecEnv | None) -> tuple[str, ...]:
        """The names that need no registration: of environments that are passed, and of the tree's task."""
        return self.resolved.env_names if vec_env is None else (str(self.params.config.get("env_name")),)

    def _open(self, start: Start, record: Mapping[str, object]) -> RunFolder:
        """Open the run folder to resume, or make a new one, and write the run's ``config.yaml``."""
        config = self.params.config
        if start.folder is not None:
            folder = RunFolder.resume(start.folder.path)
        else:
            folder = RunFolder.create(config.train_dir, config.name, config.full_experiment_name or "")
        try:
            write_whole(folder.config_file, lambda file: file.write(yaml.safe_dump(record, sort_keys=False).encode()))
        except OSError as error:
            raise RunFolderError(f"{folder.config_file}: cannot be written ({error.strerror or error})") from None
        say(f"run folder: {folder.path}")
        return folder


def build_runner(algo_observer: AlgoObserver | None = None) -> Runner:
    """Create a :class:`Runner` with all built-in algorithms registered."""
    runner = Runner(algo_observer)
    if algo_observer is None:
        runner.algo_observer = IsaacAlgoObserver()
    amp.register(runner)
    return runner
