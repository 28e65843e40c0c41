"""Configurations of RL Games' clients: writable dictionaries, which may contain objects."""

import copy
from collections.abc import Mapping
from typing import Any

import yaml

from manybody.compat.rl_games.common.tr_helpers import DefaultRewardsShaper
from manybody.config import ConfigError, Problem, parse_section
from manybody.config.algorithm import RewardShaperConfig
from manybody.config.errors import shown
from manybody.config.legacy import OLD_VALUES
from manybody.config.section import Section
from manybody.config.types import opened
from manybody.engine.run_folder import RunFolder
from manybody.launch.configuration import without_start

CLIENTS_OWN = ("population_based_training", "pbt_idx")
"""Keys for a client's observer; the library refuses them."""


class LegacyConfig(dict[str, Any]):
    """A client's ``params['config']`` with converted numbers; missing keys read as the library's defaults.

    Attributes are the validated settings, which the library's methods read. Raises ConfigError: a known key has an
    invalid value.
    """

    def __init__(self, values: Mapping[str, Any], schema: type[Section]) -> None:
        super().__init__(values)
        self.typed: Any = parse_section(schema, data_of(values), "config", private_keys=True)
        """The known keys, frozen; later changes by a client do not affect them."""
        for key, value in values.items():
            if not isinstance(value, str):
                continue
            known = self.typed.get(key)
            is_number = known is not None and not isinstance(known, str)  # YAML 1.1 reads 3e-4 as text
            if is_number or value in OLD_VALUES.get(("config", key), ()):
                self[key] = known

    def __missing__(self, key: str) -> Any:
        return self.typed[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "typed":  # copying and pickling look up special methods
            raise AttributeError(name)
        return getattr(self.typed, name)


def is_plain(value: Any) -> bool:
    """Return whether ``value`` is plain data, as in a YAML file."""
    if isinstance(value, Mapping):
        return all(is_plain(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float)


def plain(value: Any) -> Any:
    """Copy mappings and lists recursively; leave other values unchanged."""
    value = opened(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def params_of(yaml_config: Any) -> dict[str, Any]:
    """Return a copy of the section ``params`` of a configuration, with the required parts.

    Raises:
        ConfigError: a part is missing, or of another kind.
    """
    wanted = "a block with algo, model, network and config"
    root = _block({"configuration": opened(yaml_config)}, "configuration", f"'params', {wanted}")
    params: dict[str, Any] = plain(copy.deepcopy(_block(root, "params", wanted)))
    name = _block(params, "params.algo", "a block with the name of an algorithm").get("name")
    if not isinstance(name, str):
        raise _problem("params.algo.name", name, "the name of an algorithm, such as 'a2c_continuous'")
    config = _block(params, "params.config", "a block with the settings of the algorithm")
    for key in ("features", "player"):
        if config.get(key) is not None:
            _block(config, f"params.config.{key}", "a block")
    rewards_shaper(config.get("reward_shaper"))
    seed = params.get("seed")
    try:
        params["seed"] = None if seed is None else int(seed)
    except (TypeError, ValueError):
        raise _problem("params.seed", seed, "a whole number, or null for one from the clock") from None
    return params


def _block(block: Any, path: str, expected: str) -> Mapping[str, Any]:
    value = block.get(path.rpartition(".")[2])
    if not isinstance(value, Mapping):
        raise _problem(path, value, expected)
    return value


def _problem(path: str, value: Any, expected: str) -> ConfigError:
    found = "missing" if value is None else f"got {shown(value)}"
    return ConfigError([Problem(path, f"{found}; expected {expected}")])


def rewards_shaper(section: Any) -> Any:
    """Return RL Games' shaper for a ``reward_shaper`` section; a function is returned unchanged.

    Raises:
        ConfigError: it is neither, or has unknown keys.
    """
    path, section = "config.reward_shaper", section or {}
    if callable(section):
        return section
    if not isinstance(section, Mapping):
        raise _problem(f"params.{path}", section, "a block such as {scale_value: 0.1}, or a function of rewards")
    typed = parse_section(RewardShaperConfig, plain(section), path)
    return DefaultRewardsShaper(**{key: getattr(typed, key) for key in section})


def without_objects(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``params`` as data, without empty entries and the objects that scripts put into ``config``."""
    config = dict(params["config"])
    shaper = config.pop("reward_shaper", None) or {}
    if callable(shaper):
        shaper = {name: value for name, value in getattr(shaper, "__dict__", {}).items() if is_plain(value)}
    kept = data_of(config)
    if shaper:
        kept["reward_shaper"] = plain(shaper)
    return {**{key: plain(value) for key, value in params.items() if key != "config"}, "config": kept}


def data_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of ``values`` that are data, not None and not only for clients."""
    return {
        key: plain(value)
        for key, value in values.items()
        if value is not None and is_plain(value) and key not in CLIENTS_OWN
    }


def record(folder: RunFolder, params: Mapping[str, Any]) -> None:
    """Write the settings into the run folder."""
    kept = without_start({"params": dict(params)})
    folder.config_file.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
