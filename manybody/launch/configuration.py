"""A composed configuration: IsaacGymEnvs' Hydra tree, or the content of an RL Games file."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from manybody.config import Section
from manybody.engine.accelerate import has_device
from manybody.launch.own_code import own_modules
from manybody.motion.bundled import with_absolute_paths
from manybody.motion.errors import chosen_by

Settings = Mapping[str, Any] | Section
"""A section, validated or as written."""
LAUNCH_KEYS: Mapping[str, object] = {"checkpoint": "", "sigma": "", "test": False}
"""Keys that concern one launch, and their values in the configuration that is kept."""


@dataclass(frozen=True)
class Configuration:
    """A configuration as written, references resolved.

    A Hydra tree has the training settings in ``train.params``, the content of an RL Games file in ``params``.
    """

    content: Mapping[str, Any]

    @property
    def is_tree(self) -> bool:
        """Whether this is a Hydra tree."""
        return "train" in self.content

    @property
    def prefix(self) -> str:
        """What precedes ``params`` in key paths."""
        return "train." if self.is_tree else ""

    @property
    def settings(self) -> Any:
        """The section ``params``."""
        section = self.content["train"] if self.is_tree else self.content
        return section.get("params") if isinstance(section, Mapping) else None

    @property
    def config(self) -> Settings:
        """The section ``params.config``, empty if missing."""
        return section_of(self.settings, "config")

    @property
    def task_name(self) -> str:
        """The task of a Hydra tree, or the name that may be a task's in an RL Games file."""
        return str(self.content.get("task_name") if self.is_tree else self.config.get("env_name"))

    @property
    def identity(self) -> str:
        """Names the task and the algorithm: two configurations are of the same run only if these are equal."""
        name = f"task={self.task_name}" if self.is_tree else self.task_name
        return f"{name} with {section_of(self.settings, 'algo').get('name')}"

    def at(self, path: str) -> object:
        """The value under a dotted key path; None if missing."""
        value: object = self.content
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def use_available_device(self) -> None:
        """Replace a device that this machine lacks by the CPU: a policy trained on a GPU plays without one."""
        device = self.config.get("device")
        with contextlib.suppress(RuntimeError, AttributeError):  # not a device at all, which validation reports
            if isinstance(self.config, dict) and isinstance(device, str) and not has_device(device):
                self.config["device"] = "cpu"

    def record(self) -> dict[str, Any]:
        """The content that a run keeps: without what concerns one launch.

        Motion files and the folders of the user's modules get whole paths: a run may be played from another folder.
        """
        kept = {**self.content, **{key: value for key, value in LAUNCH_KEYS.items() if key in self.content}}
        names = [kept.get("task_name"), self.config.get("env_name")]
        kept |= own_modules(kept, [str(name) for name in names if name])
        env = (kept.get("task") or {}).get("env") or {}
        if "motion_file" in env:
            with chosen_by("task.env.motion_file"):
                kept["task"] = {**kept["task"], "env": {**env, "motion_file": with_absolute_paths(env["motion_file"])}}
        return kept


def section_of(settings: Settings | None, key: str) -> Settings:
    """The section ``key``, empty where there is none."""
    section = settings.get(key) if isinstance(settings, Mapping | Section) else None
    return section if isinstance(section, Mapping | Section) else {}


def without_start(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """``cfg`` without the checkpoint that it starts from: a run resumes from its own checkpoints."""
    kept = dict(cfg)
    if isinstance(kept.get("train"), Mapping):
        kept["train"] = without_start(kept["train"])
    if isinstance(kept.get("params"), Mapping) and kept["params"].get("load_checkpoint"):
        left_out = ("load_checkpoint", "load_path")
        kept["params"] = {key: value for key, value in kept["params"].items() if key not in left_out}
    return kept
