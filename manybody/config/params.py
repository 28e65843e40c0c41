"""The section ``params``: from a mapping to frozen, typed settings, and back."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Generic

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError
from typing_extensions import TypeVar

from manybody.config.algorithm import NameConfig
from manybody.config.errors import ConfigError, Problem, did_you_mean, nearest, shown
from manybody.config.legacy import LSTM_MODELS, NOT_YET, Path
from manybody.config.section import Section
from manybody.config.types import Flag, ForeignSection, FreeMapping, NoneWord, Text, expected, opened, whole
from manybody.config.validator import AnySection, Validator
from manybody.registry import built_in, built_in_models, built_in_networks

Schemas = Mapping[str, type[Section] | None]
"""Registered names of one kind, each with its section's schema; None: the section is passed on as it is."""


def _threads(value: object) -> int | str:
    return "auto" if value == "auto" else _whole_below(value, 2**31, "'auto' or a whole number from 0")


def _seed(value: object) -> int | None:
    what = "a whole number from 0 to 4294967295, or -1 for one from the clock"
    return None if value in (None, "None", -1, "-1") else _whole_below(value, 2**32, what)


def _whole_below(value: object, limit: int, what: str) -> int:
    with contextlib.suppress(PydanticCustomError):
        number = whole(value)
        if 0 <= number < limit:
            return number
    raise expected(what)


ConfigT = TypeVar("ConfigT", default=Any, covariant=True)
"""The schema of an algorithm's settings."""


class Params(Section, Generic[ConfigT]):
    """Everything that a run is made from, frozen."""

    seed: Annotated[int | None, PlainValidator(_seed)] = None
    """Start of all random numbers; 0 is a seed like any other. None (or -1): taken from the clock."""
    torch_threads: Annotated[int | str, PlainValidator(_threads)] = "auto"
    """CPU threads for torch; ``auto``: the number that suits the machine; 0: leave torch's own choice."""
    algo: NameConfig
    """The algorithm."""
    model: Any
    """The model: ``name``, and the keys of a third-party model."""
    network: Any
    """The network: an ``ActorCriticConfig``, another registered schema, or a ``ForeignSection``."""
    config: ConfigT
    """The algorithm's settings: a ``PPOConfig``, another registered schema, or a ``ForeignSection``."""
    load_checkpoint: Flag = False
    """Start from the checkpoint ``load_path``, as ``checkpoint=<path>`` on the command line, which wins."""
    load_path: Annotated[Text | None, NoneWord] = None
    """A checkpoint file or a run folder; it acts with ``load_checkpoint: True`` only, which requires it."""
    env: FreeMapping = ForeignSection()
    """Kept for Isaac Lab files, whose wrapper reads its clipping ranges here."""


def parse_params(
    mapping: Mapping[str, object] | Params,
    *,
    algorithms: Schemas | None = None,
    networks: Schemas | None = None,
    models: Schemas | None = None,
    training: bool = True,
) -> Params:
    """Validate the section ``params`` and freeze it.

    Old spellings are replaced and keys without effect dropped, each with a ``ConfigWarning``.

    Args:
        mapping: the settings; best from ``load_yaml``, so that errors name the line. A ``Params`` is returned as it is.
        algorithms: registered algorithms and the schema of ``config`` for each; default: the built-in ones.
        networks: registered networks and the schema of ``network`` for each; default: the built-in ones.
        models: registered models and the schema of ``model`` for each; default: the built-in ones.
        training: False leaves out the rules that only an update needs, such as that minibatches divide the batch: a
            policy can be played with any number of environments.

    Raises:
        ConfigError: lists everything that is wrong.
    """
    if isinstance(mapping, Params):
        return mapping
    if not isinstance(mapping, Mapping):
        what = f"got {shown(mapping)}; expected a block with algo, model, network and config"
        raise ConfigError([Problem("params", what)])
    if "params" in mapping and "algo" not in mapping:
        raise ConfigError([Problem("params", "got a whole file; expected its section 'params'")])
    built = built_in()
    if algorithms is None:
        algorithms = {name: entry.agent.Config for name, entry in built.items()}
    if networks is None:
        networks = {name: schema for name, (_, schema) in built_in_networks().items()}
    models = dict.fromkeys(built_in_models(), NameConfig) if models is None else models
    validator = Validator(mapping, training)
    values = {key: opened(value) for key, value in mapping.items()}
    _replace_lstm(validator, values)
    selected = {
        "config": _schema_of(validator, values.get("algo"), ("algo",), algorithms),
        "network": _schema_of(validator, values.get("network"), ("network",), networks),
        "model": _schema_of(validator, values.get("model"), ("model",), models),
    }
    for kind in _check_parts(validator, values):
        selected[kind] = None  # the other keys belong to the refused name, so they are not validated
    validator.schemas = {key: schema for key, schema in selected.items() if schema is not None}
    if isinstance(config := values.get("config"), dict) and isinstance(config.get("central_value_config"), dict):
        _check_central(validator, config["central_value_config"], networks, models)
    for key, schema in selected.items():
        if key not in values:  # which Params reports
            continue
        if not isinstance(values[key], dict):
            validator.complain((key,), f"got {shown(values[key])}; expected a block of 'key: value' lines")
        elif schema is None:
            values[key] = ForeignSection(values[key])
        else:
            values[key] = validator.section(schema, values[key], (key,))
    return validator.finish(validator.section(Params, values, ()))


def require_schema(params: Params, owner: type) -> None:
    """Refuse settings that no schema has validated, for a class of the library or one that inherits from it.

    Raises:
        ConfigError: the algorithm was registered through a function and without ``schema=``.
    """
    if isinstance(params.config, ForeignSection):
        what = (
            f"got settings without a schema; expected those of {owner.__name__}. Register {params.algo.name!r} with "
            "schema=<its Config>, or register the class itself"
        )
        raise ConfigError([Problem("params.config", what)])


def parse_section(
    schema: type[AnySection],
    mapping: Mapping[str, object],
    key: str,
    *,
    private_keys: bool = False,
    training: bool = True,
) -> AnySection:
    """Validate one section by itself, as :func:`parse_params` does.

    Args:
        schema: what the section may hold.
        mapping: what it holds.
        key: which section it is, by its path below ``params``; ``task`` is next to ``params``, not in it.
        private_keys: leave unknown keys out, instead of refusing them. So a third-party subclass that has no schema of
            its own gives its base class what that knows, and reads the rest from ``mapping``.
        training: as in :func:`parse_params`.

    Raises:
        ConfigError: lists everything that is wrong.
    """
    validator = Validator({key: mapping}, training, root="" if key == "task" else "params")
    section = validator.section(schema, opened(mapping), (key,), private_keys)
    if private_keys:
        validator.notices.clear()
    return validator.finish(section)


def _replace_lstm(validator: Validator, values: dict[str, Any]) -> None:
    """Replace a recurrent model of early RL Games by today's model and a block ``rnn`` in its network, in place."""
    model, network = values.get("model"), values.get("network")
    if not (isinstance(model, dict) and isinstance(network, dict) and isinstance(network.get("lstm"), dict)):
        return
    name = LSTM_MODELS.get(str(model.get("name")))
    if name is None or "rnn" in network:
        return
    validator.notice(("model", "name"), f"got '{model['name']}', taken for '{name}' with network.rnn of kind lstm")
    lstm = network.pop("lstm")
    model["name"] = name
    network["rnn"] = {
        "name": "lstm",
        "units": lstm.get("units"),
        "layers": lstm.get("layers", 1),
        "concat_input": lstm.get("concated", False),
    }


def _check_central(validator: Validator, block: dict[str, Any], networks: Schemas, models: Schemas) -> None:
    """Validate the network of ``central_value_config``, in place, and the name of its model."""
    path = ("config", "central_value_config")
    network, model = block.get("network", {}), block.get("model")
    if not isinstance(network, dict):
        validator.complain((*path, "network"), f"got {shown(network)}; expected a block of 'key: value' lines")
        block["network"] = {}
    if "network" in block:
        schema = _schema_of(validator, block["network"], (*path, "network"), networks)
        if schema is not None:
            block["network"] = validator.section(schema, block["network"], (*path, "network"), spelled=("network",))
    _schema_of(validator, model, (*path, "model"), models)
    name = model.get("name") if isinstance(model, dict) else None
    if name != "central_value" and isinstance(name, str) and name in built_in_models():
        validator.complain((*path, "model", "name"), f"got '{name}'; expected 'central_value', which estimates values")


def _check_parts(validator: Validator, values: Mapping[str, Any]) -> Iterator[str]:
    """Refuse a built-in model or network that the built-in algorithm cannot learn with; yields which of the two."""
    names = {kind: block.get("name") for kind, block in values.items() if isinstance(block, dict)}
    if isinstance(values.get("network"), dict) and values["network"].get("central_value") in (True, "True", "true"):
        what = "got True; expected False: this network acts; a separate critic belongs in config.central_value_config"
        validator.complain(("network", "central_value"), what)
    algorithm = built_in().get(str(names.get("algo")))
    if algorithm is None:
        return
    ours = {*(name for entry in built_in().values() for name in (*entry.models, *entry.networks)), "central_value"}
    for kind, fit in (("model", algorithm.models), ("network", algorithm.networks)):
        if str(names.get(kind)) in ours and names[kind] not in fit:
            known = " or ".join(f"'{name}'" for name in sorted(fit))
            what = f"got '{names[kind]}'; expected {known}, with which '{names['algo']}' learns"
            validator.complain((kind, "name"), what)
            yield kind


def _schema_of(validator: Validator, block: object, path: Path, schemas: Schemas) -> type[Section] | None:
    """The schema that the name in ``block`` selects; None: that name has none."""
    name = block.get("name") if isinstance(block, dict) else None
    if not isinstance(name, str | int | float):  # its own error follows; the section's other problems count too
        return next(iter(schemas.values()), None)
    name = str(name)
    if name in schemas:
        return schemas[name]
    if path == ("algo",) and name in built_in():
        what = f"manybody.Runner() does not know {name!r}; make the runner with manybody.build_runner()"
        validator.complain(("algo", "name"), what)
        return None
    kind = "algorithm" if path == ("algo",) else str(path[-1])
    message = f"no {kind} is registered as {shown(name)}"
    if name in NOT_YET:
        message = f"RL Games' {kind} '{name}' is not available in this version of manybody"
    registered = f"registered: {', '.join(sorted(schemas)) or 'none'}"
    validator.complain((*path, "name"), f"{message} ({registered}){did_you_mean(name, schemas)}")
    return schemas.get(nearest(name, schemas) or "")


def dump(params: Section) -> dict[str, Any]:
    """Plain data, fit for YAML, that parses again to an equal model; what is None is left out.

    Raises:
        ConfigError: a free section holds something that is not plain data.
    """
    return {key: _plain(value, f"params.{key}") for key, value in params.items() if value is not None}


def _plain(value: object, path: str) -> object:
    if isinstance(value, Section):
        return {key: _plain(item, f"{path}.{key}") for key, item in value.items() if item is not None}
    if isinstance(value, Mapping):
        return {key: _plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{i}]") for i, item in enumerate(value)]
    if value is None or isinstance(value, str | int | float):
        return value
    what = "numbers, text, lists or mappings, because the settings are saved with the run"
    raise ConfigError([Problem(path, f"got {shown(value)}; expected {what}")])
