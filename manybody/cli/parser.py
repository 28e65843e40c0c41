"""The argument parser of the commands."""

import argparse
from typing import NoReturn

from typing_extensions import override

from manybody.engine import console


class CommandParser(argparse.ArgumentParser):
    """Parses the arguments of one command; an error is one line and exit code 2.

    Args:
        command: such as ``motion info``.
        help_command: prints the usage; by default the command with ``--help``.
    """

    def __init__(self, command: str, help_command: str | None = None) -> None:
        super().__init__(prog=f"manybody {command}", add_help=False, allow_abbrev=False)
        self.help_command = help_command or f"{self.prog} --help"

    @override
    def error(self, message: str) -> NoReturn:
        console.error(f"{self.prog}: {message}; see '{self.help_command}'")
        raise SystemExit(2)
