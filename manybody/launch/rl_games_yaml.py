"""A plain RL Games file as a configuration: ``manybody train --file some_rl_games.yaml``."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from manybody.config import ConfigError, LaunchConfig, Problem, load_yaml
from manybody.config.errors import notify, shown
from manybody.config.root import SHORT_KEYS, answer, suggestion
from manybody.config.yaml import LocatedDict
from manybody.launch.hydra_tree import Composed, import_own, replace_minibatches
from manybody.launch.interpolation import resolved
from manybody.launch.overrides import Word

SHORT: Mapping[str, str] = {
    "num_envs": "params.config.num_actors",
    "max_iterations": "params.config.max_epochs",
    "experiment": "params.config.full_experiment_name",
    "rl_device": "params.config.device",
    "multi_gpu": "params.config.multi_gpu",
    "seed": "params.seed",
    **{key: f"params.{home}" for key, home in SHORT_KEYS.items()},
}
"""Keys of the command line that stand somewhere in the file."""

ROOT = (
    *("import_modules", "import_path", "test", "checkpoint", "sigma", "torch_deterministic", "headless"),
    *("video", "video_seconds", "video_camera", "capture_video", "capture_video_freq", "capture_video_len"),
)
"""Keys of the command line that are about this launch."""

RECORDED = ("params", "command", "task_name")
"""What the ``config.yaml`` of a run has at its root, too."""

DEFAULTS = (
    "a list of files that Hydra puts together; a file by itself has no others. Use the configuration tree "
    "(manybody train task=… train=…), or write out what those files hold"
)


def compose_file(path: str, words: Iterable[Word]) -> Composed:
    """What an RL Games file describes, under the words of the command line."""
    try:
        content = load_yaml(path)
    except ConfigError as error:
        return Composed(None, list(error.problems))
    return compose_content(content, words)


def compose_content(content: dict[str, Any], words: Iterable[Word]) -> Composed:
    """:func:`compose_file` for a file that was read; ``content`` changes."""
    words = list(words)
    typed = {word.key: "" if word.removes else word.value for word in words}
    root, problems = ({}, []) if "train" in content else root_keys(content)
    if "defaults" in content:  # what is missing is in the other files
        return Composed(None, problems)
    composed = set_words({**content, "command": []}, words)
    assert composed.cfg is not None
    outside = {**root, **{key: value for key, value in typed.items() if "." not in key}}
    cfg, without_value = resolved(composed.cfg, outside)
    spelled = {SHORT[key]: key for key in root if key in SHORT and SHORT[key] not in typed}
    return Composed(dict(cfg), [*problems, *composed.problems, *without_value], spelled)


def open_content(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a script gives to ``Runner.load``, as ``--file`` reads it: references have their values, the keys next to
    ``params`` act. Keys that nobody knows are kept; ``content`` is not changed.

    Raises:
        ConfigError: a reference without a value, or a list of ``defaults``.
    """
    if not isinstance(content, dict) or not isinstance(content.get("params"), dict):
        return content
    own = copy.deepcopy(content) if content.keys() & SHORT.keys() else content
    root, problems = root_keys(own, strangers=True)
    opened, without_value = resolved(own, root)
    if problems or without_value:
        raise ConfigError([*problems, *without_value])
    return opened


def root_keys(content: dict[str, Any], strangers: bool = False) -> tuple[dict[str, Any], list[Problem]]:
    """Put the keys next to ``params`` where they act, in place: ``seed: 7`` is what ``seed=7`` is on a command line.

    Args:
        content: what the file holds.
        strangers: True keeps unknown keys where they are.

    Returns:
        The keys that act and their values, and a problem for each key that cannot act.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    read, _ = resolved(content, {})  # a reference is relative to where it is written
    for key in [key for key in content if key not in RECORDED]:
        value, place = read[key], content.where(key) if isinstance(content, LocatedDict) else None
        said = answer(str(key), value)
        if key == "defaults":
            problems.append(Problem(key, f"got {shown(value)}, {DEFAULTS}", place))
        elif key in SHORT:
            line = content.lines.get(key) if isinstance(content, LocatedDict) else None
            _put(content, SHORT[key], value, line)
            values[key] = value
            del content[key]
        elif strangers:
            continue
        elif key == "test" and str(value).lower() not in ("false", "no", "off", "none", ""):
            what = f"got {shown(value)}; expected False: test=True on the command line plays"
            problems.append(Problem(key, what, place))
        elif key in ROOT:
            values[key] = value
        elif said:
            del content[key]
            if said.refused:
                problems.append(Problem(key, f"got {shown(value)}; {said.why}", place))
            else:
                notify(f"{key}{f' ({place})' if place else ''}: has no effect: {said.why}")
        else:
            problems.append(Problem(str(key), _unknown(str(key)), place))
    return values, problems


def set_words(cfg: dict[str, Any], words: Iterable[Word]) -> Composed:
    """``cfg`` with every word in its place, changed in place, and what has none."""
    problems: list[Problem] = []
    keys = set()
    for word in words:
        key = SHORT.get(word.key, word.key)
        keys.add(key)
        if key.startswith("params."):
            _put(cfg, key, word.value, removes=word.removes)
        elif key in ROOT:
            cfg[key] = word.value
        else:
            problems.append(Problem(key, _unknown(key)))
            continue
        if key != "checkpoint":
            cfg["command"].append(word.text)
        elif isinstance(cfg.get("params"), dict):  # what the file starts from gives way, to nothing too
            cfg["params"].pop("load_checkpoint", None)
    replace_minibatches(cfg.get("params"), keys)
    return Composed(cfg, [*import_own(cfg), *problems])


def _put(cfg: dict[str, Any], key: str, value: Any, line: int | None = None, removes: bool = False) -> None:
    """Set or remove ``params.config.gamma`` in ``cfg``; ``line`` is where the file has the value."""
    *parents, last = key.split(".")
    block: Any = cfg
    for parent in parents:
        inner = block.get(parent)
        if not isinstance(inner, dict):
            inner = block[parent] = {}
        block = inner
    if removes:
        block.pop(last, None)
        return
    block[last] = value
    if line is not None and isinstance(block, LocatedDict):
        block.lines[last] = line


def _unknown(key: str) -> str:
    if key.startswith("train.params."):
        return f"in an RL Games file this is {key.removeprefix('train.')}"
    if key.partition(".")[0] in LaunchConfig.model_fields:
        what = "chooses or changes a task of the configuration tree; an RL Games file names its environment in"
        return f"{what} params.config.env_name, with arguments in params.config.env_config"
    return f"unknown key{suggestion(key, ('params', *SHORT, *ROOT), 'params')}"
