"""``Runner``: from a configuration to a trained or played policy."""

import random
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
import yaml

from manybody.algos import a2c, amp, rnd, sac
from manybody.algos.model import override_sigma
from manybody.config import ConfigError, Params, Problem, dump, parse_params, plugins
from manybody.config.errors import did_you_mean, notify, refuse
from manybody.engine.accelerate import has_device, keep_freed_memory, set_threads
from manybody.engine.console import log, say
from manybody.engine.observers import AlgoObserver, DefaultAlgoObserver, IsaacAlgoObserver
from manybody.engine.run_folder import RunFolder, RunFolderError
from manybody.envs.base import VecEnv
from manybody.envs.registration import use_vecenv_type
from manybody.launch.hydra_tree import import_own, own_modules
from manybody.launch.rl_games_yaml import open_content
from manybody.launch.run_tree import is_run_tree, register_run_tree
from manybody.launch.validate import (
    Start,
    first_checkpoint,
    playing_problems,
    starting_point,
    training_problems,
    without_start,
)
from manybody.model_builder import ModelBuilder
from manybody.registry import ObjectFactory
from manybody.tasks.registration import register_tasks

ARGUMENTS = ("train", "play", "checkpoint", "sigma", "vec_env")
"""What ``Runner.run`` reads."""
OBSERVERS: Mapping[str, type[AlgoObserver]] = {
    **dict.fromkeys(("default", "DefaultAlgoObserver"), DefaultAlgoObserver),
    **dict.fromkeys(("isaac", "IsaacAlgoObserver"), IsaacAlgoObserver),
}
"""What ``config.algo_observer`` may name."""
CARRIED = ("file", "seed", "tf", "num_actors", "track", "wandb_project_name", "wandb_entity")
"""What else RL Games' own script passes to it; the script has used it before."""


class TrainingStopped(SystemExit):
    """A signal ended training, and a checkpoint was written. Left alone, it ends the process with 130 or 143."""

    def __init__(self, agent: Any) -> None:
        super().__init__(agent.run.stop.exit_code)
        self.agent = agent
        """As it stands."""


class Runner:
    """Loads a configuration, then trains or plays what it describes.

    Args:
        algo_observer: is told what happens during training.
    """

    def __init__(self, algo_observer: AlgoObserver | None = None) -> None:
        self.algo_factory = ObjectFactory("algorithm")
        self.player_factory = ObjectFactory("player")
        self.algo_observer = algo_observer or DefaultAlgoObserver()
        self.chooses_observer = algo_observer is None
        """Whether ``config.algo_observer`` acts: the script has given none."""
        self.seed: int | None = None
        a2c.register(self)
        rnd.register(self)
        sac.register(self)
        plugins.load_installed()
        plugins.register_with(self)

    def reset(self) -> None:
        """Nothing to do; RL Games' scripts call it."""

    def load(self, yaml_config: Mapping[str, Any], training: bool = True) -> None:
        """Validate a configuration and seed everything.

        Args:
            yaml_config: ``{'params': {...}}`` as in an RL Games file, or the ``config.yaml`` of a run of the
                configuration tree, which has them under ``train`` and describes its task too. ``${...}`` in it is
                resolved; of an RL Games file, ``seed``, ``num_envs`` next to ``params`` act as on a command
                line. Further keys are kept for the run's ``config.yaml``.
            training: False for playing alone, where rules on batch sizes do not matter.

        Raises:
            ConfigError: lists everything that is wrong.
        """
        if is_run_tree(yaml_config):
            self._load_tree(yaml_config, training)
            return
        yaml_config = open_content(yaml_config)
        self.load_config(self.parse(yaml_config, training))
        self.run_config: dict[str, Any] = {
            **yaml_config,
            **own_modules(yaml_config, [str(self.params.config.get("env_name"))]),
            "params": dump(self.params),
        }

    def _load_tree(self, yaml_config: Mapping[str, Any], training: bool) -> None:
        """Load what a run of the configuration tree keeps: settings under ``train.params``, and a task."""
        refuse(import_own(yaml_config))
        cfg = register_run_tree(yaml_config)
        try:
            params = self.parse(cfg["train"], training)
        except ConfigError as error:
            below = [replace(problem, path=f"train.{problem.path}") for problem in error.problems]
            raise ConfigError(below) from None
        self.load_config(params)
        self.run_config = {**cfg, "train": {**cfg["train"], "params": dump(self.params)}}

    def parse(self, yaml_config: Mapping[str, Any], training: bool = True) -> Params:
        """Validate a configuration without references, as :meth:`load` does, and change nothing.

        Raises:
            ConfigError: lists everything that is wrong.
        """
        if not isinstance(yaml_config, Mapping) or "params" not in yaml_config:
            raise ConfigError([Problem("params", "missing; an RL Games configuration has everything below 'params'")])
        refuse(import_own(yaml_config))
        plugins.register_with(self)
        register_tasks(yaml_config["params"])
        builder = ModelBuilder()
        params = parse_params(
            yaml_config["params"],
            algorithms=self.algo_factory.schemas,
            networks=builder.network_factory.schemas,
            models=builder.model_factory.schemas,
            training=training,
        )
        device = params.config.get("device", "cpu")
        if not has_device(device):
            what = f"got {device!r}, which PyTorch cannot use on this machine; expected 'cpu'"
            raise ConfigError([Problem("params.config.device", what)])
        return params

    def load_config(self, params: Params) -> None:
        """Take a validated configuration; a ``seed`` of None is drawn from the clock, 0 is a seed like any other."""
        seed = params.seed if params.seed is not None else int(time.time())
        self.params = params.model_copy(update={"seed": seed})
        self.algo_name = params.algo.name
        self.seed = seed
        self._take_names(params.config)
        (say if params.seed is None else log)(f"self.seed = {seed}")
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        set_threads(params.torch_threads)
        keep_freed_memory()

    def _take_names(self, config: Any) -> None:
        """Obey RL Games' ``vecenv_type`` and ``algo_observer``, which name a class."""
        kind, env_name, observer = (config.get(key) for key in ("vecenv_type", "env_name", "algo_observer"))
        if kind and not use_vecenv_type(str(env_name), str(kind)):
            notify(f"params.config.vecenv_type: has no effect: {env_name} is registered, and made so")
        if observer in OBSERVERS and self.chooses_observer:
            self.algo_observer = OBSERVERS[observer]()
        elif observer in OBSERVERS:
            notify("params.config.algo_observer: has no effect: an observer is given to the runner")

    def run(self, args: Mapping[str, Any]) -> Any:
        """Train, or play if ``args['play']``; ``args`` also carries what these take.

        Raises:
            ConfigError: an argument that nobody reads.
        """
        unknown = [name for name in args if name not in ARGUMENTS + CARRIED]
        if unknown:
            known = f" (known: {', '.join(ARGUMENTS)})"
            raise ConfigError(
                [Problem(f"run({name}=…)", f"unknown{did_you_mean(name, ARGUMENTS)}{known}") for name in unknown]
            )
        return self.run_play(args) if args.get("play") and not args.get("train") else self.run_train(args)

    def run_train(self, args: Mapping[str, Any]) -> Any:
        """Train; returns the agent.

        Args:
            args: ``checkpoint``: a file to start from (in a new run folder), or a run folder to resume;
                ``sigma``: overrides the deviation of the policy; ``vec_env``: environments to use.

        Raises:
            ConfigError: everything that would stop this training; nothing was written.
            TrainingStopped: a signal ended training; a checkpoint was written.
        """
        checkpoint, sigma = args.get("checkpoint"), args.get("sigma")
        refuse(training_problems(self.params, self.run_config, checkpoint, sigma, self._environments(args)))
        start = starting_point(self.params.config, first_checkpoint(self.params, checkpoint))
        agent = self.algo_factory.create(
            self.algo_name,
            base_name="run",
            params=self.params,
            observer=self.algo_observer,
            folder=partial(self._open, start),
            **({"checkpoint": str(start.checkpoint)} if start.checkpoint else {}),
            **_given(args, "vec_env"),
        )
        override_sigma(agent.model, sigma)
        log("Started to train")
        agent.train()
        if agent.run.stop.requested is not None:
            raise TrainingStopped(agent)
        return agent

    def run_play(self, args: Mapping[str, Any]) -> Any:
        """Play; returns the :class:`~manybody.algos.player.PlayResult`.

        Args:
            args: ``checkpoint``: a file, or a run folder, whose best policy is played; without one, fresh weights;
                ``sigma`` and ``vec_env`` as in :meth:`run_train`.

        Raises:
            ConfigError: everything that would stop playing.
        """
        sigma = args.get("sigma")
        refuse(playing_problems(self.params, sigma, self._environments(args)))
        player = self.create_player(**_given(args, "vec_env"))
        checkpoint = first_checkpoint(self.params, args.get("checkpoint"))
        if checkpoint:
            player.restore(str(RunFolder.resolve(checkpoint)[1]))
        override_sigma(player.model, sigma)
        log("Started to play")
        return player.run()

    def create_player(self, vec_env: VecEnv | None = None) -> Any:
        """A player for the loaded configuration, with fresh weights until ``restore``."""
        parts = {} if vec_env is None else {"vec_env": vec_env}
        return self.player_factory.create(self.algo_name, params=self.params, **parts)

    def _environments(self, args: Mapping[str, Any]) -> tuple[str, ...]:
        """The names that need not be registered: environments that are given are called as the author likes."""
        return () if args.get("vec_env") is None else (str(self.params.config.get("env_name")),)

    def _open(self, start: Start) -> RunFolder:
        """The run folder to resume, or a new one."""
        config = self.params.config
        if start.folder is not None:
            return self._record(RunFolder.resume(start.folder.path))
        return self._record(RunFolder.create(config.train_dir, config.name, config.full_experiment_name or ""))

    def _record(self, folder: RunFolder) -> RunFolder:
        """Leave the resolved configuration beside the run, so that its folder alone is enough to play."""
        whole = folder.config_file.with_suffix(".new")
        try:
            kept = without_start(self.run_config)
            whole.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
            whole.replace(folder.config_file)
        except OSError as error:
            raise RunFolderError(f"{folder.config_file}: cannot be written ({error.strerror or error})") from None
        say(f"run folder: {folder.path}")
        return folder


def build_runner(algo_observer: AlgoObserver | None = None) -> Runner:
    """A :class:`Runner` with everything registered that ships with the library."""
    runner = Runner(algo_observer)
    if algo_observer is None:
        runner.algo_observer = IsaacAlgoObserver()
    amp.register(runner)
    return runner


def _given(args: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: args[name] for name in names if args.get(name) is not None}
