"""A plain RL Games file as a configuration: ``manybody train --file some_rl_games.yaml``."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from manybody.config import LaunchConfig, load_yaml
from manybody.config.errors import Problems, shown
from manybody.config.legacy import report_root_key
from manybody.config.root import SHORT_KEYS, suggestion
from manybody.config.yaml import LocatedDict
from manybody.launch.hydra_tree import replace_minibatches
from manybody.launch.interpolation import resolve_references
from manybody.launch.overrides import Override
from manybody.launch.own_code import import_own

SHORT: Mapping[str, str] = {
    "num_envs": "params.config.num_actors",
    "max_iterations": "params.config.max_epochs",
    "experiment": "params.config.full_experiment_name",
    "rl_device": "params.config.device",
    "multi_gpu": "params.config.multi_gpu",
    "seed": "params.seed",
    **{key: f"params.{home}" for key, home in SHORT_KEYS.items()},
}
"""Keys of the command line, and where the file has them."""

ROOT = (
    *("import_modules", "import_path", "test", "checkpoint", "sigma", "torch_deterministic", "headless"),
    *("video", "video_seconds", "video_camera", "capture_video", "capture_video_freq", "capture_video_len"),
)
"""Keys of the command line that concern one launch."""

RECORDED = ("params", "command", "task_name")
"""Further root keys of a run's ``config.yaml``."""

DEFAULTS = (
    "expected one complete file, not a list of files for Hydra. Use the configuration tree "
    "(manybody train task=… train=…), or copy the content of those files"
)


def compose_file(path: str, overrides: Sequence[Override], problems: Problems) -> dict[str, Any] | None:
    """The content of an RL Games file under overrides; None: it cannot be read."""
    with problems.collect():
        return compose_content(load_yaml(path), overrides, problems)
    return None


def compose_content(
    content: dict[str, Any], overrides: Sequence[Override], problems: Problems
) -> dict[str, Any] | None:
    """:func:`compose_file` for a file that was read; ``content`` changes."""
    root = {} if "train" in content else move_root_keys(content, problems)
    if "defaults" in content:  # the missing keys are in other files
        return None
    cfg = set_overrides({**content, "command": []}, overrides, problems)
    typed = {override.key: "" if override.removes else override.value for override in overrides}
    outside = {**root, **{key: value for key, value in typed.items() if "." not in key}}
    problems.aliases |= {SHORT[key]: key for key in root if key in SHORT and SHORT[key] not in typed}
    return dict(resolve_references(cfg, outside, problems))


def open_content(content: Mapping[str, object]) -> Mapping[str, Any]:
    """Read a mapping as ``--file`` reads a file: references are resolved, and the keys next to ``params`` act.

    Unknown keys are kept; ``content`` is not changed.

    Raises:
        ConfigError: a reference without a value, or a list of ``defaults``.
    """
    if not isinstance(content, dict) or not isinstance(content.get("params"), dict):
        return content
    problems = Problems()
    own = copy.deepcopy(content) if content.keys() & SHORT.keys() else content
    root = move_root_keys(own, problems, keep_unknown=True)
    result = resolve_references(own, root, problems)
    problems.refuse()
    return result


def move_root_keys(content: dict[str, Any], problems: Problems, keep_unknown: bool = False) -> dict[str, Any]:
    """Move the keys next to ``params`` to where they act, in place: ``seed: 7`` is ``seed=7`` on a command line.

    Args:
        content: of the file.
        problems: a problem is added for each key that cannot act.
        keep_unknown: leave unknown keys where they are, instead of adding a problem.

    Returns:
        The keys that act, and their values.
    """
    values: dict[str, Any] = {}
    read = resolve_references(content, {}, Problems())  # a reference is relative to where it is written
    for key in [key for key in content if key not in RECORDED]:
        value, place = read[key], content.where(key) if isinstance(content, LocatedDict) else None
        if key == "defaults":
            problems.add(key, f"got {shown(value)}; {DEFAULTS}", place)
        elif key in SHORT:
            line = content.lines.get(key) if isinstance(content, LocatedDict) else None
            _set(content, SHORT[key], value, line)
            values[key] = value
            del content[key]
        elif keep_unknown:
            continue
        elif key == "test" and str(value).lower() not in ("false", "no", "off", "none", ""):
            what = f"got {shown(value)}; expected False. To play, add test=True to the command line"
            problems.add(key, what, place)
        elif key in ROOT:
            values[key] = value
        elif report_root_key(str(key), value, problems, place):
            del content[key]
        else:
            problems.add(str(key), _unknown(str(key)), place)
    return values


def set_overrides(cfg: dict[str, Any], overrides: Iterable[Override], problems: Problems) -> dict[str, Any]:
    """Set every override in ``cfg``, in place; unknown keys are added to ``problems``."""
    keys = set()
    for override in overrides:
        key = SHORT.get(override.key, override.key)
        keys.add(key)
        if key.startswith("params."):
            _set(cfg, key, override.value, removes=override.removes)
        elif key in ROOT:
            cfg[key] = override.value
        else:
            problems.add(key, _unknown(key))
            continue
        if key != "checkpoint":
            cfg["command"].append(override.text)
        elif isinstance(cfg.get("params"), dict):  # checkpoint= replaces the file's own start, even if it is empty
            cfg["params"].pop("load_checkpoint", None)
    replace_minibatches(cfg.get("params"), keys)
    import_own(cfg, problems)
    return cfg


def _set(cfg: dict[str, Any], key: str, value: object, line: int | None = None, removes: bool = False) -> None:
    """Set or remove ``params.config.gamma`` in ``cfg``; ``line`` is the value's line in the file."""
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
