"""Types of configuration values.

RL Games files hold ``3e-4`` as text (YAML 1.1 reads it so), ``4096.0`` for a count and ``'None'`` for nothing. The
types accept these spellings; true and false are not numbers.
"""

import contextlib
import copy
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, SupportsFloat, cast

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

_NONE_WORDS = {"none", "null", "~", ""}
_DEVICE = re.compile(r"(cpu|(cuda|mps|xpu)(:\d+)?)")
_IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def expected(what: str) -> PydanticCustomError:
    """The error that a validator raises: ``what`` completes "got …; expected …"."""
    return PydanticCustomError("expected", "{what}", {"what": what})


class ForeignSection(Mapping[str, Any]):
    """A read-only mapping over settings that no schema describes: those of a third-party agent, network or
    environment.

    Nested mappings are sections too; every other value is what was given. ``copy.deepcopy`` gives an equal
    section, ``to_dict`` a plain dict that can be changed.
    """

    def __init__(self, values: Mapping[str, object] | None = None) -> None:
        self._values = {key: _closed(value) for key, value in (values or {}).items()}

    def __getitem__(self, key: str) -> Any:
        if key not in self._values:
            raise KeyError(f"{key}: not set here; set: {', '.join(map(str, self._values)) or 'nothing'}")
        value = self._values[key]
        return list(value) if isinstance(value, list) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"ForeignSection({self._values!r})"

    def __deepcopy__(self, memo: dict[int, object]) -> "ForeignSection":
        return ForeignSection(copy.deepcopy(self._values, memo))

    @property
    def name(self) -> str:
        """The value under ``name``, by which RL Games sections say which class they are for."""
        return str(self["name"])

    def to_dict(self) -> dict[str, Any]:
        """A plain, independent dict of the same content."""
        return {key: opened(copy.deepcopy(value)) for key, value in self._values.items()}


def _closed(value: object) -> object:
    if isinstance(value, Mapping) and not isinstance(value, ForeignSection):
        return ForeignSection(value)
    return [_closed(item) for item in value] if isinstance(value, list) else value


def opened(value: Any) -> Any:
    """``value`` with every mapping in it turned into a plain dict, and Hydra's lists into plain ones."""
    if isinstance(value, Mapping):
        return {key: opened(item) for key, item in value.items()}
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes | tuple)
    return [opened(item) for item in value] if is_list else value


def _number(value: object) -> float:
    if not isinstance(value, bool):  # float(True) is 1
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return float(cast(SupportsFloat, value))
    raise expected("a number")


def whole(value: object) -> int:
    """Convert a whole number, or text that is one. Raises PydanticCustomError."""
    digits = re.fullmatch(r"\s*[+-]?\d+\s*", str(value))  # exact, while floats are so up to 2⁵³ only
    try:
        number = int(str(value)) if digits else _number(value)
    except PydanticCustomError:
        number = math.nan
    if not float(number).is_integer():
        raise expected("a whole number")
    if abs(number) >= 2**63:
        raise expected("a whole number of at most 64 bits")
    return int(number)


def _flag(value: object) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    for flag, words in {True: ("true", "yes", "on", True), False: ("false", "no", "off", False)}.items():
        if word in words:
            return flag
    raise expected("true or false")


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise expected("text that is not empty")
    return str(value)


def _none(value: object) -> object:
    nothing = isinstance(value, str) and value.strip().lower() in _NONE_WORDS
    return None if nothing or (isinstance(value, Mapping) and not value) else value


def _device(value: object) -> str:
    if not isinstance(value, str) or not _DEVICE.fullmatch(value):
        raise expected("a device such as 'cpu', 'cuda' or 'cuda:0'")
    return value


def _import_path(value: object) -> str:
    if callable(value):  # RL Games 2.0-dev takes the function itself; config.yaml can keep its name only
        value = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}"
    if not isinstance(value, str) or not _IMPORT_PATH.fullmatch(value):
        raise expected("a function that can be imported, itself or written 'package.module:function'")
    return value


def _mapping(value: object) -> ForeignSection:
    if value is not None and not isinstance(value, Mapping):
        raise expected("a block of 'key: value' lines")
    return ForeignSection(value)


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
"""A finite number; ``'3e-4'`` is one, ``true`` is not."""
Bound = Annotated[float, BeforeValidator(_number)]
"""A number that may be infinite, as the ends of a clipping range are."""
Whole = Annotated[int, BeforeValidator(whole)]
"""A whole number; ``4096.0`` and ``'1e6'`` are."""
Count = Annotated[Whole, Field(ge=1)]
"""At least one."""
Positive = Annotated[Number, Field(gt=0)]
"""Above zero."""
NotNegative = Annotated[Number, Field(ge=0)]
"""Zero or above."""
Flag = Annotated[bool, BeforeValidator(_flag)]
"""True or false, also as text."""
Text = Annotated[str, BeforeValidator(_text)]
"""Text that is not empty; a number is taken as its text (``experiment=7``)."""
Device = Annotated[str, BeforeValidator(_device)]
"""A torch device, by its form only: whether the machine has it is for the runner to say."""
ImportPath = Annotated[str, BeforeValidator(_import_path)]
"""A function that is imported by name, ``package.module:function``."""
NoneWord = BeforeValidator(_none)
"""Put around ``X | None``: the texts ``None`` and ``null`` and an empty block mean None, as in RL Games files."""
EmptyBlock = BeforeValidator(lambda value: {} if value is None else value)
"""Put around a block: a key without a value, which YAML reads as None, is a block with every default."""
FreeMapping = Annotated[
    ForeignSection,
    PlainValidator(_mapping),
    PlainSerializer(lambda section: section.to_dict(), return_type=dict),
]
"""A block that no schema describes."""
