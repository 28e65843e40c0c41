"""Resolves a command line or a mapping into one validated, frozen value: what is trained or played, and how."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from manybody import tasks
from manybody.config import ConfigError, LaunchConfig, Params, Problem, Section, dump
from manybody.config.errors import Problems, shown
from manybody.config.root import COPIES, SHORT_KEYS
from manybody.config.task import TaskConfig
from manybody.config.types import ForeignSection, opened
from manybody.config.validator import parse_whole
from manybody.engine.checkpoint import load_checkpoint
from manybody.engine.run_folder import RunFolder, RunFolderError
from manybody.envs.base import VecEnv
from manybody.launch.configuration import Configuration, section_of, without_start
from manybody.launch.hydra_tree import compose_tree
from manybody.launch.interpolation import is_reference, resolve_references
from manybody.launch.overrides import Override, parse_overrides, raw_values
from manybody.launch.own_code import import_own
from manybody.launch.rl_games_yaml import SHORT, compose_file, open_content
from manybody.launch.saved_run import compose_saved, load_saved
from manybody.launch.validate import (
    Checkpoint,
    Registers,
    Start,
    check_camera,
    check_playing,
    check_training,
    first_checkpoint,
    parse_settings,
    parse_task,
)
from manybody.registry import built_in

TASK_ENV = "rlgpu"
"""The ``env_name`` of IsaacGymEnvs' training files: the task of the Hydra tree."""
PLAYED = (
    *("name", "env_name", "env_config", "num_actors", "device", "player", "clip_actions", "use_action_masks"),
    *("normalize_input", "normalize_value", "zero_rnn_on_done", "mixed_precision", "train_dir"),
)
"""Keys of ``config`` that every player reads; an algorithm declares further ones."""
SIZES = ("num_envs", "task.env.numEnvs", "train.params.config.num_actors", "params.config.num_actors")
DEVICES = ("rl_device", "train.params.config.device", "params.config.device")


@dataclass(frozen=True)
class ResolvedRun:
    """Everything that a run is made from, resolved and validated."""

    cfg: Configuration
    params: Params
    root: LaunchConfig = field(default_factory=LaunchConfig)
    """The root settings."""
    task: TaskConfig | None = None
    """The task of a Hydra tree."""
    start: Start = field(default_factory=Start)
    playing: bool = False
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Key to value of the command line, both as typed."""
    from_mapping: bool = False
    """The configuration comes from Python and may hold live objects."""

    @property
    def env_names(self) -> tuple[str, ...]:
        """The ``env_name`` that needs no registration."""
        return (TASK_ENV,) if self.task is not None else ()

    def make_task(self, num_envs: int | None = None) -> VecEnv | None:
        """Make the environments of the task; None if ``env_name`` asks for other ones."""
        config = self.params.config
        if self.task is None or config.get("env_name") != TASK_ENV:
            return None
        settings = (self.playing and section_of(config, "player").get("env_config")) or config.get("env_config") or {}
        seed = settings.get("seed", self.params.seed) or 0
        return make_task(self.cfg.content, self.task, num_envs or config["num_actors"], seed)

    def with_envs(self, number: int) -> "ResolvedRun":
        """The same run with another number of environments."""
        config, task = self.params.config, self.task
        update = {"num_actors": number}
        config = (
            config.model_copy(update=update) if isinstance(config, Section) else ForeignSection({**config} | update)
        )
        if task is not None:
            task = task.model_copy(update={"env": task.env.model_copy(update={"numEnvs": number})})
        return replace(self, params=self.params.model_copy(update={"config": config}), task=task)

    def record(self) -> dict[str, Any]:
        """The content of the run's ``config.yaml``.

        A composed tree is kept as written; of everything else, the validated settings.
        """
        kept = self.cfg.record()
        if self.cfg.is_tree:
            if self.from_mapping:
                kept["train"] = {**kept["train"], "params": dump(self.params)}
        else:
            kept |= {"task_name": self.params.config.get("env_name"), "params": dump(self.params)}
        return without_start(kept)


def make_task(cfg: Mapping[str, Any], task: TaskConfig, num_actors: int, seed: int = 0, **_: object) -> VecEnv:
    """Make the environments of the task of a Hydra tree."""
    device = cfg.get("sim_device", "cpu")
    return tasks.make(cfg["task_name"], num_actors, device, seed, task, cfg.get("num_threads") or None)


# --- from a command line ---------------------------------------------------------------------------------------------


def resolve(runner: Registers, texts: Sequence[str], file: str | None = None) -> ResolvedRun:
    """Resolve the command line of a training; nothing is built, nothing is written.

    Args:
        runner: algorithms are registered with it.
        texts: ``key=value`` overrides.
        file: an RL Games file, instead of the Hydra tree.

    Raises:
        ConfigError: everything that is wrong.
    """
    problems = Problems()
    overrides = parse_overrides(texts, problems)
    checkpoint = next((str(override.value) for override in reversed(overrides) if override.key == "checkpoint"), "")
    saved = None
    if checkpoint:
        with suppress(RunFolderError):  # reported with everything else
            folder = RunFolder.open(checkpoint)
            saved = folder if folder.config_file.is_file() else None
    cfg = _composed(overrides, file, saved, problems)
    return validated(runner, cfg, problems, texts)


def _composed(
    overrides: Sequence[Override], file: str | None, saved: RunFolder | None, problems: Problems
) -> Configuration | None:
    """Compose from a run folder, an RL Games file or the Hydra tree, in this order; None: nothing can be composed."""
    content = None
    with problems.collect():
        if saved is not None:
            content = compose_saved(load_saved(saved.path), overrides, file, saved.path, problems)
        else:
            content = compose_file(file, overrides, problems) if file else compose_tree(overrides, problems)
    cfg = None if content is None else Configuration(content)
    homes = SHORT
    if cfg is not None and cfg.is_tree:
        homes = {key: f"train.params.{home}" for key, home in SHORT_KEYS.items()}
    problems.aliases |= {homes[override.key]: override.key for override in overrides if override.key in homes}
    return cfg


def validated(
    runner: Registers,
    cfg: Configuration | None,
    problems: Problems,
    texts: Iterable[str] = (),
    played: Start | None = None,
) -> ResolvedRun:
    """Validate a whole configuration.

    Args:
        runner: algorithms are registered with it.
        cfg: a composed configuration.
        problems: those found so far.
        texts: the overrides in ``cfg``.
        played: the checkpoint to play; None: training.

    Raises:
        ConfigError: everything that is wrong.
    """
    if cfg is None:
        raise ConfigError(problems)
    unresolved = bool(problems)
    task, root, start = None, LaunchConfig(), played or Start()
    with problems.collect():
        task = parse_task(cfg) if cfg.is_tree else None
    with problems.collect():
        root = parse_whole(LaunchConfig, cfg.content if cfg.is_tree else _known_root(cfg))
        check_camera(root.video_camera, cfg.task_name, problems)
    below = Problems()
    settings = cfg.settings
    with below.collect():
        settings = parse_settings(runner, settings, training=played is None)
    if isinstance(settings, Mapping | Params):
        sigma, environments = cfg.content.get("sigma"), [TASK_ENV] if cfg.is_tree else []
        if played is None:
            start = check_training(settings, cfg, sigma, cfg.content.get("checkpoint"), environments, below)
        else:
            check_playing(settings, sigma, environments, below)
    below = Problems(x for x in below if not (unresolved and is_reference(cfg.at(x.path))))  # reported already
    problems += _in_full(cfg, below)
    if problems:
        raise ConfigError(_as_written(cfg, problems))
    assert isinstance(settings, Params)
    return ResolvedRun(cfg, settings, root, task, start, played is not None, raw_values(texts))


def _known_root(cfg: Configuration) -> dict[str, object]:
    return {key: value for key, value in cfg.content.items() if key in LaunchConfig.model_fields}


def _in_full(cfg: Configuration, problems: Iterable[Problem]) -> list[Problem]:
    """Problems of the section ``params`` with their paths from the root."""
    return [replace(x, path=f"{cfg.prefix}{x.path}") if x.path.startswith("params") else x for x in problems]


def _as_written(cfg: Configuration, problems: Problems) -> Iterable[Problem]:
    """Each problem once, with the key that its author wrote instead of those that its value is copied to."""
    written: dict[Any, Problem] = {}
    copies = COPIES if cfg.is_tree else {}
    copied = {source for sources in copies.values() for source in sources}
    for problem in problems:
        path = problems.aliases.get(problem.path, problem.path)
        for source in copies.get(problem.path, ()):
            if cfg.at(source) == cfg.at(problem.path):
                path = source
        key = path if path != problem.path or path in copied else problem
        written[key] = replace(problem, path=path)
    return written.values()


# --- playing ---------------------------------------------------------------------------------------------------------


def resolve_play(
    runner: Registers,
    path: Checkpoint,
    texts: Sequence[str],
    file: str | None = None,
    found: tuple[RunFolder, Path] | None = None,
) -> ResolvedRun:
    """Resolve what to play: a run folder is enough; overrides win over its configuration.

    Args:
        runner: algorithms are registered with it.
        path: a run folder, a checkpoint file, or None: the newest run (of the ``task`` in ``texts``).
        texts: ``key=value`` overrides.
        file: an RL Games file to take the configuration from.
        found: the run folder and the checkpoint, where they are known already.

    Raises:
        ConfigError, CheckpointError: everything that is wrong with the run or the overrides.
    """
    problems, raw = Problems(), raw_values(texts)
    overrides = parse_overrides(texts, problems)
    if file and not path:
        path = first_checkpoint(Configuration(compose_file(file, overrides, Problems()) or {}).settings or {})
    long = [raw.get(f"{prefix}params.config.train_dir") for prefix in ("", "train.")]
    train_dir = next(filter(None, [raw.get("train_dir"), *long]), "runs")
    try:
        folder, checkpoint = found or RunFolder.resolve(path or None, train_dir, raw.get("task"))
    except RunFolderError as error:
        raise ConfigError([*problems, Problem("checkpoint", str(error))]) from None
    saved = None
    if folder.config_file.is_file() or not (file or "task" in raw):
        with problems.collect():
            saved = load_saved(folder.path)
        if saved is None:
            if not folder.config_file.is_file() and len(problems) == 1:
                load_checkpoint(checkpoint)  # a damaged file explains more than a missing configuration
            problems.refuse()
    cfg = _composed(overrides, file, folder if saved is not None else None, problems)
    if cfg is not None:
        if saved is not None:
            problems += unused_in_play(runner, saved, cfg, raw, file)
        if not raw.keys() & set(DEVICES):
            cfg.use_available_device()
    run = validated(runner, cfg, problems, texts, Start(checkpoint, folder))
    number = run.params.config.get("num_actors")
    games = section_of(run.params.config, "player").get("games_num", 100)
    if raw.keys() & set(SIZES) or not isinstance(number, int) or not isinstance(games, int):
        return run
    return run.with_envs(max(1, min(number, games)))  # one environment for each game


def unused_in_play(
    runner: Registers, saved: Configuration, cfg: Configuration, raw: Mapping[str, str], file: str | None
) -> list[Problem]:
    """Find the settings that differ from the run's and only affect training.

    Args:
        runner: algorithms are registered with it.
        saved: the configuration of the run.
        cfg: the same under the overrides.
        raw: the overrides.
        file: the RL Games file that ``cfg`` comes from, if any.
    """
    before, after = saved.config, cfg.config
    if file:  # the file and the validated settings of the run compare only with all defaults set
        try:
            both = [parse_settings(runner, each.settings, training=False) for each in (saved, cfg)]
        except ConfigError:  # reported with everything else
            return []
        before, after = (params.config for params in both)
    schemas: Iterable[Any] = filter(None, runner.algo_factory.schemas.values())
    known = {key for schema in schemas for key in schema.model_fields}
    played = {*PLAYED, *(key for entry in built_in().values() for key in entry.played)}
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    unused = [f"{cfg.prefix}params.config.{key}" for key in changed if key in known and key not in played]
    unused += [key for key in raw if key in ("capture_video_freq", "capture_video_len")]
    return [Problem(path, "only affects training; leave it out to play") for path in unused]


# --- from a mapping --------------------------------------------------------------------------------------------------


def resolve_mapping(runner: Registers, content: object, training: bool = True) -> ResolvedRun:
    """Resolve what a script passes to ``Runner.load``; ``content`` is not changed.

    Args:
        runner: algorithms are registered with it.
        content: ``{'params': {...}}`` as in an RL Games file, or a Hydra tree, such as the ``config.yaml`` of a run.
        training: False for playing alone, where rules on batch sizes do not matter.

    Raises:
        ConfigError: lists everything that is wrong.
    """
    problems = Problems()
    task = None
    if is_tree_mapping(content):
        content, task = resolve_tree(content)
    elif isinstance(content, Mapping) and "params" in content:
        content = open_content(content)
    else:
        content = {}
    cfg = Configuration(content)
    import_own(content, problems)
    problems.refuse()
    root = LaunchConfig() if task is None else parse_whole(LaunchConfig, _known_root(cfg))
    try:
        params = parse_settings(runner, cfg.settings, training)
    except ConfigError as error:
        raise ConfigError(_in_full(cfg, error.problems)) from None
    return ResolvedRun(cfg, params, root, task, playing=not training, from_mapping=True)


def is_tree_mapping(content: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a mapping is a Hydra tree, and not the content of an RL Games file."""
    return isinstance(content, Mapping) and isinstance(content.get("train"), Mapping) and "params" not in content


def resolve_tree(content: Mapping[str, object]) -> tuple[dict[str, Any], TaskConfig]:
    """Resolve the references in a Hydra tree and validate its task.

    Raises:
        ConfigError: it names no task, or what is wrong with the task.
    """
    problems = Problems()
    import_own(content, problems)
    problems.refuse()
    cfg: dict[str, Any] = opened(resolve_references(content, {}, problems))
    problems.refuse()
    for key, kind in (("task_name", str), ("task", dict)):
        if not isinstance(cfg.get(key), kind):
            problems.add(key, f"got {shown(cfg.get(key))}; expected the resolved tree, as in the config.yaml of a run")
    problems.refuse()
    return cfg, parse_task(Configuration(cfg))
