"""Turns pydantic's errors into problems with key path, line and suggestion, and applies the tables of old spellings."""

import contextlib
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from manybody.config.errors import Problems, did_you_mean, dotted, nearest, notify, shown
from manybody.config.legacy import (
    OLD_VALUES,
    TABLE,
    WHAT_RL_GAMES_DOES,
    NoEffect,
    Path,
    Refused,
    Renamed,
    asks_for_nothing,
)
from manybody.config.section import Section
from manybody.config.types import ForeignSection, opened
from manybody.config.yaml import location

AnySection = TypeVar("AnySection", bound=Section)

_EXPECTED = {
    "expected": "{what}",
    "literal_error": "{expected}",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "finite_number": "a finite number",
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "a whole number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    "string_type": "text",
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "a block of 'key: value' lines"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
}
"""Pydantic's kind of error to what is expected."""


class Validator:
    """Collects the problems of one configuration, and the notices for its author.

    Args:
        source: the text as written, used for line numbers only.
        training: whether rules of training apply.
        root: the path of ``source``.
    """

    def __init__(self, source: Mapping[str, object], training: bool = True, root: str = "params") -> None:
        self.source = source
        self.training = training
        self.root: Path = (root,) if root else ()
        self.problems = Problems()
        self.notices: list[str] = []
        self.origins: dict[Path, Path] = {}
        """Path of a renamed key to the path that was written."""
        self.schemas: dict[str, type[Section]] = {}
        """The schemas in use by section, in which a misplaced key's section is looked up."""

    def finish(self, section: AnySection | None) -> AnySection:
        """Return the validated section and issue the notices. Raises ConfigError instead if there is any problem."""
        self.problems.refuse()
        for notice in self.notices:
            notify(notice)
        assert section is not None
        return section

    def complain(self, path: Path, message: str) -> None:
        """Add a problem at ``path``."""
        path = self.origins.get(path, path)
        self.problems.add(dotted((*self.root, *path)), message, location(self.source, path))

    def notice(self, path: Path, message: str) -> None:
        """Add a notice on something that works, but not as its author may think."""
        path = self.origins.get(path, path)
        place = location(self.source, path)
        self.notices.append(f"{dotted((*self.root, *path))}{f' ({place})' if place else ''}: {message}")

    def section(
        self,
        schema: type[AnySection],
        values: object,
        path: Path,
        private_keys: bool = False,
        spelled: Path | None = None,
    ) -> AnySection | None:
        """Validate a section; None if it has problems.

        Args:
            schema: what the section may hold.
            values: what it holds, in plain dicts. Old spellings are replaced in place.
            path: its path below the root.
            private_keys: leave unknown keys out, instead of refusing them.
            spelled: where the tables of old spellings describe such a section; default: at ``path``.
        """
        spelled = path if spelled is None else spelled
        while True:
            try:
                section = schema.model_validate(values, context={"training": self.training})
            except ValidationError as error:
                errors = error.errors(include_url=False)
                repaired = [self._repair(schema, entry, values, path, spelled, private_keys) for entry in errors]
                if not any(repaired):
                    self._report(schema, errors, values, path)
                    return None
            else:
                for place, remark in section.remarks() if self.training else ():
                    self.notice((*path, *place), remark)
                return section

    def _repair(
        self, schema: type[Section], entry: ErrorDetails, values: object, path: Path, spelled: Path, private_keys: bool
    ) -> bool:
        """Replace what pydantic refuses, in place, if it is an old spelling or has no effect; whether it was."""
        loc, kind, value = entry["loc"], entry["type"], entry["input"]
        full, place = (*spelled, *loc), (*path, *loc)
        if kind == "literal_error" and isinstance(value, str | None) and value in OLD_VALUES.get(full, {}):
            now = OLD_VALUES[full][value]
            _block(values, loc[:-1])[loc[-1]] = now
            also = f"; {WHAT_RL_GAMES_DOES[value]}" if value in WHAT_RL_GAMES_DOES else ""
            self.notice(place, f"got {shown(value)}, taken for '{now}'{also}")
            return True
        if kind != "extra_forbidden":
            return False
        block = _block(values, loc[:-1])
        match TABLE.get(full):
            case Renamed(to) if to in block:
                self.notice(place, f"is the old name of '{to}', which is set too and wins")
            case Renamed(to):
                block[to] = value
                self.origins[(*place[:-1], to)] = place
                self.notice(place, f"is now called '{to}'")
            case NoEffect(why, silent):
                if not silent:
                    self.notice(place, f"has no effect: {why}")
            case Refused(why):
                if not asks_for_nothing(value):
                    self.complain(place, why)
            case None:
                acting = _switched_off(_owner(schema, loc[:-1]), str(loc[-1]), value)
                if acting is not None:
                    self.notice(place, f"has no effect: only a block that is called '{acting}' acts")
                elif not private_keys:
                    return False
        del block[loc[-1]]
        return True

    def _report(self, schema: type[Section], errors: list[ErrorDetails], values: object, path: Path) -> None:
        """Add a problem for each of pydantic's errors, and for each rule that the valid values break."""
        unknown = [entry["loc"] for entry in errors if entry["type"] == "extra_forbidden"]
        meant = {(*loc[:-1], nearest(str(loc[-1]), _owner(schema, loc[:-1]).model_fields)) for loc in unknown}
        for entry in errors:
            loc, kind, given = entry["loc"], entry["type"], entry["input"]
            full = (*path, *loc)
            if kind == "rules":
                for key, what in entry["ctx"]["broken"]:
                    self._broken((*full, key), given, what)
            elif kind in ("extra_forbidden", "invalid_key"):
                self.complain(full, f"unknown key{self._advice(_owner(schema, loc[:-1]), str(loc[-1]))}")
            elif kind != "missing":
                self.complain(full, f"got {shown(given)}; expected {_expected(entry)}")
            elif loc not in meant:  # a typo explains the missing key
                field = _owner(schema, loc[:-1]).model_fields.get(str(loc[-1]))
                purpose = " ".join(((field and field.description) or "").split()).partition(". ")[0].rstrip(".")
                self.complain(full, f"missing, but required{f' ({purpose})' if purpose else ''}")
        if self.training and isinstance(values, dict) and all(entry["loc"] for entry in errors):
            for key, what in schema.rules(_valid_values(schema, values)):
                self._broken((*path, key), values, what)

    def _advice(self, owner: type[BaseModel], key: str) -> str:
        """Where an unknown key may belong, or which key may have been meant."""
        sections = self.schemas.items()
        found = [dotted((*self.root, section, *home)) for section, schema in sections for home in _homes(schema, key)]
        if found:
            return f"; it belongs to {' or '.join(found)}"
        known = owner.model_fields
        return did_you_mean(key, known) or (f"; known here: {', '.join(known)}" if len(known) <= 12 else "")

    def _broken(self, path: Path, block: object, what: str) -> None:
        value = block.get(path[-1]) if hasattr(block, "get") else None
        self.complain(path, f"{'missing' if value is None else f'got {shown(value)}'}; expected {what}")


def parse_whole(schema: type[AnySection], content: Mapping[str, object]) -> AnySection:
    """Validate the content of a file that is one section.

    Raises:
        ConfigError: lists everything that is wrong.
    """
    validator = Validator(content, root="")
    return validator.finish(validator.section(schema, opened(content), ()))


def _expected(entry: ErrorDetails) -> str:
    """What pydantic accepts where ``entry`` is the error."""
    kind, context = entry["type"], entry.get("ctx", {})
    if kind not in _EXPECTED:
        return entry["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    text = _EXPECTED[kind].format(**context)
    return text + (did_you_mean(entry["input"], re.findall(r"'([^']*)'", text)) if kind == "literal_error" else "")


def _model(annotation: object, containers: bool = True) -> type[BaseModel] | None:
    """The model class in an annotation such as ``PlayerConfig | None``, or in a list or dict of such."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if not containers and typing.get_origin(annotation) in (tuple, dict):
        return None
    return next(filter(None, (_model(inner, containers) for inner in typing.get_args(annotation))), None)


def _owner(schema: type[BaseModel], path: Path) -> type[BaseModel]:
    """The schema of the block at ``path`` inside ``schema``."""
    for key in path:
        field = schema.model_fields.get(str(key))
        schema = (field and _model(field.annotation)) or schema
    return schema


def _homes(schema: type[BaseModel], key: str, path: Path = ()) -> Iterator[Path]:
    """The blocks of ``schema`` that have a field ``key``."""
    for name, field in schema.model_fields.items():
        if name == key:
            yield path
        inner = _model(field.annotation, containers=False)
        if inner is not None:
            yield from _homes(inner, key, (*path, name))


def _switched_off(owner: type[BaseModel], key: str, value: object) -> str | None:
    """The block that was renamed to have no effect (``rnn1``); None for any other key."""
    match = re.fullmatch(r"_*(.+?)(_*\d+|_+|_?(off|old|unused|disabled|bak|backup))", key)
    field = owner.model_fields.get(match[1]) if match and isinstance(value, dict) else None
    if match is None or field is None:
        return None
    is_block = _model(field.annotation, containers=False) is not None or field.annotation is ForeignSection
    return match[1] if is_block else None


def _block(values: Any, path: Path) -> dict[str | int, object]:
    for key in path:
        values = values[key]
    return typing.cast(dict[str | int, object], values)


def _valid_values(schema: type[Section], values: Mapping[str, object]) -> dict[str, object]:
    """The fields whose values are valid by themselves, defaults included."""
    fields = schema.model_fields
    valid = {
        key: field.get_default(call_default_factory=True) for key, field in fields.items() if not field.is_required()
    }
    for key in values.keys() & fields.keys():
        valid.pop(key, None)
        with contextlib.suppress(ValidationError):
            adapter: TypeAdapter[object] = TypeAdapter(fields[key].rebuild_annotation())
            valid[key] = adapter.validate_python(values[key])
    return valid
