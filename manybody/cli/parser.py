"""The argument parser of the commands."""

import argparse
from typing import NoReturn

from typing_extensions import override

from manybody.engine import console


class CommandParser(argparse.ArgumentParser):
    """Parses the arguments of a command; an error is one line and exit code 2."""

    def __init__(self, prog: str, description: str | None = None, usage: str | None = None) -> None:
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(prog, usage, description, formatter_class=layout, allow_abbrev=False)

    @override
    def error(self, message: str) -> NoReturn:
        console.error(f"{self.prog}: {message}; see '{self.prog} --help'")
        raise SystemExit(2)
