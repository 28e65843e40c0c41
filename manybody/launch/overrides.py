"""The ``key=value`` words of a command line, read one by one in Hydra's grammar."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from manybody.config import ConfigError, Problem
from manybody.config.errors import nearest, shown
from manybody.config.root import answer

FILE = "--file"
"""The option that names an RL Games file to take the configuration from."""
OPTIONS = (FILE, "--multirun", "--help")
SPELLINGS = {"video.camera": "video_camera", "video.seconds": "video_seconds"}
"""What a key may be called on a command line, and what it is called in the configuration."""

TEXTS = ("checkpoint", "experiment", "train_dir", "video_camera")
"""Keys whose value is text even where it looks like a number or like Hydra's syntax."""


class Word(NamedTuple):
    """One setting."""

    text: str
    """As Hydra takes it; what its grammar does not know is in quotes."""
    key: str
    """Dotted path, without a leading ``+`` or ``~``."""
    value: Any
    """Plain data; several values are as they were written."""
    several: bool = False
    """Values for ``--multirun``."""
    removes: bool = False
    """``~key``."""


class Words(NamedTuple):
    """What could be read, and what is wrong with the rest."""

    words: list[Word]
    problems: list[Problem]
    notices: list[str]
    """What is said about keys that have no effect; they are not among the words."""


def read(texts: Iterable[str], several: bool = False) -> Words:
    """Read the words of a command line.

    Args:
        texts: as typed.
        several: ``--multirun`` is on: a word may hold several values.
    """
    result = Words([], [], [])
    for text in map(_respelled, texts):
        key, equals, given = text.partition("=")
        key = key.lstrip("+~")
        said = answer(key, given)
        word = None if text.startswith("-") or said else _parse(text, key, given)
        if text.startswith("-"):
            result.problems.append(Problem(key, _unknown_option(key, given)))
        elif said and said.refused:
            result.problems.append(Problem(key, f"got {shown(given)}; {said.why}"))
        elif said:
            result.notices.append(f"{key}: has no effect: {said.why}")
        elif not equals and not text.startswith("~"):
            hint = f"; did you mean task={text}?" if re.fullmatch(r"[\w.]+:\w+", text) else ""
            result.problems.append(Problem(text, f"is not of the form key=value{hint}"))
        elif word is None:
            what = "expected a number, true, false, null, text, [a,b] or {key:value}; write other text as"
            result.problems.append(Problem(key, f"got {shown(given)}; {what} \"{key}='…'\""))
        elif word.several and not several:
            what = "several values; add --multirun to run them one after the other, or write a list as"
            result.problems.append(Problem(key, f"got {shown(given)}, {what} {key}=[…]"))
        else:
            result.words.append(word)
    return result


def take_file(texts: Sequence[str]) -> tuple[str | None, list[str]]:
    """The path in ``--file PATH`` or ``--file=PATH``, if there is one, and the other words.

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


def _unknown_option(option: str, given: str) -> str:
    similar = nearest(option.lstrip("-"), [known.lstrip("-") for known in OPTIONS])
    if similar:
        return f"unknown option; did you mean '--{similar}'?"
    name = option.lstrip("-").replace("-", "_")
    return f"unknown option; settings are key=value without dashes, such as {name}={given or 'True'}"


def given(texts: Iterable[str]) -> dict[str, str]:
    """Key to value, both as typed."""
    return {key.lstrip("+~"): value for key, _, value in (_respelled(text).partition("=") for text in texts)}


def _respelled(text: str) -> str:
    key, equals, value = text.partition("=")
    plain = key.lstrip("+~")
    return f"{key.removesuffix(plain)}{SPELLINGS.get(plain, plain)}{equals}{value}" if plain else text


def jobs(words: Sequence[Word]) -> list[list[str]]:
    """The jobs of ``--multirun``: one list of overrides for each combination of several values."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    parsed = [_override(word.text) for word in words]
    return [job for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None) for job in batch]


def as_typed(word: Word) -> dict[str, str]:
    """The values of a ``word`` for ``--multirun``: as Hydra writes each to as it was typed (``0.001`` to ``1e-3``)."""
    typed = {}
    for item in word.value.split(","):
        override = _override(f"{word.key}={item}")
        if override is not None and not override.is_sweep_override():
            typed[override.get_value_element_as_str()] = item
    return typed


def _parse(text: str, key: str, given: str) -> Word | None:
    override = _override(text)
    escaped = given.replace("'", "\\'")
    quoted = f"{text.partition('=')[0]}='{escaped}'"
    special = "\\" if key in TEXTS else "'\"[]{}()$,"
    if override is None and not any(sign in given for sign in special):
        text, override = quoted, _override(quoted)
    if override is None:
        return None
    several = override.is_sweep_override()
    value = given if several else override.value()
    if key in TEXTS and not several and not isinstance(value, str):
        text, value = quoted, given
    return Word(text, key, value, several, text.startswith("~"))


def _override(text: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None
