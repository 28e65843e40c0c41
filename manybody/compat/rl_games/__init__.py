"""RL Games' modules: after :func:`install`, ``from rl_games.torch_runner import Runner`` imports this library's.

``python -m manybody.compat script.py arguments`` runs an unchanged script.

The classes are the library's, or subclasses with RL Games' attributes and with configurations as dictionaries.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PACKAGE = "rl_games"
HOME = __name__
STAND_INS = {"tensorboardX": "torch.utils.tensorboard", "gym": "gymnasium"}
"""Packages that clients import, and the packages that replace them where they are not installed."""


class _Alias(Loader):
    """Loads ``rl_games.x`` by importing ``manybody.compat.rl_games.x``: the same module under both names."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Create an empty module, which :meth:`exec_module` replaces."""

    def exec_module(self, module: ModuleType) -> None:
        """Replace the empty module."""
        sys.modules[module.__name__] = importlib.import_module(_home(module.__name__))


class _Finder(MetaPathFinder):
    """Finds the modules of ``rl_games`` in this package only."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the alias of ``fullname``; None for other packages.

        Raises:
            ModuleNotFoundError: RL Games' module has no counterpart here.
        """
        package = fullname.partition(".")[0]
        if package in STAND_INS and not _installed(package):
            return ModuleSpec(fullname, _Alias(), is_package=True)
        if package != PACKAGE:
            return None
        if importlib.util.find_spec(_home(fullname)) is None:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: manybody stands in for rl_games and has no such module",
                name=fullname,
            )
        return ModuleSpec(fullname, _Alias(), is_package=True)


def _home(fullname: str) -> str:
    package = fullname.partition(".")[0]
    return STAND_INS.get(package, HOME) + fullname.removeprefix(package)


def _installed(package: str) -> bool:
    finders = (finder for finder in sys.meta_path if not isinstance(finder, _Finder))
    return any(finder.find_spec(package, None) for finder in finders if hasattr(finder, "find_spec"))


def install() -> None:
    """Make ``import rl_games`` import this package, in this process. Repeated calls have no effect.

    Raises:
        ImportError: the real package is already imported.
    """
    imported = sys.modules.get(PACKAGE)
    if imported is not None and imported is not sys.modules[HOME]:
        raise ImportError(
            f"rl_games is already imported, from {getattr(imported, '__file__', None)}; call "
            "manybody.compat.rl_games.install() before the first import of rl_games, or run the script with: "
            "python -m manybody.compat script.py",
            name=PACKAGE,
        )
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
