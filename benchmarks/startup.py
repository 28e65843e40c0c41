"""Measure the time of `manybody train` until its first line and its first epochs, and its peak memory.

    python benchmarks/startup.py [--epochs 3] [--threads 2] [key=value ...]

The default is Ant with 4096 environments x 16 steps. Times start with the process and include imports. The memory is
the largest resident set of any single process of the command, from the first import to the video at the end. Measure
twice: the first run after an installation reads all files from disk.
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
"""End of the line that replaces the live display if there is no terminal."""
EPOCH = "fps step:"
"""Start of the line of an epoch."""


def measure(overrides: list[str], threads: int) -> list[list[str]]:
    """Run the command to its end and return the table's rows.

    Raises:
        SystemExit: the command failed; the message contains the end of its output.
    """
    program = [str(Path(sys.executable).with_name("manybody")), "train", *overrides]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        child = subprocess.Popen(
            program,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines = [(time.perf_counter() - start, line.rstrip()) for line in child.stdout or ()]
        _, status, usage = os.wait4(child.pid, 0)
        ended = time.perf_counter() - start
    if status:
        tail = "\n".join(line for _, line in lines[-20:])
        raise SystemExit(f"{' '.join(program)} failed with exit code {os.waitstatus_to_exitcode(status)}:\n{tail}")
    display = next(seconds for seconds, line in lines if line.endswith(DISPLAY))
    epochs = [seconds for seconds, line in lines if line.startswith(EPOCH)]
    return [
        [f"first line: {lines[0][1]}", f"{lines[0][0]:.2f} s"],
        ["start of training (on a terminal: the display)", f"{display:.2f} s"],
        ["line of the first epoch", f"{epochs[0]:.2f} s"],
        [f"line of epoch {len(epochs)}, the last", f"{epochs[-1]:.2f} s"],
        ["end, including curve and video", f"{ended:.2f} s"],
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
    print(table(["event", "after"], measure(overrides, options.threads)))


if __name__ == "__main__":
    main()
