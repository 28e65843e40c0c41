"""How long `manybody train` takes to say something and to finish its first epochs, and how much memory.

    python benchmarks/startup.py [--epochs 3] [--threads 2] [key=value ...]

Ant at its full size, 4096 environments x 16 steps, unless overridden. Times count from starting the process,
imports included. Memory is the largest resident set of any single process of the command, from the first
import to the video at the end. Measure twice: the first run after installing reads everything from disk.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recording import cores, machine, mebibytes, table

DISPLAY = " environments"
"""How the line that stands where a terminal has the live display ends."""
EPOCH = "fps step:"
"""How RL Games' line about an epoch begins."""


def measure(overrides: list[str], threads: int) -> list[list[str]]:
    """Run the command to its end; rows of what was seen and when.

    Raises:
        SystemExit: the command failed; with the end of its output.
    """
    program = [str(Path(sys.executable).with_name("manybody")), "train", *overrides]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        child = subprocess.Popen(
            program,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines = [(time.perf_counter() - began, line.rstrip()) for line in child.stdout or ()]
        _, status, usage = os.wait4(child.pid, 0)
        ended = time.perf_counter() - began
    if status:
        tail = "\n".join(line for _, line in lines[-20:])
        raise SystemExit(f"{' '.join(program)} failed with exit code {os.waitstatus_to_exitcode(status)}:\n{tail}")
    display = next(seconds for seconds, line in lines if line.endswith(DISPLAY))
    epochs = [seconds for seconds, line in lines if line.startswith(EPOCH)]
    return [
        [f"first line: {lines[0][1]}", f"{lines[0][0]:.2f} s"],
        ["training begins (on a terminal: the display)", f"{display:.2f} s"],
        ["line of the first epoch", f"{epochs[0]:.2f} s"],
        [f"line of epoch {len(epochs)}, the last", f"{epochs[-1]:.2f} s"],
        ["end, with pictures", f"{ended:.2f} s"],
        ["peak resident memory", f"{mebibytes(usage.ru_maxrss):,.0f} MiB"],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as for manybody train, e.g. task=Cartpole")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=cores(), help="threads of torch and of physics")
    options = parser.parse_intermixed_args()
    overrides = [f"max_iterations={options.epochs}", f"num_threads={options.threads}", *options.overrides]
    print(f"{machine()}\n{options.threads} threads; manybody train {' '.join(overrides)}\n")
    print(table(["seen", "after"], measure(overrides, options.threads)))


if __name__ == "__main__":
    main()
