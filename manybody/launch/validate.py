"""Finds what is wrong with a run before anything is built or written."""

import contextlib
import os
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple, Protocol, SupportsFloat, cast

from manybody import tasks
from manybody.algos.session import load_function
from manybody.config import ConfigError, Params, Problem, load_yaml, parse_params, parse_section, plugins
from manybody.config.errors import Problems, shown
from manybody.config.files import expanded
from manybody.config.task import TaskConfig
from manybody.data.tree import State
from manybody.engine.accelerate import has_device
from manybody.engine.checkpoint import CheckpointError, load_checkpoint
from manybody.engine.checkpoint.values import counter
from manybody.engine.metrics import enough_games
from manybody.engine.run_folder import RunFolder, RunFolderError, check_name
from manybody.envs.registration import EnvError, check_env_name, check_vecenv_type
from manybody.launch.configuration import Configuration, Settings, section_of
from manybody.model_builder import ModelBuilder
from manybody.registry import ObjectFactory
from manybody.sim.base import DEVICES, NO_BACKEND
from manybody.tasks.registration import register_tasks

Checkpoint = str | os.PathLike[str] | None
"""A checkpoint file or a run folder, as a user names it."""


class Registers(Protocol):
    """A runner: algorithms are registered with it."""

    algo_factory: ObjectFactory


class Start(NamedTuple):
    """Where a run starts."""

    checkpoint: Path | None = None
    """The file to load; None: from scratch."""
    folder: RunFolder | None = None
    """The run folder to resume or to play; None: a new one."""


# --- sections --------------------------------------------------------------------------------------------------------


def parse_settings(runner: Registers, settings: Any, training: bool = True) -> Params:
    """Validate the section ``params`` with what is registered with a runner.

    Args:
        runner: modules of the user that were imported register theirs with it first.
        settings: the section.
        training: False for playing alone, where rules on batch sizes do not matter.

    Raises:
        ConfigError: lists everything that is wrong.
    """
    if settings is None:
        raise ConfigError([Problem("params", "missing; an RL Games configuration has everything below 'params'")])
    plugins.register_with(runner)
    register_tasks(settings)
    builder = ModelBuilder()
    params = parse_params(
        settings,
        algorithms=runner.algo_factory.schemas,
        networks=builder.network_factory.schemas,
        models=builder.model_factory.schemas,
        training=training,
    )
    device = params.config.get("device", "cpu")
    if not has_device(device):
        what = f"got {device!r}, which PyTorch cannot use on this machine; expected 'cpu'"
        raise ConfigError([Problem("params.config.device", what)])
    return params


def parse_task(cfg: Configuration) -> TaskConfig:
    """Validate the task of a resolved Hydra tree.

    Raises:
        ConfigError: an unknown task, or what is wrong with its settings.
    """
    problems = Problems()
    device = cfg.content.get("sim_device", "cpu")
    if device not in DEVICES:
        problems.add("sim_device", f"got {device!r}; {NO_BACKEND}")
    task = None
    with problems.collect():
        try:
            schema = tasks.task_class(cfg.task_name).Config
        except ValueError as error:
            raise ConfigError([Problem("task_name", str(error))]) from None
        task = parse_section(schema, cfg.content["task"], "task")
    problems.refuse()
    assert task is not None
    return task


def check_camera(camera: str | None, task: str, problems: Problems) -> None:
    """Check that the model of ``task`` has the camera; nothing is checked for an environment of another kind."""
    if camera in (None, "track"):
        return
    try:
        known = tasks.task_class(task).cameras()
    except (ValueError, AttributeError):  # no such task, or one that makes its model itself
        return
    if camera not in known:
        expected = f"one of {', '.join(known)}" if known else f"none: the model of {task} has no cameras"
        problems.add("video.camera", f"got {shown(camera)}; expected {expected}")


# --- a run that is about to start ------------------------------------------------------------------------------------


def check_playing(settings: Settings, sigma: object, environments: Collection[str], problems: Problems) -> None:
    """Find what would stop playing later; arguments as of :func:`check_training`."""
    config = section_of(settings, "config")
    env_name, vecenv_type = _text(config, "env_name"), _text(config, "vecenv_type")
    if env_name is not None and env_name not in environments:
        try:
            check_vecenv_type(env_name, vecenv_type) if vecenv_type else check_env_name(env_name)
        except EnvError as error:
            key = "env_name" if str(error).startswith("env_name: ") else "vecenv_type"
            problems.add(f"params.config.{key}", str(error).removeprefix("env_name: "))
    if sigma not in (None, ""):
        _check_sigma(settings, sigma, problems)


def _check_sigma(settings: Settings, sigma: object, problems: Problems) -> None:
    try:
        float(cast(SupportsFloat, sigma))
    except (TypeError, ValueError):
        problems.add("sigma", f"got {shown(sigma)}; expected a number")
        return
    space = section_of(section_of(settings, "network"), "space")
    fixed = section_of(space, "continuous").get("fixed_sigma")
    if section_of(settings, "network").get("space") is not None and str(fixed).lower() != "true":
        what = "no sigma: the network predicts its own (network.space.continuous.fixed_sigma is not true)"
        problems.add("sigma", f"got {shown(sigma)}; expected {what}. Leave it out")


def check_training(
    settings: Settings,
    cfg: Configuration,
    sigma: object,
    checkpoint: Checkpoint,
    environments: Collection[str],
    problems: Problems,
) -> Start:
    """Find what would stop training later.

    Args:
        settings: the section ``params``, validated or as written; wrong values are ignored here.
        cfg: the whole configuration.
        sigma: replaces the standard deviation of the policy, if set.
        checkpoint: a file to start from or a run folder to resume, if set.
        environments: names that will be known by then.
        problems: problems are added here.

    Returns:
        Where training starts.
    """
    config = section_of(settings, "config")
    check_playing(settings, sigma, environments, problems)
    stop_fn = _text(config, "stop_fn")
    if stop_fn is not None and ":" in stop_fn:
        with problems.collect():
            load_function(stop_fn)
    start = Start()
    with problems.collect():
        try:
            start = starting_point(config, first_checkpoint(settings, checkpoint))
        except RunFolderError as error:
            problems.add("checkpoint" if checkpoint else "params.load_path", str(error))
    name, experiment = _text(config, "name"), _text(config, "full_experiment_name")
    for text, key in {name: "params.config.name", experiment: "experiment"}.items():  # of equal names, once
        try:
            check_name(text or "run", key)
        except RunFolderError as error:
            problems.add("", str(error))
            experiment = None
    if start.checkpoint is not None:
        with contextlib.suppress(CheckpointError):  # loading it reports everything that is wrong with it
            problems += reached_limits(config, load_checkpoint(start.checkpoint, mapped=True), start.checkpoint)
    if start.folder is not None:
        _check_same_run(start.folder, cfg, problems)
        return start
    try:
        RunFolder.check_new(_text(config, "train_dir") or "runs", "run", experiment or "")
    except RunFolderError as error:
        problems.add("", str(error))
    return start


def first_checkpoint(settings: Settings, checkpoint: Checkpoint = None) -> Checkpoint:
    """The checkpoint that a run starts from: ``checkpoint``, else ``load_path`` if ``load_checkpoint`` is true.

    Raises:
        ConfigError: ``load_checkpoint`` is true, and there is no path.
    """
    loads = str(settings.get("load_checkpoint")).strip().lower() in ("true", "yes", "on", "1")
    if checkpoint or not loads:
        return checkpoint
    path = _text(settings, "load_path")
    if path is None:
        what = "missing; expected the path of a checkpoint, because load_checkpoint is true"
        raise ConfigError([Problem("params.load_path", what)])
    return path


def starting_point(config: Settings, checkpoint: Checkpoint) -> Start:
    """Find where training starts: a run folder is resumed in place, a checkpoint file starts a new run.

    A file is resumed in place too if its folder has the name of the run.

    Raises:
        RunFolderError: there is no checkpoint.
    """
    if not checkpoint:
        return Start()
    train_dir = expanded(_text(config, "train_dir") or "runs")
    experiment = _text(config, "full_experiment_name")
    folder, file = RunFolder.resolve(checkpoint, train_dir)
    if Path(expanded(checkpoint)).is_dir():
        return Start(folder.newest() or file, folder)
    same = experiment is not None and (Path(train_dir) / experiment).absolute() == folder.path
    return Start(file, folder if same else None)


def reached_limits(config: Settings, state: State, checkpoint: str | os.PathLike) -> list[Problem]:
    """Find the limits of training that a checkpoint has already reached.

    Args:
        config: the section ``params.config``.
        state: the content of ``checkpoint``.
        checkpoint: the file, for messages.

    Returns:
        A problem for each of them.

    Raises:
        CheckpointError: a counter of the checkpoint is not a number.
    """
    path = os.fspath(checkpoint)
    done: dict[str, tuple[float, str]] = {
        "max_epochs": (counter(state, "epoch", path), f"the epoch at which {path} was saved"),
        "max_frames": (counter(state, "frame", path), f"the frame at which {path} was saved"),
    }
    with contextlib.suppress(KeyError, TypeError, IndexError):  # a file of RL Games has no statistics
        returns = state["statistics"]["game_rewards"]
        track, actors = _number(config.get("games_to_track")) or 100, _number(config.get("num_actors")) or 1
        if returns["current_size"] >= enough_games(track, actors):
            done["score_to_win"] = (float(returns["mean"][0]), f"the mean return of {path}")
    problems = []
    for key, (reached, what) in done.items():
        limit = _number(config.get(key))
        if limit is not None and reached >= limit and (limit > 0 or key == "score_to_win"):
            message = f"got {limit:.10g}; expected more than {reached:.10g}, {what}. Raise it to train longer"
            problems.append(Problem(f"params.config.{key}", message))
    return problems


def _check_same_run(folder: RunFolder, cfg: Configuration, problems: Problems) -> None:
    with contextlib.suppress(ConfigError):  # a record that is lost or damaged is written again
        recorded = Configuration(load_yaml(folder.config_file))
        if recorded.identity != cfg.identity:
            own = shlex.quote(f"checkpoint={folder.path}")
            what = f"is a run of {recorded.identity}, not of {cfg.identity}; start a new run, or resume this one with"
            problems.add("checkpoint", f"{folder.path} {what} its own settings: manybody train {own}")


def _number(value: object) -> float | None:
    """``value`` as a number; None for no limit, and for a value that is reported as wrong elsewhere."""
    try:
        return None if value is None or isinstance(value, bool) else float(cast(SupportsFloat, value))
    except (TypeError, ValueError):
        return None


def _text(config: Settings, key: str) -> str | None:
    value = config.get(key)
    return str(value) if isinstance(value, str | int | float) and str(value) not in ("", "None") else None
