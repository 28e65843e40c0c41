"""Configurations as RL Games' clients use them: dictionaries that they read, write to and put live objects into."""

from collections.abc import Mapping
from typing import Any

import yaml

from manybody.config import DiscretePPOConfig, PPOConfig, parse_section
from manybody.config.base import Section
from manybody.config.legacy import OLD_VALUES
from manybody.config.types import opened
from manybody.engine.run_folder import RunFolder
from manybody.preflight import without_start

CLIENTS_OWN = ("population_based_training", "pbt_idx")
"""Keys that a client's observer acts on; this library by itself refuses them."""


class LegacyConfig(dict[str, Any]):
    """``params['config']`` as a client wrote it, its numbers converted; :attr:`typed` are the keys that we know.

    What a client left out reads as our default; as attributes, the typed settings serve this library's own methods.
    """

    def __init__(self, values: Mapping[str, Any], schema: type[Section]) -> None:
        super().__init__(values)
        self.typed: Any = typed_section(schema, values)
        """Frozen, with every default; a client's later changes do not reach it."""
        for key, value in values.items():
            known = self.typed.get(key)
            if isinstance(value, str) and not isinstance(known, str) and known is not None:
                self[key] = known  # YAML 1.1 reads 3e-4 as text
            elif isinstance(value, str) and value in OLD_VALUES.get(("config", key), ()):
                self[key] = known

    def __missing__(self, key: str) -> Any:
        return self.typed[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "typed":  # copying and pickling ask for methods of their own
            raise AttributeError(name)
        return getattr(self.typed, name)


def typed_section(schema: type[Section], values: Mapping[str, Any]) -> Section:
    """What ``schema`` knows of ``values``; keys of the client's own and live objects are left out.

    Raises:
        ConfigError: a known key holds what it cannot hold.
    """
    return parse_section(schema, data_of(values), "config", private_keys=True)


def legacy_config(params: dict[str, Any], discrete: bool) -> LegacyConfig:
    """``params['config']`` as a :class:`LegacyConfig`, which takes its place in ``params``."""
    if not isinstance(params["config"], LegacyConfig):
        params["config"] = LegacyConfig(params["config"], DiscretePPOConfig if discrete else PPOConfig)
    config: LegacyConfig = params["config"]
    return config


def is_plain(value: Any) -> bool:
    """Whether ``value`` is data, as a YAML file holds it, and no live object."""
    if isinstance(value, Mapping):
        return all(is_plain(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float)


def plain(value: Any) -> Any:
    """Mappings as dictionaries of their own, recursively; everything else as it is."""
    value = opened(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def without_objects(params: Mapping[str, Any]) -> dict[str, Any]:
    """``params`` as data again: without what is empty, and the live objects that scripts put into ``config``."""
    config = dict(params["config"])
    shaper = config.pop("reward_shaper", None) or {}
    if not isinstance(shaper, Mapping):
        shaper = {name: value for name, value in vars(shaper).items() if is_plain(value)}
    kept = data_of(config)
    if shaper:
        kept["reward_shaper"] = plain(shaper)
    return {**{key: plain(value) for key, value in params.items() if key != "config"}, "config": kept}


def data_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``values`` is data, is there at all, and is this library's to read."""
    return {
        key: plain(value)
        for key, value in values.items()
        if value is not None and is_plain(value) and key not in CLIENTS_OWN
    }


def record(folder: RunFolder, params: Mapping[str, Any]) -> None:
    """Leave the settings, plain data, beside the run."""
    kept = without_start({"params": dict(params)})
    folder.config_file.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
