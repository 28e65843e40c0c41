"""``python -m manybody.compat script.py arguments``: run a script of RL Games' clients on this library, unchanged."""

import os
import runpy
import sys

from manybody.cli.exit_codes import exit_codes
from manybody.compat import rl_games

USAGE = """\
usage: python -m manybody.compat script.py [arguments]
       python -m manybody.compat -m module [arguments]

Runs a Python program in which every import of rl_games gives manybody's classes.
"""


def main() -> None:
    """Run the script. Exits with 2 when there is none; otherwise as the script does."""
    arguments = sys.argv[1:]
    module = arguments[:1] == ["-m"]
    arguments = arguments[module:]
    if not arguments or arguments[0] in ("-h", "--help"):
        (sys.stdout if arguments else sys.stderr).write(USAGE)
        raise SystemExit(0 if arguments else 2)
    if not module and not os.path.isfile(arguments[0]):
        sys.stderr.write(f"manybody.compat: {arguments[0]}: no such script\n\n{USAGE}")
        raise SystemExit(2)
    rl_games.install()
    sys.argv = arguments
    with exit_codes():
        if module:
            sys.path[0] = os.getcwd()
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
            runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main()
