"""RL Games' module paths: after :func:`install`, ``from rl_games.torch_runner import Runner`` gives this library's.

    import manybody.compat.rl_games as compat
    compat.install()

or, without a changed line, ``python -m manybody.compat script.py arguments``.

Below this package lies one module for each of RL Games' that its clients import, under the same name. Each gives what
is of this library, or a class that adds what RL Games' clients expect of it: tuples where ours return named types,
attributes under their old names, configurations as dictionaries.
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
"""What clients import besides, where it is not installed, and what they get: the same names in a newer package."""


class _Alias(Loader):
    """Loads ``rl_games.x`` by importing ``manybody.compat.rl_games.x``: the same module under both names."""

    def create_module(self, spec: ModuleSpec) -> None:
        """An empty module, which :meth:`exec_module` replaces."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of ours in its place."""
        sys.modules[module.__name__] = importlib.import_module(_home(module.__name__))


class _Finder(MetaPathFinder):
    """Finds every module of ``rl_games`` here, and nothing of it elsewhere."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The alias of ``fullname``; None for other packages.

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
    """Make ``rl_games`` and everything below it this library's, for this process. Once or often is the same.

    Raises:
        ImportError: the real package is already imported; its classes and these would be mixed.
    """
    known = sys.modules.get(PACKAGE)
    if known is not None and known is not sys.modules[HOME]:
        place = getattr(known, "__file__", None) or "an unknown place"
        raise ImportError(
            f"rl_games is already imported, from {place}; call manybody.compat.rl_games.install() before the first "
            "import of rl_games, or run the script with: python -m manybody.compat script.py",
            name=PACKAGE,
        )
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
