"""``python -m manybody`` is the command ``manybody``."""

from manybody.cli import main

if __name__ == "__main__":
    main()
