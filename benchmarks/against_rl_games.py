"""Frames per second of training, manybody against RL Games 1.6.5, on the same task in one run.

    python benchmarks/against_rl_games.py [--task Ant] [--epochs 10] [--rounds 1] [--threads 2] [key=value]

Each round trains four times, each time in a separate process: manybody, RL Games with torch.compile (its default),
manybody, RL Games without torch.compile. The alternation spreads changes of the machine's load over both libraries.
The first epochs (--warm-up) are not measured. Both libraries use the same task, hyper-parameters, seed, torch threads
and physics threads. Additional overrides are those of `manybody train` and apply to both.

`total` is the wall-clock time from epoch to epoch, including logging. Physics, inference and learning are the times
that each library measures for the environment's step, the rest of the rollout, and the update. RL Games has an empty
observer and uses tensors throughout (see rl_games_ant.py); manybody runs as in `manybody train`. The ratio is
relative to the faster variant of RL Games.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from recording import MEMORY, Recorder, cores, machine, mean_and_range, table

from manybody import build_runner, compose
from manybody.engine.observers import IsaacAlgoObserver, MultiObserver
from manybody.media.learning_curve import read_metrics

OURS, COMPILED, PLAIN = "manybody", "RL Games 1.6.5, torch.compile", "RL Games 1.6.5"
ROUND = (OURS, COMPILED, OURS, PLAIN)
COLUMNS = ("physics", "inference", "learning", "total")
BUSY = 0.3
"""Load per core above which a warning is printed."""


def train_manybody(overrides: list[str], threads: int, seconds_limit: float) -> None:
    """Train like `manybody train`, without the video at the end."""
    torch.set_num_threads(threads)
    cfg = compose(overrides)
    runner = build_runner(MultiObserver([IsaacAlgoObserver(), Recorder(seconds_limit)]))
    runner.load(cfg)
    runner.run({"train": True})


def command(side: str, overrides: list[str], options: argparse.Namespace) -> list[str]:
    """Return the command of the child process for one training run."""
    here = Path(__file__).parent
    limits = ["--threads", str(options.threads), "--seconds-limit", str(options.seconds_limit)]
    if side == OURS:
        return [sys.executable, str(here / "against_rl_games.py"), "--only-manybody", *limits, *overrides]
    flag = "--compile" if side == COMPILED else "--no-compile"
    return [sys.executable, str(here / "rl_games_ant.py"), flag, *limits, *overrides]


def measure(side: str, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Train once in a separate process.

    Returns:
        Frames/s by the names in ``COLUMNS``, ``memory`` in MiB and ``epochs`` measured.

    Raises:
        SystemExit: the training failed or had no epoch after the warm-up; the message contains the end of its output.
    """
    overrides = [
        f"task={options.task}",
        f"max_iterations={options.epochs}",
        f"num_threads={options.threads}",
        *options.overrides,
        f"experiment={folder.name}",
        f"train.params.config.train_dir={folder.parent}",
    ]
    done = subprocess.run(
        command(side, overrides, options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{side} failed with exit code {done.returncode}:\n{done.stdout[-2000:]}")
    metrics = read_metrics(folder)
    counted = slice(options.warm_up, None)
    frames = np.diff(metrics["frame"], prepend=0.0)[counted]
    if not len(frames):
        raise SystemExit(
            f"{side}: {len(metrics['frame'])} epochs trained; expected more than {options.warm_up}, the warm-up. "
            "Increase --epochs or --seconds-limit"
        )
    seconds = {
        "physics": metrics["performance/step_time"],
        "inference": metrics["performance/step_inference_time"] - metrics["performance/step_time"],
        "learning": metrics["performance/rl_update_time"],
        "total": np.diff(metrics["time"], prepend=0.0),
    }
    rates = {name: frames.sum() / value[counted].sum() for name, value in seconds.items()}
    return {**rates, "memory": metrics[MEMORY][-1], "epochs": float(len(frames))}


def row(side: str, results: list[dict[str, float]]) -> list[str]:
    """Return a row with the mean and, for several runs, the lowest and highest value."""
    cells = [mean_and_range([result[name] for result in results], 0) for name in COLUMNS]
    return [side, *cells, f"{max(result['memory'] for result in results):,.0f}"]


def report(results: dict[str, list[dict[str, float]]]) -> str:
    """Return the table with the ratio to the faster variant of RL Games."""
    means = {side: {name: np.mean([r[name] for r in runs]) for name in COLUMNS} for side, runs in results.items()}
    reference = max((COMPILED, PLAIN), key=lambda side: means[side]["total"])
    ratios = [f"{means[OURS][name] / means[reference][name]:.2f}" for name in COLUMNS]
    rows = [row(side, runs) for side, runs in results.items()]
    rows.append([f"manybody / {reference}", *ratios, ""])
    return table(["frames/s", *COLUMNS, "peak MiB"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as for manybody train, for both sides: num_envs=1024 seed=1 ...")
    parser.add_argument("--task", default="Ant")
    parser.add_argument("--epochs", type=int, default=10, help="epochs per run, including the warm-up")
    parser.add_argument("--warm-up", type=int, default=3, help="first epochs, which are not measured")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of four runs")
    parser.add_argument("--threads", type=int, default=cores(), help="threads of torch and of physics")
    parser.add_argument(
        "--seconds-limit", type=float, default=float("inf"), help="time limit of one run; no epoch starts later"
    )
    parser.add_argument("--only-manybody", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args()
    if options.only_manybody:
        train_manybody(options.overrides, options.threads, options.seconds_limit)
        return
    print(f"{machine()}\n{options.threads} threads; python {' '.join(map(str, sys.argv))}")
    if os.getloadavg()[0] > BUSY * cores():
        print("WARNING: other programs are running; these figures are not reliable")
    results: dict[str, list[dict[str, float]]] = {OURS: [], COMPILED: [], PLAIN: []}
    with tempfile.TemporaryDirectory() as runs:
        for number, side in enumerate(ROUND * options.rounds):
            result = measure(side, Path(runs, f"run{number}"), options)
            results[side].append(result)
            print(f"{side}: {result['total']:,.0f} frames/s over {result['epochs']:.0f} epochs", flush=True)
    print(f"\n{report(results)}")


if __name__ == "__main__":
    main()
