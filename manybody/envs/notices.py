"""Warnings of other libraries, without the colours that they write into them."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""ECMA-48 8.3.117: select graphic rendition."""


def plain(text: str) -> str:
    """``text`` without colour codes, which only a terminal understands."""
    return COLOUR.sub("", text)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Pass warnings on without colour codes, which Gymnasium's logger (also used by EnvPool) writes."""
    said: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as said:
            yield
    finally:
        for one in said:
            text = str(one.message)
            message = plain(text) if COLOUR.search(text) else one.message
            warnings.warn_explicit(message, one.category, one.filename, one.lineno)
