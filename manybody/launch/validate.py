"""What can be known to be wrong with a run before anything is built or written."""

import contextlib
import os
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from manybody.algos.session import load_function
from manybody.config import ConfigError, Problem, Section, load_yaml
from manybody.config.errors import shown
from manybody.config.files import expanded
from manybody.engine.checkpoint import CheckpointError, load_checkpoint
from manybody.engine.checkpoint.values import counter
from manybody.engine.metrics import enough_games
from manybody.engine.run_folder import RunFolder, RunFolderError, check_name
from manybody.envs.registration import EnvError, check_env_name, check_vecenv_type
from manybody.tasks import task_class

Settings = Mapping[str, Any] | Section
"""What stands under ``params``, validated or as it was written: wrong values are passed over here."""


class Start(NamedTuple):
    """Where training begins."""

    checkpoint: Path | None
    """The file to go on from; None: from scratch."""
    folder: RunFolder | None
    """The run folder to go on in; None: a new one."""


def first_checkpoint(settings: Settings, checkpoint: Any = None) -> Any:
    """The checkpoint that a run starts from: the given one, else ``load_path`` where ``load_checkpoint`` is true.

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


def without_start(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that a run keeps: it resumes from its own checkpoints, not from the one it began with."""
    kept = dict(cfg)
    if isinstance(kept.get("train"), Mapping):
        kept["train"] = without_start(kept["train"])
    if isinstance(kept.get("params"), Mapping) and kept["params"].get("load_checkpoint"):
        left_out = ("load_checkpoint", "load_path")
        kept["params"] = {key: value for key, value in kept["params"].items() if key not in left_out}
    return kept


def starting_point(config: Settings, checkpoint: Any) -> Start:
    """What ``checkpoint`` means to a run: a folder is gone on in, a file is the beginning of a new run.

    A file, too, is gone on from in its own folder where that is the run's name.

    Raises:
        RunFolderError: nothing is there.
    """
    if not checkpoint:
        return Start(None, None)
    train_dir, experiment = (
        expanded(_text(config, "train_dir") or "runs"),
        _text(config, "full_experiment_name"),
    )
    folder, file = RunFolder.resolve(checkpoint, train_dir)
    if Path(expanded(checkpoint)).is_dir():
        return Start(folder.newest() or file, folder)
    its_own = experiment is not None and (Path(train_dir) / experiment).absolute() == folder.path
    return Start(file, folder if its_own else None)


def training_problems(
    settings: Settings, cfg: Settings, checkpoint: Any, sigma: Any, environments: Collection[str] = ()
) -> list[Problem]:
    """Everything that would stop this training later.

    Args:
        settings: what stands under ``params``.
        cfg: the whole configuration that the run would keep.
        checkpoint: a file or a run folder to go on from, if any.
        sigma: overrides the deviation of the policy, if given.
        environments: environment names that will be known by then.
    """
    config = _section(settings, "config")
    problems = playing_problems(settings, sigma, environments)
    stop_fn = _text(config, "stop_fn")
    if stop_fn is not None and ":" in stop_fn:
        try:
            load_function(stop_fn)
        except ConfigError as error:
            problems += error.problems
    start = Start(None, None)
    try:
        start = starting_point(config, first_checkpoint(settings, checkpoint))
    except RunFolderError as error:
        problems.append(Problem("checkpoint" if checkpoint else "params.load_path", str(error)))
    except ConfigError as error:
        problems += error.problems
    name, experiment = _text(config, "name"), _text(config, "full_experiment_name")
    train_dir = _text(config, "train_dir") or "runs"
    for text, key in {name: "params.config.name", experiment: "experiment"}.items():  # of equal ones, once
        try:
            check_name(text or "run", key)
        except RunFolderError as error:
            problems.append(Problem("", str(error)))
            experiment = None
    if start.checkpoint is not None:
        with contextlib.suppress(CheckpointError):  # loading it reports everything that is wrong with it
            problems += over(config, load_checkpoint(start.checkpoint, mapped=True), start.checkpoint)
    if start.folder is not None:
        return [*problems, *_other_run(start.folder, cfg)]
    try:
        RunFolder.check_new(train_dir, "run", experiment or "")
    except RunFolderError as error:
        problems.append(Problem("", str(error)))
    return problems


def over(config: Settings, state: Mapping[str, Any], checkpoint: str | os.PathLike) -> list[Problem]:
    """Find the limits of a training that are reached where it would resume.

    Args:
        config: the section ``params.config``.
        state: the content of ``checkpoint``.
        checkpoint: the file, for messages.

    Returns:
        A problem for each limit that has to be raised.

    Raises:
        CheckpointError: a counter of the checkpoint is no number.
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


def playing_problems(settings: Settings, sigma: Any, environments: Collection[str] = ()) -> list[Problem]:
    """Everything that would stop playing later; see :func:`training_problems`."""
    problems = []
    config = _section(settings, "config")
    env_name, vecenv_type = _text(config, "env_name"), _text(config, "vecenv_type")
    if env_name is not None and env_name not in environments:
        try:
            check_vecenv_type(env_name, vecenv_type) if vecenv_type else check_env_name(env_name)
        except EnvError as error:
            key = "env_name" if str(error).startswith("env_name: ") else "vecenv_type"
            problems.append(Problem(f"params.config.{key}", str(error).removeprefix("env_name: ")))
    if sigma not in (None, ""):
        problems += _sigma_problems(settings, sigma)
    return problems


def camera_problems(camera: str | None, task: str) -> list[Problem]:
    """A problem where the model of ``task`` lacks the camera that is to film it; none where nothing is known of it."""
    if camera in (None, "track"):
        return []
    try:
        known = task_class(task).cameras()
    except (ValueError, AttributeError):  # no such task, or one that makes its model on its own
        return []
    if camera in known:
        return []
    expected = f"one of {', '.join(known)}" if known else f"none: the model of {task} has no cameras"
    return [Problem("video.camera", f"got {shown(camera)}; expected {expected}")]


def _sigma_problems(settings: Settings, sigma: Any) -> list[Problem]:
    try:
        float(sigma)
    except (TypeError, ValueError):
        return [Problem("sigma", f"got {shown(sigma)}; expected a number")]
    space = _section(settings, "network").get("space")
    fixed = _section(_section(_section(settings, "network"), "space"), "continuous").get("fixed_sigma")
    if space is None or str(fixed).lower() == "true":
        return []
    what = "this network has no deviation of its own to override (network.space.continuous.fixed_sigma is not true)"
    return [Problem("sigma", f"got {shown(sigma)}, but {what}; leave it out")]


def identity(cfg: Settings) -> str:
    """What a run trains on and how, in words: two runs are the same only if this is."""
    settings = _section(cfg, "train").get("params") or cfg.get("params") or {}
    task = f"task={cfg.get('task_name')}" if "train" in cfg else _section(settings, "config").get("env_name")
    return f"{task} with {_section(settings, 'algo').get('name')}"


def _other_run(folder: RunFolder, cfg: Settings) -> list[Problem]:
    """A problem where the folder to go on in is a run of something else."""
    with contextlib.suppress(ConfigError):  # a record that is lost or damaged is written anew
        recorded = load_yaml(folder.config_file)
        if identity(recorded) != identity(cfg):
            own = shlex.quote(f"checkpoint={folder.path}")
            what = f"is a run of {identity(recorded)}, not of {identity(cfg)}; start a new run, or go on with its own"
            return [Problem("checkpoint", f"{folder.path} {what} settings: manybody train {own}")]
    return []


def _section(settings: Settings, key: str) -> Any:
    section = settings.get(key)
    return section if hasattr(section, "get") else {}


def _number(value: Any) -> float | None:
    """``value`` as a number; None for no limit, and for what is reported as wrong elsewhere."""
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _text(config: Any, key: str) -> str | None:
    value = config.get(key)
    return str(value) if isinstance(value, str | int | float) and str(value) not in ("", "None") else None
