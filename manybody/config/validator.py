"""Checks a section against its schema: old spellings, types, unknown keys and the rules between keys."""

import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from manybody.config.errors import ConfigError, Problem, did_you_mean, nearest, notify, shown
from manybody.config.legacy import OLD_VALUES, TABLE, WHAT_RL_GAMES_DOES, NoEffect, Path, Refused, Renamed
from manybody.config.section import Section
from manybody.config.types import ForeignSection, opened
from manybody.config.yaml import LocatedDict

_BOUNDS = {"gt": "above {:g}", "ge": "at least {:g}", "lt": "below {:g}", "le": "at most {:g}"}
_OUT_OF_BOUNDS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
_TYPES = {
    **dict.fromkeys(("float_parsing", "float_type", "finite_number"), "a number"),
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "a whole number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "True or False"),
    "string_type": "text",
}
"""What pydantic's plain types take."""
_BLOCKS = {"model_type", "model_attributes_type", "dict_type"}
_ABSENT = object()


class Validator:
    """Collects everything that is wrong with one configuration, and what its author should know."""

    def __init__(self, source: Mapping[str, Any], training: bool = True, root: str = "params") -> None:
        """``source`` is the text as written, used for line numbers only; ``root`` is its path."""
        self.source = source
        self.root = root
        self.training = training
        self.problems: list[Problem] = []
        self.notices: list[str] = []
        self.origins: dict[Path, Path] = {}
        self.schemas: dict[str, type[Section]] = {}
        """The schemas in use by section, in which a misplaced key's home is looked up."""

    def finish(self) -> None:
        """Raise what was found, or else say what was noticed.

        Raises:
            ConfigError: When there is any problem.
        """
        if self.problems:
            raise ConfigError(self.problems)
        for notice in self.notices:
            notify(notice)

    def complain(self, path: tuple[Any, ...], message: str) -> None:
        """Note a problem at ``path``, the keys below the root."""
        path = self.origins.get(path, path)
        self.problems.append(Problem(self.dotted(path), message, self.location(path)))

    def notice(self, path: tuple[Any, ...], message: str) -> None:
        """Note something that works, but not as its author may think."""
        path = self.origins.get(path, path)
        place = self.location(path)
        self.notices.append(f"{self.dotted(path)}{f' ({place})' if place else ''}: {message}")

    def dotted(self, path: tuple[Any, ...]) -> str:
        """``('config', 'units', 1)`` as ``params.config.units[1]``."""
        keys = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
        return f"{self.root}{keys}".removeprefix(".")

    def location(self, path: tuple[Any, ...]) -> str | None:
        """``file:line`` of the key at ``path``, or of the block nearest to it that was read from a file."""
        block: Any = self.source
        place = None
        for key in path:
            if isinstance(block, LocatedDict):
                place = block.where(key) or place
            try:
                block = block[key]
            except (KeyError, IndexError, TypeError):
                break
        return place

    def section(
        self,
        schema: type[Section],
        values: Any,
        path: Path,
        private_keys: bool = False,
        spelled: Path | None = None,
    ) -> Section | None:
        """The validated section, or None after its problems were noted.

        Args:
            schema: What the section may hold.
            values: What it holds, in plain dicts. Old spellings are translated in place.
            path: Its path below the root.
            private_keys: True leaves unknown keys out, instead of refusing them.
            spelled: Where the legacy tables describe such a section; default: at ``path``.
        """
        if isinstance(values, dict):
            self._translate(schema, values, path, path if spelled is None else spelled)
        try:
            section = schema.model_validate(values, context={"training": self.training})
        except ValidationError as error:
            errors = error.errors(include_url=False)
        else:
            for place, remark in section.remarks() if self.training else ():
                self.notice((*path, *place), remark)
            return section
        strangers = [entry["loc"] for entry in errors if entry["type"] == "extra_forbidden"]
        switched_off = {loc: block for loc in strangers if (block := _switched_off(schema, values, loc))}
        if switched_off:
            for loc, block in switched_off.items():
                self.notice((*path, *loc), f"has no effect: only a block that is called '{block}' acts")
                del (_block(values, loc[:-1]) or {})[loc[-1]]
            return self.section(schema, values, path, private_keys)
        if private_keys and strangers:
            for loc in strangers:
                del (_block(values, loc[:-1]) or {})[loc[-1]]
            return self.section(schema, values, path)
        unknown = {(*loc[:-1], nearest(str(loc[-1]), _known(schema, loc[:-1]))) for loc in strangers}
        for entry in errors:
            if not (entry["type"] == "missing" and entry["loc"] in unknown):  # a typo explains the missing key
                self._report(schema, entry, path)
        if (
            isinstance(values, dict)
            and self.training
            and all(entry["type"] != "rules" or entry["loc"] for entry in errors)
        ):
            for key, what in schema.rules(_valid_values(schema, values)):
                self._broken((*path, key), values.get(key, _ABSENT), what)
        return None

    def _translate(self, schema: type[Section], values: dict[str, Any], path: Path, spelled: Path) -> None:
        """Apply the legacy tables to ``values``, in place, where the schema does not have the key itself."""
        depth = len(spelled)
        for full, entry in TABLE.items():
            fields = _known(schema, full[depth:-1]) if full[:depth] == spelled and len(full) > depth else ()
            block = _block(values, full[depth:-1])
            key = full[-1]
            if not fields or key in fields or block is None or key not in block:
                continue
            value = block.pop(key)
            place = (*path, *full[depth:])
            match entry:
                case Renamed(to):
                    self._rename(place, to, value, block, to in fields)
                case NoEffect(why):
                    self.notice(place, f"has no effect: {why}")
                case Refused(why):
                    if not _asks_for_nothing(value):
                        self.complain(place, why)
        for full, spellings in OLD_VALUES.items():
            block = _block(values, full[depth:-1]) if full[:depth] == spelled else None
            value = _ABSENT if block is None else block.get(full[-1], _ABSENT)
            if block is not None and isinstance(value, str | None) and value in spellings:
                block[full[-1]] = spellings[value]
                also = f"; {WHAT_RL_GAMES_DOES[value]}" if value in WHAT_RL_GAMES_DOES else ""
                taken = f"got {shown(value)}, taken for '{spellings[value]}'{also}"
                self.notice((*path, *full[depth:]), taken)

    def _rename(self, full: Path, to: str, value: Any, block: dict[str, Any], is_field: bool) -> None:
        if to in block:
            self.notice(full, f"is the old name of '{to}', which is set too and wins")
            return
        block[to] = value
        self.origins[(*full[:-1], to)] = full
        if is_field:
            self.notice(full, f"is now called '{to}'")

    def _report(self, schema: type[Section], entry: Any, path: Path) -> None:
        """Turn one of pydantic's errors into a problem."""
        loc, kind, given = entry["loc"], entry["type"], entry["input"]
        full = (*path, *loc)
        if kind == "rules":
            for key, what in entry["ctx"]["broken"]:
                self._broken(
                    (*full, key),
                    opened(given).get(key, _ABSENT) if isinstance(given, Mapping) else _ABSENT,
                    what,
                )
        elif kind in ("extra_forbidden", "invalid_key"):
            self.complain(full, f"unknown key{self._advice(_known(schema, loc[:-1]), str(loc[-1]))}")
        elif kind == "missing":
            self.complain(full, f"missing, but required{_purpose(schema, loc)}")
        else:
            self.complain(full, f"got {shown(given)}; expected {_expectation(schema, entry, full)}")

    def _advice(self, known: tuple[str, ...], key: str) -> str:
        """Where an unknown key may have been meant to go."""
        found = ((root, *home) for root, schema in self.schemas.items() for home in _homes(schema, key))
        homes = [self.dotted(path) for path in found]
        if homes:
            return f"; it belongs to {' or '.join(homes)}"
        return did_you_mean(key, known) or (f"; known here: {', '.join(known)}" if len(known) <= 12 else "")

    def _broken(self, path: Path, given: Any, what: str) -> None:
        self.complain(path, f"{'missing' if given in (_ABSENT, None) else f'got {shown(given)}'}; expected {what}")


def _expectation(schema: type[Section], entry: Any, full: tuple[Any, ...]) -> str:
    """What the schema allows where ``entry`` is the error."""
    kind, given, context = entry["type"], entry["input"], entry.get("ctx", {})
    if kind == "expected":
        return str(context["what"])
    if kind == "literal_error":
        allowed = str(context["expected"])
        suggestion = did_you_mean(given, re.findall(r"'([^']*)'", allowed))
        return allowed + suggestion
    if kind in _OUT_OF_BOUNDS:
        loc = entry["loc"]
        while isinstance(loc[-1], int):  # an item of a list: the list's field has the bounds
            loc = loc[:-1]
        owner = _schema_at(schema, loc[:-1])
        bounds = _bounds(owner.model_fields[loc[-1]]) if owner else []
        return f"a number {' and '.join(bounds)}"
    if kind in _TYPES:
        return _TYPES[kind]
    if kind in _BLOCKS:
        return "a block of 'key: value' lines"
    if kind in ("tuple_type", "list_type"):
        return "a list"
    return str(entry["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")


def _bounds(*constraints: Any) -> list[str]:
    """The bounds in a field, wherever its annotation holds them, in words."""
    found = []
    for constraint in constraints:
        words = {key: text for key, text in _BOUNDS.items() if hasattr(constraint, key)}
        found += [text.format(getattr(constraint, key)) for key, text in words.items()]
        found += _bounds(*getattr(constraint, "metadata", ()), *getattr(constraint, "__metadata__", ()))
        found += _bounds(*typing.get_args(getattr(constraint, "annotation", constraint)))
    return list(dict.fromkeys(found))


def _homes(schema: type[BaseModel], key: str, path: Path = ()) -> Iterator[Path]:
    """The blocks of ``schema`` that have a field ``key``."""
    for name, field in schema.model_fields.items():
        if name == key:
            yield path
        inner = _inner(field.annotation)
        if inner is not None:
            yield from _homes(inner, key, (*path, name))


def _purpose(schema: type[Section], loc: Path) -> str:
    """The first sentence of a field's description, in brackets."""
    owner = _schema_at(schema, loc[:-1])
    field = owner.model_fields.get(loc[-1]) if owner else None
    text = " ".join((field.description or "").split()) if field else ""
    return f" ({text.split('. ')[0].rstrip('.')})" if text else ""


def _known(schema: type[Section], loc: tuple[Any, ...]) -> tuple[str, ...]:
    """The keys of the block at ``loc`` inside ``schema``; none when there is no such block."""
    owner = _schema_at(schema, loc)
    return tuple(owner.model_fields) if owner else ()


def _schema_at(schema: type[BaseModel], loc: tuple[Any, ...]) -> type[BaseModel] | None:
    current: Any = schema
    for key in loc:
        model = _inner(current)
        if model is None:
            current = _items(current)
        else:
            field = model.model_fields.get(key)
            current = field.annotation if field else None
    return _inner(current)


def _items(annotation: Any) -> Any:
    """What the lists or dictionaries in ``annotation`` hold; None when there are none."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) in (tuple, list):
        return arguments[0]
    if typing.get_origin(annotation) is dict:
        return arguments[1]
    return next(filter(None, map(_items, arguments)), None)


def _switched_off(schema: type[Section], values: Any, loc: tuple[Any, ...]) -> str | None:
    """The block that somebody has renamed so that it does not act (``rnn1``); None: ``loc`` is no such block."""
    match = re.fullmatch(r"_*(.+?)(_*\d+|_+|_?(off|old|unused|disabled|bak|backup))", str(loc[-1]))
    owner = _schema_at(schema, loc[:-1])
    block = _block(values, loc)
    field = owner.model_fields.get(match[1]) if match and owner and block is not None else None
    if match is None or field is None:
        return None
    is_block = _inner(field.annotation) is not None or field.annotation is ForeignSection
    return match[1] if is_block else None


def _asks_for_nothing(value: Any) -> bool:
    return value in (None, False, {}, []) or str(value).strip().lower() in ("none", "", "false", "no", "off")


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The model class in an annotation such as ``PlayerConfig | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return next(filter(None, map(_inner, typing.get_args(annotation))), None)
    return None


def _block(values: dict[Any, Any], path: tuple[Any, ...]) -> dict[Any, Any] | None:
    block: Any = values
    for key in path:
        block = block.get(key) if isinstance(block, dict) else None
    return block if isinstance(block, dict) else None


def _valid_values(schema: type[Section], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields whose values are valid by themselves, defaults included."""
    valid = {}
    for key, field in schema.model_fields.items():
        if key not in values:
            if not field.is_required():
                valid[key] = field.get_default(call_default_factory=True)
            continue
        annotation: Any = typing.Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        try:
            valid[key] = TypeAdapter(annotation).validate_python(values[key])
        except ValidationError:
            continue
    return valid
