"""From the words of a command line to one configuration, and everything that is wrong with it at once.

A configuration is IsaacGymEnvs' Hydra tree, or the content of a plain RL Games file: one has its training settings
under ``train.params``, the other under ``params``. Both are kept with the run, and come back from there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from manybody.config import ConfigError, LaunchConfig, Params, Problem, load_yaml, parse_launch
from manybody.config.errors import notify
from manybody.config.root import COPIES, SHORT_KEYS
from manybody.launch.hydra_tree import (
    GROUPS,
    Composed,
    collecting,
    compose_tree,
    import_own,
    own_modules,
    split,
)
from manybody.launch.interpolation import is_reference
from manybody.launch.overrides import Word, Words, given, read
from manybody.launch.rl_games_yaml import SHORT, compose_file, set_words
from manybody.launch.run_tree import task_config
from manybody.launch.validate import camera_problems, identity, playing_problems, training_problems
from manybody.motion.bundled import with_absolute_paths
from manybody.motion.errors import chosen_by
from manybody.registry import built_in
from manybody.runner import build_runner

PLAYED = (
    *("name", "env_name", "env_config", "num_actors", "device", "player", "clip_actions", "use_action_masks"),
    *("normalize_input", "normalize_value", "zero_rnn_on_done", "mixed_precision", "train_dir"),
)
"""Keys of ``config`` that a player reads; the others of the library's algorithms act while training."""


def is_tree(cfg: Mapping[str, Any]) -> bool:
    """Whether ``cfg`` is a Hydra tree; otherwise it is what an RL Games file holds."""
    return "train" in cfg


def settings_of(cfg: Mapping[str, Any]) -> Any:
    """What stands under ``params``, as it was written."""
    section = cfg["train"] if is_tree(cfg) else cfg
    return section.get("params") if isinstance(section, Mapping) else None


def root_of(cfg: Mapping[str, Any]) -> Mapping[str, Any]:
    """What :func:`parse_launch` looks at: of an RL Games file, the keys that it knows."""
    return cfg if is_tree(cfg) else {key: cfg[key] for key in LaunchConfig.model_fields if key in cfg}


# --- which configuration ---------------------------------------------------------------------------------------------


def configure(words: Words, file: str | None = None, folder: Path | None = None) -> Composed:
    """The configuration that a command line asks for.

    Args:
        words: its settings.
        file: an RL Games file (``--file``); None: the Hydra tree.
        folder: the run folder whose own configuration lies under the words; None: a new run.

    Returns:
        What could be put together, with all that is wrong with the words; :func:`check` looks at the result.
    """
    for notice in words.notices:
        notify(notice)
    try:
        if folder is not None:
            saved = load_run(folder)
            wrong = import_own(saved)
            composed = _under(saved, words.words, file, folder)
            composed = composed._replace(problems=list(dict.fromkeys([*wrong, *composed.problems])))
        else:
            composed = compose_file(file, words.words) if file else compose_tree(_in_full(words.words))
    except ConfigError as error:
        composed = Composed(None, list(error.problems))
    homes = SHORT
    if composed.cfg is not None and is_tree(composed.cfg):
        homes = {key: f"train.params.{home}" for key, home in SHORT_KEYS.items()}
    spelled = {homes[word.key]: word.key for word in words.words if word.key in homes}
    return Composed(composed.cfg, [*words.problems, *composed.problems], {**composed.spelled, **spelled})


def _in_full(words: Sequence[Word]) -> list[Word]:
    """The words of a Hydra tree with short keys in full."""
    full = []
    for word in words:
        key = f"train.params.{SHORT_KEYS[word.key]}" if word.key in SHORT_KEYS else word.key
        full.append(word._replace(key=key, text=word.text.replace(word.key, key, 1)))
    return full


def load_run(folder: Path) -> dict[str, Any]:
    """The configuration that a run folder keeps.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    file = folder / "config.yaml"
    if not file.is_file():
        what = f"{file} does not exist, so it is unknown what was trained; give the whole run folder"
        raise ConfigError([Problem("", what)])
    cfg = load_yaml(file)
    settings = settings_of(cfg)
    if not isinstance(settings, dict) or not isinstance(settings.get("config"), dict):
        raise ConfigError([Problem("params", f"missing from {file}, so it is unknown what was trained")])
    return cfg


def _under(saved: dict[str, Any], words: Sequence[Word], file: str | None, folder: Path) -> Composed:
    """The configuration of a run under the words of a command line, which win."""
    if is_tree(saved):
        composed = _tree_under(saved, _in_full(words), folder)
        wrong = [Problem("--file", f"{file}: {_another(saved, folder)}")] if file else []
        return Composed(composed.cfg, [*wrong, *composed.problems])
    task = settings_of(saved)["config"].get("env_name")
    wrong = [
        Problem(word.text, _another(saved, folder))
        for word in words
        if word.key in GROUPS and (word.key, word.value) != ("task", task)
    ]
    words = [
        word._replace(key=word.key.removeprefix("train.")) if word.key.startswith("train.params.") else word
        for word in words
        if word.key not in GROUPS
    ]
    if not file:
        composed = set_words({"command": [], **saved}, words)
        return Composed(composed.cfg, [*wrong, *composed.problems])
    began = read(saved.get("command", ())).words  # the file as it is now, under the words of the run's first command
    fresh, composed = compose_file(file, began), compose_file(file, [*began, *words])
    if fresh.cfg is not None and identity(fresh.cfg) != identity(saved):
        wrong.append(Problem("--file", f"{file}: {_another(saved, folder)}"))
    return composed._replace(problems=[*wrong, *composed.problems])


def _tree_under(saved: dict[str, Any], words: Sequence[Word], folder: Path) -> Composed:
    command = read(saved.get("command") or [f"task={saved.get('task_name')}"]).words
    groups, values = split(words)
    known = {word.text for word in command} | {f"task={saved.get('task_name')}"}
    wrong = [Problem(word.text, _another(saved, folder)) for word in groups if word.text not in known]
    before, after = compose_tree(command), compose_tree([*command, *values])
    if before.cfg is None or after.cfg is None:
        return Composed(None, [*wrong, *after.problems])
    lasting = [word.text for word in (*command, *values) if word.key not in PASSING]
    cfg = {**_overlaid(saved, before.cfg, after.cfg), "command": lasting}
    return Composed(cfg, [*wrong, *after.problems])


PASSING: Mapping[str, Any] = {"checkpoint": "", "sigma": "", "test": False}
"""Keys about one launch alone, and what they are in the record of the run."""


def record(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """What a run keeps of its configuration: all but what was about this launch alone.

    Files of motions and the folders of the user's modules are named by their whole paths: a run may be played from
    another folder than it was started in.
    """
    kept = {**cfg, **{key: nothing for key, nothing in PASSING.items() if key in cfg}}
    section = settings_of(kept)
    config = section.get("config") if isinstance(section, Mapping) else None
    names = [kept.get("task_name"), config.get("env_name") if isinstance(config, Mapping) else None]
    kept |= own_modules(kept, [str(name) for name in names if name])
    env = (kept.get("task") or {}).get("env") or {}
    if "motion_file" in env:
        with chosen_by("task.env.motion_file"):
            kept["task"] = {**kept["task"], "env": {**env, "motion_file": with_absolute_paths(env["motion_file"])}}
    return kept


def _another(saved: Mapping[str, Any], folder: Path) -> str:
    return f"{folder} is a run of {identity(saved)}; leave this out to use that run, or give another one"


def _overlaid(saved: Any, before: Any, after: Any) -> Any:
    """``saved`` with everything that differs between ``before`` and ``after``, and with what is newer than it."""
    if all(isinstance(node, dict) for node in (saved, before, after)):
        keys = {**saved, **after}
        return {
            key: _overlaid(saved[key], before.get(key), after.get(key)) if key in saved else after[key] for key in keys
        }
    return after if before != after else saved


# --- what is wrong with it -------------------------------------------------------------------------------------------


def check(
    composed: Composed | Mapping[str, Any],
    training: bool = True,
) -> Params:
    """Validate a whole configuration; nothing is built, nothing written.

    Args:
        composed: a configuration, or what :func:`configure` gave.
        training: False for playing, where the rules on batch sizes and new run folders do not matter.

    Returns:
        The settings under ``params``.

    Raises:
        ConfigError: everything that is wrong.
    """
    if not isinstance(composed, Composed):
        composed = Composed(dict(composed), [])
    cfg, problems = composed.cfg, list(composed.problems)
    if cfg is None:
        raise ConfigError(problems)
    prefix = "train." if is_tree(cfg) else ""
    with collecting(problems):
        if is_tree(cfg):
            task_config(cfg)
    with collecting(problems):
        launch = parse_launch(root_of(cfg))
        problems += camera_problems(launch.video_camera, _task_name(cfg))
    below: list[Problem] = []
    settings: Any = settings_of(cfg)
    with collecting(below):
        settings = build_runner().parse({"params": settings} if settings is not None else {}, training)
    if isinstance(settings, Mapping | Params):
        sigma, environments = cfg.get("sigma"), ["rlgpu"] if is_tree(cfg) else []
        if training:
            below += training_problems(settings, cfg, cfg.get("checkpoint"), sigma, environments)
        else:
            below += playing_problems(settings, sigma, environments)
    problems += [
        replace(problem, path=f"{prefix}{problem.path}") if problem.path.startswith("params") else problem
        for problem in below
        if not (composed.problems and is_reference(_at(cfg, problem.path)))  # it is among them
    ]
    if problems:
        raise ConfigError(_as_written(cfg, problems, composed.spelled))
    return settings


def _task_name(cfg: Mapping[str, Any]) -> str:
    """The task of a Hydra tree, or what may be one in an RL Games file."""
    if is_tree(cfg):
        return str(cfg.get("task_name"))
    settings = settings_of(cfg)
    config = settings.get("config") if isinstance(settings, Mapping) else None
    return str(config.get("env_name")) if isinstance(config, Mapping) else ""


def check_playable(
    recorded: Mapping[str, Any], composed: Composed, words: Iterable[str], file: str | None
) -> list[Problem]:
    """A problem for each setting that differs from the run's and acts while training only.

    Args:
        recorded: the configuration of the run.
        composed: the same under the words.
        words: as typed.
        file: the RL Games file that the configuration is from, if any.
    """
    if composed.cfg is None:
        return []
    prefix = "train." if is_tree(composed.cfg) else ""
    before, after = settings_of(recorded)["config"], settings_of(composed.cfg)["config"]
    if file:  # what was written and what was recorded of it compare only with all defaults in place
        try:
            both = [build_runner().parse({"params": settings_of(cfg)}, False) for cfg in (recorded, composed.cfg)]
        except ConfigError:  # told with everything else
            return []
        before, after = (dict(params.config.items()) for params in both)
    schemas: Any = build_runner().algo_factory.schemas
    known = {key for schema in schemas.values() if schema is not None for key in schema.model_fields}
    played = {*PLAYED, *(key for entry in built_in().values() for key in entry.played)}
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    idle = [f"{prefix}params.config.{key}" for key in changed if key in known and key not in played]
    idle += [key for key in given(words) if key in ("capture_video_freq", "capture_video_len")]
    what = "acts while training only; leave it out to play"
    return [Problem(path, what) for path in idle]


def _as_written(cfg: Mapping[str, Any], problems: Iterable[Problem], spelled: Mapping[str, str]) -> Iterable[Problem]:
    """Each problem once, under the key that its author wrote instead of the places where its value is used."""
    told: dict[Any, Problem] = {}
    copies = COPIES if is_tree(cfg) else {}
    copied = {source for sources in copies.values() for source in sources}
    for problem in problems:
        path = spelled.get(problem.path, problem.path)
        for source in copies.get(problem.path, ()):
            if _at(cfg, source) == _at(cfg, problem.path):
                path = source
        written = replace(problem, path=path)
        told[path if path != problem.path or path in copied else problem] = written
    return told.values()


def _at(cfg: Any, path: str) -> Any:
    for key in path.split("."):
        cfg = cfg.get(key) if isinstance(cfg, Mapping) else None
    return cfg
