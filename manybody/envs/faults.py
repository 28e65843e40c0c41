"""Distinguish errors in an environment's code from errors in its return values, in Gymnasium's vector environments."""

import copy
import functools
import re
import traceback
import warnings
from collections.abc import Iterable
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, VectorEnv

from manybody.envs.base import EnvError
from manybody.envs.notices import plain

ELSEWHERE = "in a process of AsyncVectorEnv: "
"""Beginning of the note that holds the traceback of an error of another process."""
HELPERS = (Path(np.__file__).parent, Path(functools.__file__), Path(copy.__file__))
"""What code of every origin calls."""


def keep_traces(env: VectorEnv) -> None:
    """Give errors of other processes their own traceback as a note; Gymnasium prints it as coloured warnings instead.

    What :mod:`manybody.envs.checks` found there needs none.
    """
    if not isinstance(env, AsyncVectorEnv):
        return
    raise_if_errors = env._raise_if_errors

    def raise_with_trace(successes: Iterable[bool]) -> None:
        if all(successes):
            return
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                raise_if_errors(successes)
            except Exception as error:
                traces = [plain(str(one.message)) for one in said if "Traceback" in str(one.message)]
                if traces and not isinstance(error, EnvError):
                    error.add_note(ELSEWHERE + traces[-1].removeprefix("ERROR: ").rstrip())
                raise

    env._raise_if_errors = raise_with_trace  # type: ignore[method-assign]


def is_gymnasiums(error: Exception) -> bool:
    """Whether ``error`` arose in Gymnasium's vector environments themselves, where they join what copies gave."""
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(ELSEWHERE)]
    files = re.findall(r'File "(.*?)", line', notes[0]) if notes else []
    files = files or [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    places = [Path(file) for file in files if not any(map(Path(file).is_relative_to, HELPERS))]
    return places[-1].is_relative_to(Path(gymnasium.vector.__file__).parent)
