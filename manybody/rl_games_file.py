"""A plain RL Games file as a configuration: ``manybody train --file some_rl_games.yaml``."""

from collections.abc import Iterable, Mapping
from typing import Any

from manybody.config import ConfigError, LaunchConfig, Problem, load_yaml
from manybody.config.launch import SHORT_KEYS, suggestion
from manybody.hydra_tree import Composed, import_own
from manybody.words import Word

SHORT: Mapping[str, str] = {
    "num_envs": "params.config.num_actors",
    "max_iterations": "params.config.max_epochs",
    "experiment": "params.config.full_experiment_name",
    "rl_device": "params.config.device",
    "seed": "params.seed",
    **{key: f"params.{home}" for key, home in SHORT_KEYS.items()},
}
"""Keys of the command line that stand somewhere in the file."""

ROOT = (
    *("import_modules", "import_path", "test", "checkpoint", "sigma", "torch_deterministic", "headless"),
    *("video", "video_seconds", "video_camera", "capture_video", "capture_video_freq", "capture_video_len"),
)
"""Keys of the command line that are about this launch."""


def compose_file(path: str, words: Iterable[Word]) -> Composed:
    """What an RL Games file describes, under the words of the command line."""
    try:
        content = load_yaml(path)
    except ConfigError as error:
        return Composed(None, list(error.problems))
    return set_words({**content, "command": []}, words)


def set_words(cfg: dict[str, Any], words: Iterable[Word]) -> Composed:
    """``cfg`` with every word in its place, changed in place, and what has none."""
    problems: list[Problem] = []
    for word in words:
        key = SHORT.get(word.key, word.key)
        *parents, last = key.split(".")
        if key.startswith("params."):
            block: Any = cfg
            for parent in parents:
                inner = block.get(parent)
                if not isinstance(inner, dict):
                    inner = block[parent] = {}
                block = inner
            if word.removes:
                block.pop(last, None)
            else:
                block[last] = word.value
        elif key in ROOT:
            cfg[key] = word.value
        else:
            problems.append(Problem(key, _unknown(key)))
            continue
        if key != "checkpoint":
            cfg["command"].append(word.text)
    return Composed(cfg, [*import_own(cfg), *problems])


def _unknown(key: str) -> str:
    if key.startswith("train.params."):
        return f"in an RL Games file this is {key.removeprefix('train.')}"
    if key.partition(".")[0] in LaunchConfig.model_fields:
        what = (
            "chooses or changes a task of the configuration tree; an RL Games file names its environment in"
        )
        return f"{what} params.config.env_name, with arguments in params.config.env_config"
    return f"unknown key{suggestion(key, ('params', *SHORT, *ROOT), 'params')}"
