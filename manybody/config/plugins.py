"""A user's own modules, which register tasks, agents, networks or environments when they are imported.

A module is found by name (``import_modules=[my_tasks]``), through one of its objects (``task=my_tasks:MyHopper``), or
as an entry point ``manybody.plugins`` of an installed package. Its function ``register(runner)``, if any, is called for
every runner.
"""

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from manybody.config.errors import ManybodyError, did_you_mean

GROUP = "manybody.plugins"
"""Entry points of this group are imported by every command that needs tasks or algorithms."""

_modules: dict[str, ModuleType] = {}


class PluginError(ManybodyError, ValueError):
    """A module or an object in it that cannot be imported: which one, and why."""


def import_module(name: str) -> ModuleType:
    """Import a user's module and keep it, so that runners made later know what it registers.

    The script that is running is not imported a second time under its file's name.

    Raises:
        PluginError: there is no such module, or importing it fails.
    """
    if name not in _modules:
        try:
            _modules[name] = _running_script(name) or importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise PluginError(_failed(name, error)) from None
            what = "expected a module that Python finds. Start in the folder that holds it, or install it"
            if name.endswith(".py"):
                what = f"expected the name of a module, {name.removesuffix('.py')!r} without .py"
            raise PluginError(f"got {name!r}; {what}") from None
        except Exception as error:
            raise PluginError(_failed(name, error)) from None
    return _modules[name]


def import_object(path: str) -> Any:
    """The object that ``package.module:Name`` names.

    Raises:
        PluginError: no such module or no such object in it.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise PluginError(f"got {path!r}; expected 'module:Name'")
    home = import_module(module)
    try:
        return getattr(home, name)
    except AttributeError:
        hint = did_you_mean(name, [known for known in vars(home) if known[0] != "_"])
        raise PluginError(f"got {path!r}, but module {module!r} has no {name!r}{hint}") from None


@functools.cache
def load_installed() -> None:
    """Import the plugins of installed packages, once. One that fails costs a warning, not the command."""
    for plugin in entry_points(group=GROUP):
        try:
            import_module(plugin.module)
        except PluginError as error:
            warnings.warn(f"plugin {plugin.name!r} is left out: {error}", stacklevel=2)


def register_with(runner: object) -> None:
    """Let every imported module register its algorithms and players with ``runner``, each once."""
    done: set[str] = runner.__dict__.setdefault("plugins", set())
    for name, module in list(_modules.items()):
        if name not in done and hasattr(module, "register"):
            done.add(name)
            module.register(runner)


def add_folders(folders: Iterable[str]) -> None:
    """Look for modules in these folders too, after everywhere else."""
    sys.path += [folder for folder in folders if folder not in sys.path]


def home_of(cls: type) -> str:
    """``module:Class`` under which another process can import ``cls``; of a running script, its file's name."""
    module = cls.__module__
    if module == "__main__":
        module = Path(getattr(sys.modules["__main__"], "__file__", None) or "__main__").stem
    return f"{module}:{cls.__qualname__}"


def folders_of(modules: Iterable[str]) -> list[str]:
    """The folders from which these modules (``module`` or ``module:Name``) are imported, without installed packages."""
    standard = sysconfig.get_path("stdlib")
    folders: list[Path] = []
    for name in modules:
        root = name.partition(":")[0].partition(".")[0]
        file = getattr(_running_script(root) or sys.modules.get(root), "__file__", None) or _origin(root)
        if file:
            path = Path(os.path.abspath(file))
            folders.append(path.parent.parent if path.name == "__init__.py" else path.parent)
    kept = [x for x in folders if not {"site-packages", "dist-packages"} & set(x.parts)]
    return list(dict.fromkeys(str(folder) for folder in kept if not folder.is_relative_to(standard)))


def _origin(name: str) -> str | None:
    """The file that ``import name`` would read; None: there is none."""
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        return spec.origin if spec and spec.has_location else None
    return None


def _running_script(name: str) -> ModuleType | None:
    """The module ``__main__`` where its file is what ``import name`` would read."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if file is None or Path(file).stem != name:
        return None
    origin = _origin(name)
    return main if origin and os.path.exists(file) and os.path.samefile(origin, file) else None


def _failed(name: str, error: BaseException) -> str:
    """What went wrong inside the user's module, with its file and line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{error.filename}:{error.lineno}" if isinstance(error, SyntaxError) else ""
    own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    if not where and own:
        where = f"{own[-1].filename}:{own[-1].lineno}"
    trains = any(frame.name in ("run_train", "prepare") for frame in frames)
    hint = ". It trains while it is imported: move that under 'if __name__ == \"__main__\":'" if trains else ""
    return f"importing {name!r} fails: {type(error).__name__}: {error}{f' ({where})' if where else ''}{hint}"
