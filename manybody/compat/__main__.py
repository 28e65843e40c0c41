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
    """Exits with 2 when there is no script to run; otherwise as the script does."""
    words = sys.argv[1:]
    module = words[:1] == ["-m"]
    words = words[module:]
    if not words or words[0] in ("-h", "--help"):
        (sys.stdout if words else sys.stderr).write(USAGE)
        raise SystemExit(0 if words else 2)
    if not module and not os.path.isfile(words[0]):
        sys.stderr.write(f"manybody.compat: {words[0]}: no such script\n\n{USAGE}")
        raise SystemExit(2)
    rl_games.install()
    sys.argv = words
    with exit_codes():
        if module:
            sys.path[0] = os.getcwd()
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = os.path.dirname(os.path.abspath(words[0]))
            runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    main()
