"""Parses Hydra overrides (``key=value``)."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from manybody.config import ConfigError, Problem
from manybody.config.errors import Problems, nearest, shown
from manybody.config.legacy import report_root_key

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override as HydraOverride

FILE = "--file"
"""The option that names an RL Games file."""
OPTIONS = (FILE, "--multirun", "--help")
ALIASES = {"video.camera": "video_camera", "video.seconds": "video_seconds"}
"""Key on the command line to key in the configuration."""
STRING_KEYS = ("checkpoint", "experiment", "train_dir", "video_camera")
"""Keys whose value is text even if it looks like a number or like Hydra's syntax."""


class Override(NamedTuple):
    """One ``key=value``."""

    text: str
    """As Hydra parses it; a value outside Hydra's grammar is quoted."""
    key: str
    """Dotted path, without a leading ``+`` or ``~``."""
    value: Any
    """Plain data; of a sweep, the text."""
    sweep: bool = False
    """Several values, for ``--multirun``."""
    removes: bool = False
    """``~key``."""


def parse_overrides(texts: Iterable[str], problems: Problems, sweep: bool = False) -> list[Override]:
    """Parse overrides; those that are wrong are added to ``problems``, those without effect are reported.

    Args:
        texts: as typed.
        problems: problems are added here.
        sweep: whether several values are allowed (``--multirun``).
    """
    overrides = []
    for text in map(_without_alias, texts):
        key, equals, raw = text.partition("=")
        key = key.lstrip("+~")
        if text.startswith("-"):
            problems.add(key, _unknown_option(key, raw))
        elif report_root_key(key, raw, problems):
            continue
        elif not equals and not text.startswith("~"):
            hint = f"; did you mean task={text}?" if re.fullmatch(r"[\w.]+:\w+", text) else ""
            problems.add(text, f"is not of the form key=value{hint}")
        elif (override := _parse(text, key, raw)) is None:
            what = "expected a number, true, false, null, text, [a,b] or {key:value}; write other text as"
            problems.add(key, f"got {shown(raw)}; {what} \"{key}='…'\"")
        elif override.sweep and not sweep:
            what = "expected one value; add --multirun to run several one after the other, or write a list as"
            problems.add(key, f"got {shown(raw)}; {what} {key}=[…]")
        else:
            overrides.append(override)
    return overrides


def take_file(texts: Sequence[str]) -> tuple[str | None, list[str]]:
    """Split a command line into the path in ``--file PATH`` or ``--file=PATH``, if any, and the rest.

    Raises:
        ConfigError: the path is missing, or there are two.
    """
    files, others = [], []
    rest = iter(texts)
    for text in rest:
        if text == FILE or text.startswith(f"{FILE}="):
            file = next(rest, "") if text == FILE else text.partition("=")[2]
            if not file or file.startswith("-"):
                what = f"got {shown(file)}; expected the path of an RL Games YAML file after it"
                raise ConfigError([Problem(FILE, what)])
            files.append(file)
        else:
            others.append(text)
    if len(files) > 1:
        raise ConfigError([Problem(FILE, f"got {', '.join(files)}; expected one file")])
    return (files[0] if files else None), others


def _unknown_option(option: str, value: str) -> str:
    similar = nearest(option.lstrip("-"), [known.lstrip("-") for known in OPTIONS])
    if similar:
        return f"unknown option; did you mean '--{similar}'?"
    name = option.lstrip("-").replace("-", "_")
    return f"unknown option; settings are key=value without dashes, such as {name}={value or 'True'}"


def raw_values(texts: Iterable[str]) -> dict[str, str]:
    """Key to value, both as typed."""
    return {key.lstrip("+~"): value for key, _, value in (_without_alias(text).partition("=") for text in texts)}


def _without_alias(text: str) -> str:
    key, equals, value = text.partition("=")
    plain = key.lstrip("+~")
    return f"{key.removesuffix(plain)}{ALIASES.get(plain, plain)}{equals}{value}" if plain else text


def sweep_jobs(overrides: Sequence[Override]) -> list[list[str]]:
    """One list of overrides for each combination of the values of a sweep."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    parsed = [one for override in overrides if (one := parse_with_hydra(override.text))]
    return [job for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None) for job in batch]


def values_as_typed(override: Override) -> dict[str, str]:
    """The values of a sweep: as Hydra writes each to as it was typed (``0.001`` to ``1e-3``)."""
    typed = {}
    for item in override.value.split(","):
        parsed = parse_with_hydra(f"{override.key}={item}")
        if parsed is not None and not parsed.is_sweep_override():
            typed[parsed.get_value_element_as_str()] = item
    return typed


def _parse(text: str, key: str, raw: str) -> Override | None:
    parsed = parse_with_hydra(text)
    escaped = raw.replace("'", "\\'")
    quoted = f"{text.partition('=')[0]}='{escaped}'"
    special = "\\" if key in STRING_KEYS else "'\"[]{}()$,"
    if parsed is None and not any(sign in raw for sign in special):
        text, parsed = quoted, parse_with_hydra(quoted)
    if parsed is None:
        return None
    sweep = parsed.is_sweep_override()
    value = raw if sweep else parsed.value()
    if key in STRING_KEYS and not sweep and not isinstance(value, str):
        text, value = quoted, raw
    return Override(text, key, value, sweep, text.startswith("~"))


def parse_with_hydra(text: str) -> "HydraOverride | None":
    """Hydra's own override object; None where ``text`` is outside its grammar."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None
