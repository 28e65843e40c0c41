"""The modules of a user's own code that a configuration names: imported first, and kept with the run."""

from collections.abc import Iterable, Mapping

from manybody import tasks
from manybody.config import LaunchConfig
from manybody.config.errors import Problems
from manybody.config.plugins import add_folders, folders_of, home_of, import_module
from manybody.config.validator import parse_whole
from manybody.envs.registration import LIBRARIES


def import_own(cfg: Mapping[str, object], problems: Problems) -> None:
    """Import the modules in ``import_modules``; those that cannot be imported are added to ``problems``."""
    with problems.collect():
        root = _import_keys(cfg)
        add_folders(root.import_path)
        for name in root.import_modules:
            try:
                tasks.import_task(name) if ":" in name else import_module(name)
            except ValueError as error:
                problems.add("import_modules", str(error))


def _import_keys(cfg: Mapping[str, object]) -> LaunchConfig:
    return parse_whole(LaunchConfig, {key: cfg[key] for key in ("import_modules", "import_path") if key in cfg})


def own_modules(cfg: Mapping[str, object], names: Iterable[str]) -> dict[str, list[str]]:
    """Find what another process, in another folder, needs to import the user's code.

    Args:
        cfg: a configuration; its own ``import_modules`` and ``import_path`` come first.
        names: of the task and the environment.

    Returns:
        ``import_modules`` and ``import_path``, those that are not empty.
    """
    own = _import_keys(cfg)
    modules, sources = list(own.import_modules), list(own.import_modules)
    for name in names:
        task = tasks.TASKS.get(name)
        if ":" in name and name.partition(":")[0] not in LIBRARIES:
            sources.append(name)
        elif task is not None and not task.__module__.startswith("manybody."):
            modules.append(home_of(task))
            sources.append(modules[-1])
    kept = {"import_modules": modules, "import_path": [*own.import_path, *folders_of(sources)]}
    return {key: list(dict.fromkeys(values)) for key, values in kept.items() if values}
