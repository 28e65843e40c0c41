"""Writes docs/configuration.md from the configuration models: ``python docs/generate.py``.

What a key means stands once, under its field; the page only shows it.
"""

import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from manybody.algos.amp import config as amp
from manybody.algos.rnd import config as rnd
from manybody.config import (
    ActorCriticConfig,
    DiscretePPOConfig,
    ForeignSection,
    Params,
    PPOConfig,
    ResnetActorCriticConfig,
    SACConfig,
    SACNetworkConfig,
    Section,
    algorithm,
    legacy,
    network,
    params,
    root,
    task,
)
from manybody.config import types as kinds
from manybody.config.algorithm import AlgorithmConfig
from manybody.registry import built_in

PAGE = Path(__file__).with_name("configuration.md")

NAMES: dict[Any, str] = {
    kinds.Number: "number",
    kinds.Bound: "number, may be infinite",
    kinds.Whole: "whole number",
    kinds.Flag: "true, false",
    kinds.Text: "text",
    kinds.Device: "device: `cpu`, `cuda`, `cuda:0`",
    kinds.ImportPath: "`package.module:function`",
    kinds.FreeMapping: "block",
    kinds.Count: "whole number ≥ 1",
    kinds.Positive: "number > 0",
    kinds.NotNegative: "number ≥ 0",
    algorithm.Limit: "-1, or whole number ≥ 1",
    algorithm.CompileMode: "true, false, mode of torch.compile",
    float: "number",
    int: "whole number",
    str: "text",
    bool: "true, false",
    Any: "",
    type(None): "none",
}
"""How a kind of value reads. A kind with a rule of its own has a name; limits are read from the others."""
BY_KEY = {
    (Params, "seed"): "whole number ≥ 0 and < 2³², none",
    (Params, "torch_threads"): "`auto`, whole number ≥ 0",
    (Params, "model"): "block",
    (Params, "network"): "block",
    (Params, "config"): "block",
    (root.LaunchConfig, "experiment"): "text",
    (root.LaunchConfig, "num_envs"): "whole number ≥ 1",
    (root.LaunchConfig, "seed"): "whole number ≥ 0, -1",
    (root.LaunchConfig, "max_iterations"): "-1, or whole number ≥ 1",
    (root.LaunchConfig, "physics_engine"): "`mujoco`",
    (root.LaunchConfig, "sim_device"): "`cpu`",
    (root.LaunchConfig, "rl_device"): "device: `cpu`, `cuda`, `cuda:0`",
    (root.LaunchConfig, "multi_gpu"): "false",
}
"""Kinds that only a validator knows."""

INTRODUCTION = """# Configuration

This page is written by `python docs/generate.py` from the models in `manybody/config/`; a test keeps it up to date.

A run is described by three things: the keys of the launch (`manybody train task=Ant num_envs=1024`), the task's
section (`task.env.episodeLength=500`) and the section `params` of a training file
(`train.params.config.learning_rate=1e-3`). The files are in `manybody/cfg/`. A plain RL Games file
(`manybody train --file some.yaml`) has `params` alone.

* Any key below can be set on the command line, whether or not the file spells it out.
* An unknown key, a value of the wrong type and a value out of range are errors. All of them are listed at once, with
  the key path, what was expected, the nearest known key and, for a file, its line. The exit code is 2 and nothing is
  written.
* Text that is a number counts as one where a number is expected: `3e-4` is text in YAML.
* `none` in a column of values stands for `null`, `None` or leaving the key out.
"""


def value_kind(annotation: Any) -> str:
    """What may be written for a value of this type."""
    for known, name in NAMES.items():
        if known is annotation or known == annotation:
            return name
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return value_kind(args[0]) + limits(args[1:])
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in args)
    if origin in (typing.Union, types.UnionType):
        return ", ".join(value_kind(arg) for arg in args)
    if origin is dict:
        return f"block per key: {value_kind(args[1])}"
    if origin is tuple:
        inner = [value_kind(arg) for arg in args if arg is not Ellipsis]
        return f"list of: {inner[0]}" if Ellipsis in args else f"list of {len(inner)}: {inner[0]}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "block"
    raise TypeError(f"docs/generate.py: no name for values of type {annotation}; add it to NAMES")


def limits(metadata: Any) -> str:
    """`` ≥ 0 and ≤ 1`` from a field's constraints."""
    signs = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
    flat = [part for item in metadata for part in getattr(item, "metadata", [item])]
    found = [
        f"{sign} {getattr(part, attribute):g}"
        for part in flat
        for kind, (sign, attribute) in signs.items()
        if isinstance(part, kind)
    ]
    return f" {' and '.join(found)}" if found else ""


def default(field: FieldInfo) -> str:
    """The default as it would be written."""
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel | ForeignSection):
        return ""
    if value is None or value == "":
        return "" if value == "" else "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def block_of(annotation: Any) -> tuple[type[Section], str] | None:
    """The model of a value that is a block, or holds blocks, and what stands before its keys."""
    if isinstance(annotation, type):
        return (annotation, ".") if issubclass(annotation, Section) else None
    args = typing.get_args(annotation)
    found = next(filter(None, map(block_of, args)), None)
    between = {dict: ".<key>.", tuple: "[]."}.get(typing.get_origin(annotation))
    return (found[0], between) if found and between else found


def rows(
    model: type[Section], prefix: str = "", skip: tuple[str, ...] = (), told: set[type] | None = None
) -> Iterator[str]:
    """One table row per key, those of inner blocks below their block, the first time that one comes."""
    told = {network.InitializerConfig} if told is None else told
    for key, field in model.model_fields.items():
        if key in skip:
            continue
        kind = BY_KEY.get((model, key))
        if kind is None:
            # typing keeps an alias such as Flag in one piece, which a field's own annotation does not
            hint = typing.get_type_hints(model, include_extras=True)[key]
            kind = value_kind(hint) + ("" if typing.get_origin(hint) is typing.Annotated else limits(field.metadata))
        meaning = one_line(field.description or inherited(model, key))
        yield f"| `{prefix}{key}` | {kind} | {default(field)} | {meaning} |"
        inner, between = block_of(field.annotation) or (None, "")
        if inner and inner not in told:
            told.add(inner)
            yield from rows(inner, f"{prefix}{key}{between}", told=told)


def inherited(model: type[Section], key: str) -> str:
    """The description of ``key`` in the nearest base class that has one."""
    for base in model.__mro__[1:]:
        field = getattr(base, "model_fields", {}).get(key)
        if field is not None and field.description:
            return str(field.description)
    return ""


def one_line(text: str) -> str:
    """Docstring to table cell."""
    return re.sub(r"``([^`]+)``", r"`\1`", " ".join(text.split())).replace("|", "\\|")


def table(model: type[Section], prefix: str = "", skip: tuple[str, ...] = ()) -> str:
    """The table of a model."""
    head = "| key | values | default | meaning |\n|---|---|---|---|\n"
    return head + "\n".join(rows(model, prefix, skip))


def unchanged(section: type[BaseModel], general: type[BaseModel]) -> tuple[str, ...]:
    """The keys of ``section`` that are as in ``general``."""
    known = general.model_fields
    fields = section.model_fields.items()
    return tuple(key for key, field in fields if key in known and field.default == known[key].default)


def task_tables() -> str:
    """Keys that every task knows, then what each task adds or changes."""
    parts = [
        "## Tasks: `task`\n\nThe keys are IsaacGymEnvs'. Every task knows these:\n",
        table(task.TaskConfig, "task."),
    ]
    tasks = (
        *(task.CartpoleConfig, task.AntConfig, task.HumanoidConfig),
        *(task.HumanoidAMPConfig, task.HumanoidAMPHeadingConfig),
    )
    for model in tasks:
        env: Any = model.model_fields["env"].annotation
        general: Any = env.__mro__[1]
        bases = {task.EnvConfig: "", task.LocomotionEnvConfig: ", beyond Ant's keys"}
        beyond = bases.get(general, ", beyond HumanoidAMP's keys")
        heading = f"\n### {model.model_fields['name'].default}{beyond}\n"
        parts += [heading, table(env, "task.env.", unchanged(env, general))]
    return "\n".join(parts)


def old_keys() -> str:
    """Three tables from ``config/legacy.py``."""
    renamed, silent, refused = [], [], []
    for path, entry in legacy.TABLE.items():
        key = f"`{'.'.join(path)}`"
        match entry:
            case legacy.Renamed(to):
                renamed.append(f"| {key} | `{to}` |")
            case legacy.NoEffect(why):
                silent.append(f"| {key} | {one_line(why)} |")
            case legacy.Refused(why):
                refused.append(f"| {key} | {one_line(why)} |")
    for path, spellings in legacy.OLD_VALUES.items():
        renamed += [f"| `{'.'.join(path)}: {old}` | `{new}` |" for old, new in spellings.items() if old]
    refused += [f"| `{kind}.name`: `{name}` | not available in this version |" for name, kind in legacy.NOT_YET.items()]
    for key, entry in legacy.ROOT.items():
        rows = refused if isinstance(entry, legacy.Refused) else silent
        rows.append(f"| `{key}` (launch) | {one_line(entry.why)} |")
    parts = [
        ("Renamed", "The value moves to the new key, with a notice.", "| old | new |", renamed),
        (
            "Without effect",
            "Ignored. A notice is printed unless ignoring the key is harmless.",
            "| key | why |",
            silent,
        ),
        (
            "Refused",
            "An error if enabled; null, false and empty are ignored.",
            "| key | why |",
            refused,
        ),
    ]
    text = "## Keys of RL Games, IsaacGymEnvs and Isaac Lab files\n\n"
    text += "Paths are below `params`, but for those of the launch and of tasks.\n"
    for title, sentence, head, body in parts:
        text += f"\n### {title}\n\n{sentence}\n\n{head}\n|---|---|\n" + "\n".join(body) + "\n"
    return text


def what_learns_with_what() -> str:
    """The models and networks of each algorithm."""
    lines = ["| `algo.name` | `model.name` | `network.name` |", "|---|---|---|"]
    for name, entry in built_in().items():
        cells = [", ".join(f"`{part}`" for part in sorted(parts)) for parts in (entry.models, entry.networks)]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def who_reads_what() -> str:
    """Which key of ``config`` acts in which algorithm."""
    agents: dict[str, Any] = {name: entry.agent for name, entry in built_in().items()}
    fields = {name: set(agent.Config.model_fields) for name, agent in agents.items()}
    keys = dict.fromkeys(key for agent in agents.values() for key in agent.Config.model_fields)
    everywhere = [key for key in keys if all(key in known for known in fields.values())]
    lines = ["Every algorithm reads " + ", ".join(f"`{key}`" for key in everywhere) + ". The others:\n"]
    lines.append("| key | " + " | ".join(f"`{name}`" for name in fields) + " |")
    lines.append("|---|" + ":-:|" * len(fields))
    for key in keys:
        if key not in everywhere:
            marks = ["yes" if key in known else "" for known in fields.values()]
            lines.append(f"| `{key}` | " + " | ".join(marks) + " |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole page."""
    sections = [
        INTRODUCTION,
        "## Launch\n\nAt the root of the tree. Empty defaults come from the task or training YAML.\n",
        table(root.LaunchConfig, skip=("task", "train", "command")),
        "\n## `params`\n",
        table(params.Params, "params."),
        "\n## What an algorithm learns with\n\nModels and networks of your own, registered under names of their own, "
        "work with every algorithm that expects the same outputs.\n",
        what_learns_with_what(),
        "\n## Which key acts in which algorithm\n",
        who_reads_what(),
        "\n## PPO: `params.config` of `a2c_continuous`\n\n"
        "RL Games' keys, with the defaults of 1.6.5 but for `torch_compile` (off), `device` (`cpu`) and "
        "`player.games_num` (100).\n",
        table(PPOConfig, "config."),
        "\n### `a2c_discrete`, beyond these\n",
        table(DiscretePPOConfig, "config.", tuple(PPOConfig.model_fields)),
        "\n### `sac`, beyond what every algorithm has\n",
        table(SACConfig, "config.", tuple(AlgorithmConfig.model_fields)),
        "\n## Network: `params.network` of `actor_critic`\n",
        table(ActorCriticConfig, "network."),
        "\n### `resnet_actor_critic`, beyond these\n",
        table(ResnetActorCriticConfig, "network.", tuple(set(ActorCriticConfig.model_fields) - {"cnn"})),
        "\n### `rnd_curiosity`, beyond `actor_critic`\n",
        table(rnd.RNDCuriosityConfig, "network.", tuple(ActorCriticConfig.model_fields)),
        "\nThe algorithms `rnd_continuous` and `rnd_discrete`, which use it, have PPO's keys and these:\n",
        table(rnd.RNDPPOConfig, "config.", tuple(PPOConfig.model_fields)),
        "\n### `amp`, beyond `actor_critic`\n",
        table(amp.AMPNetworkConfig, "network.", tuple(ActorCriticConfig.model_fields)),
        "\nThe algorithm `amp_continuous`, which uses it, has PPO's keys and these:\n",
        table(amp.AMPConfig, "config.", unchanged(amp.AMPConfig, PPOConfig)),
        "\n### `soft_actor_critic`\n",
        table(SACNetworkConfig, "network."),
        "\nAn initialiser is a block of these keys:\n",
        table(network.InitializerConfig),
        "\nInitialisers and the arguments that each takes: "
        + "; ".join(
            f"`{name}`" + (f" ({', '.join(arguments)})" if arguments else "")
            for name, arguments in network.INITIALIZERS.items()
        )
        + ".\n",
        task_tables(),
        "",
        old_keys(),
    ]
    return "\n".join(sections).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
