"""The entry: IsaacGymEnvs' Hydra tree in, a trained or played policy out. ``python -m manybody.train task=Ant ...``."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from manybody.config import ConfigError, ConfigWarning, Problem, load_yaml, parse_launch, parse_section
from manybody.config.errors import did_you_mean
from manybody.engine import console
from manybody.engine.checkpoint import CheckpointError
from manybody.engine.console import say, warn
from manybody.engine.guard import TrainingAbortedError
from manybody.engine.observers import AlgoObserver, IsaacAlgoObserver, MultiObserver
from manybody.engine.run_folder import RunFolderError
from manybody.envs.registration import EnvError

CFG = Path(__file__).parent / "cfg"
OPEN_SECTIONS = ("train.params", "task")
"""Below these, any key may be set on the command line: the gate knows more keys than the YAML files spell out."""

RESOLVERS: dict[str, Callable[..., Any]] = {
    "eq": lambda x, y: str(x).lower() == str(y).lower(),
    "contains": lambda x, y: str(x).lower() in str(y).lower(),
    "if": lambda condition, a, b: a if condition else b,
    "resolve_default": lambda default, arg: default if arg == "" else arg,
}
"""IsaacGymEnvs' OmegaConf resolvers."""


def build_runner(algo_observer: AlgoObserver | None = None) -> Any:
    """A :class:`~manybody.runner.Runner` with everything registered that ships with the library."""
    from manybody.runner import Runner

    return Runner(algo_observer or IsaacAlgoObserver())


# --- composing the configuration ---------------------------------------------------------------------------------


def compose(overrides: Sequence[str]) -> dict[str, Any]:
    """The resolved configuration tree for Hydra ``overrides`` such as ``task=Ant`` or ``train.params.seed=1``.

    Raises:
        ConfigError: lists unknown keys and groups with the nearest known ones, and whatever Hydra refuses.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
    groups, values = _split(overrides)
    _check_groups(groups)
    with warnings.catch_warnings(), initialize_config_dir(str(CFG), version_base="1.3"):
        warnings.simplefilter("ignore")
        try:
            opened, problems = _opened(hydra_compose("config", groups), values)
            cfg = hydra_compose("config", [*groups, *opened])
            tree: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(
                [Problem("", f"{' '.join(str(error).split())} (in: {' '.join(overrides)})")]
            ) from None
    if problems:
        with _collecting(problems):
            check(tree)
        raise ConfigError(problems)
    return {**tree, "command": list(overrides)}


def _split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides that choose a file (``task=Ant``), and the rest."""
    groups = {path.name for path in CFG.iterdir() if path.is_dir()}
    chosen = [text for text in overrides if text.split("=")[0].lstrip("+~") in groups]
    return chosen, [text for text in overrides if text not in chosen]


def _check_groups(groups: Sequence[str]) -> None:
    problems = []
    for text in groups:
        group, _, choice = text.lstrip("+").partition("=")
        known = sorted(path.stem for path in (CFG / group).glob("*.yaml"))
        if choice not in known:
            hint = did_you_mean(choice, known)
            problems.append(Problem(group, f"given {choice!r}; expected one of {', '.join(known)}{hint}"))
    if problems:
        raise ConfigError(problems)


def _opened(base: DictConfig, overrides: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """The overrides, allowed to add keys below :data:`OPEN_SECTIONS`, and what is wrong with the others."""
    problems, opened = [], []
    for text in overrides:
        key, equals, _ = text.partition("=")
        path = key.lstrip("+~")
        if not equals and not key.startswith("~"):
            problems.append(Problem(text, "is not of the form key=value"))
        elif key.startswith(("+", "~")) or path.startswith("hydra."):
            opened.append(text)
        elif path.startswith(tuple(f"{section}." for section in OPEN_SECTIONS)):
            opened.append(f"++{text}")
        elif path in OPEN_SECTIONS or not _has(base, path):
            known = [str(name) for name in base]
            problems.append(
                Problem(path, f"unknown key{did_you_mean(path, known)} (known: {', '.join(known)})")
            )
        else:
            opened.append(text)
    return opened, problems


def _has(cfg: DictConfig, path: str) -> bool:
    *parents, last = path.split(".")
    node: Any = cfg
    for parent in parents:
        node = node._get_node(parent) if isinstance(node, DictConfig) else None
    return isinstance(node, DictConfig) and last in node


def sweep(overrides: Sequence[str]) -> list[list[str]]:
    """The jobs of ``--multirun``: one list of overrides for each combination of comma-separated values."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [job for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None) for job in batch]


def compose_run(overrides: Sequence[str]) -> dict[str, Any]:
    """:func:`compose`; to go on in a run (``checkpoint=<run folder>``), its own configuration under ``overrides``.

    Raises:
        ConfigError: as :func:`compose`, or the overrides ask for another task.
    """
    given = dict(text.partition("=")[::2] for text in overrides)
    folder = Path(given.get("checkpoint", ""))
    if (
        str(given.get("test", "")).lower() == "true"
        or folder == Path()
        or not (folder / "config.yaml").is_file()
    ):
        return compose(overrides)
    saved: dict[str, Any] = dict(load_yaml(folder / "config.yaml"))
    if "command" not in saved:
        return compose(overrides)
    command: list[str] = saved["command"]
    groups, values = _split(overrides)
    wrong = [text for text in groups if text not in command and text != f"task={saved['task_name']}"]
    if wrong:
        what = f"{folder} is a run of {saved['task_name']}; leave this out to go on with it"
        raise ConfigError([Problem(text, what) for text in wrong])
    before, after = compose(command), compose([*command, *values])
    lasting = [text for text in values if not text.startswith("checkpoint=")]
    return {**_overlaid(saved, before, after), "command": [*command, *lasting]}


def _overlaid(saved: Any, before: Any, after: Any) -> Any:
    """``saved`` with everything that differs between ``before`` and ``after``."""
    if all(isinstance(node, dict) for node in (saved, before, after)):
        keys = {**saved, **after}
        return {key: _overlaid(saved.get(key), before.get(key), after.get(key)) for key in keys}
    return after if before != after else saved


# --- running -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _collecting(problems: list[Problem]) -> Iterator[None]:
    """Add the problems that the block raises to ``problems`` instead."""
    try:
        yield
    except ConfigError as error:
        problems += error.problems


def check(cfg: Mapping[str, Any]) -> Any:
    """The validated ``params`` of a resolved configuration tree.

    Raises:
        ConfigError: everything that is wrong with any part of the tree.
    """
    problems: list[Problem] = []
    with _collecting(problems):
        parse_launch(cfg)
    with _collecting(problems):
        _task_config(cfg)
    with _collecting(problems):
        params = build_runner().parse({"params": cfg["train"]["params"]})
    if problems:
        raise ConfigError(problems)
    return params


def _task_config(cfg: Mapping[str, Any]) -> Any:
    """The validated configuration of the task."""
    from manybody import tasks

    try:
        task_class = tasks.task_class(cfg["task_name"])
    except ValueError as error:
        raise ConfigError([Problem("task_name", str(error))]) from None
    if not str(cfg["sim_device"]).startswith("cpu"):
        what = f"given {cfg['sim_device']!r}; expected 'cpu', where physics runs (rl_device may be another)"
        raise ConfigError([Problem("sim_device", what)])
    return parse_section(task_class.Config, cfg["task"], "task")


def prepare(cfg: Mapping[str, Any]) -> None:
    """Make the task of a resolved configuration tree the environment ``rlgpu``.

    Raises:
        ConfigError: an unknown task, or what is wrong with its settings.
    """
    from manybody import tasks
    from manybody.envs import registration

    task = _task_config(cfg)
    registration.register(
        "rlgpu",
        lambda num_actors, seed=0, **_: tasks.make(
            cfg["task_name"], num_actors, cfg["sim_device"], seed, task, cfg["num_threads"] or None
        ),
    )


def launch(cfg: Mapping[str, Any], observer: AlgoObserver | None = None) -> Any:
    """Train, or play with ``test=True``, what a resolved configuration tree describes.

    Returns:
        The agent after training, or the :class:`~manybody.algos.player.PlayResult`.

    Raises:
        ConfigError: lists everything that is wrong; nothing was created on disk.
    """
    settings = parse_launch(cfg)
    if settings.test:
        return play_tree(cfg)
    params = check(cfg)
    if settings.torch_deterministic:
        import torch

        torch.use_deterministic_algorithms(True)
    if settings.capture_video:
        from manybody.media.capture import VideoObserver

        camera = VideoObserver(settings.capture_video_freq, settings.capture_video_len)
        observer = MultiObserver([observer or IsaacAlgoObserver(), camera])
    runner = build_runner(observer)
    prepare(cfg)
    runner.load_config(params)
    runner.run_config = {**cfg, "checkpoint": ""}
    agent = runner.run({"train": True, "checkpoint": settings.checkpoint, "sigma": settings.sigma})
    show_results(agent)
    return agent


def play_tree(cfg: Mapping[str, Any]) -> Any:
    """``test=True``: play ``checkpoint`` (or the task's newest run) with the configuration of the run it is from."""
    from manybody.play import play_run

    player = cfg["train"]["params"]["config"].get("player") or {}
    given = {
        "task": cfg["task_name"],
        "num_envs": cfg["num_envs"] or None,
        "video": cfg["capture_video"],
        "games_num": player.get("games_num"),
        "deterministic": player.get("deterministic"),
    }
    return play_run(
        cfg["checkpoint"] or None, {key: value for key, value in given.items() if value is not None}
    )


def launch_file(path: str, overrides: Sequence[str], observer: AlgoObserver | None = None) -> Any:
    """Train what a plain RL Games YAML file describes.

    Args:
        path: the file.
        overrides: ``params.config.gamma=0.98`` and the like; ``checkpoint=<file or run folder>`` to go on from.
        observer: is told what happens.
    """
    import yaml

    content = load_yaml(path)
    checkpoint = ""
    problems = []
    for text in overrides:
        key, equals, value = text.partition("=")
        if key == "checkpoint":
            checkpoint = value
            continue
        block: Any = content
        *parents, last = key.split(".")
        for parent in parents:
            block = block.get(parent) if isinstance(block, dict) else None
        if not equals or not isinstance(block, dict):
            problems.append(
                Problem(text, f"expected key=value with a key of {path}, such as params.config.gamma=0.98")
            )
        else:
            try:
                block[last] = yaml.safe_load(value)
            except yaml.YAMLError as error:
                problems.append(
                    Problem(key, f"given {value!r}, which is not YAML: {' '.join(str(error).split())}")
                )
    if problems:
        raise ConfigError(problems)
    runner = build_runner(observer)
    runner.load(content)
    agent = runner.run({"train": True, "checkpoint": checkpoint})
    show_results(agent)
    return agent


def show_results(agent: Any) -> None:
    """Leave pictures beside a finished run and say where everything lies; trouble here costs nothing but pictures."""
    from manybody.media.rollout import show_run

    if agent.run.folder:
        show_run(agent.run.folder)


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Around a command: what went wrong in words, and the exit code that says whose turn it is.

    Raises:
        SystemExit: 2, the command, its configuration or a file that it names cannot be used; 3, the guard
            stopped training because its numbers stayed broken; 130, interrupted outside training.
    """
    try:
        yield
    except (ConfigError, RunFolderError, CheckpointError, EnvError) as error:
        console.error(str(error))
        raise SystemExit(2) from None
    except TrainingAbortedError as error:
        console.error(f"training stopped: {error}")
        raise SystemExit(3) from None
    except KeyboardInterrupt:
        console.error("interrupted")
        raise SystemExit(130) from None


def main(arguments: Sequence[str] | None = None) -> Any:
    """``manybody train``: the command line after the command's name. For exit codes see :func:`exit_codes`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with exit_codes(), warnings.catch_warnings():
        warnings.simplefilter("always", ConfigWarning)
        warnings.showwarning = lambda message, *_: warn(str(message))
        return _main(words)


def _main(words: list[str]) -> Any:
    multirun = [flag for flag in ("--multirun", "-m") if flag in words]
    words = [word for word in words if word not in multirun]
    if "--file" in words:
        at = words.index("--file")
        if len(words) <= at + 1:
            raise ConfigError([Problem("--file", "expected the path of an RL Games YAML file after it")])
        return launch_file(words[at + 1], words[:at] + words[at + 2 :])
    unknown = [word for word in words if word.startswith("--")]
    if unknown:
        raise ConfigError(
            [
                Problem(word, "unknown option (known: --file, --multirun); settings are key=value")
                for word in unknown
            ]
        )
    if not multirun:
        return launch(compose_run(words))
    configurations = [(job, compose_run(job)) for job in sweep(words)]
    problems: list[Problem] = []
    for _, cfg in configurations:  # every job is checked before the first one starts
        with _collecting(problems):
            check(cfg)
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    results = []
    for number, (job, cfg) in enumerate(configurations, 1):
        say(f"job {number} of {len(configurations)}: {' '.join(job)}")
        results.append(launch(cfg))
    return results


if __name__ == "__main__":
    main()
