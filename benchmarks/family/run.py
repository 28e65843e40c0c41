"""Measure one row of the table: manybody and RL Games 1.6.5 on the same task with the same keys.

    python benchmarks/family/run.py cartpole                  bar: a mean return of 475 in 60 s
    python benchmarks/family/run.py memory                    bar: LSTM 400, MLP below 150
    python benchmarks/family/run.py masks                     bar: 98 % of the optimum, no forbidden choice in 10^6
    python benchmarks/family/run.py breakout                  bar: 10 after 5 M frames
    python benchmarks/family/run.py pong                      takes long
    python benchmarks/family/run.py halfcheetah --seeds 1 2 3 bar: RL Games' return after 10 M frames
    python benchmarks/family/run.py ant --seeds 1             bar: RL Games' return after 5 M frames
    python benchmarks/family/run.py asymmetric --picture asymmetric.png      bar: faster with the central value
    python benchmarks/family/run.py exploration               bar: solved with RND, not without

The settings are in rows.py, the tasks in family_tasks.py. Each run is a separate process with --threads threads. It
ends after the row's number of frames, or earlier when the mean return of the last hundred games reaches the row's
goal. The table reports the frames and seconds (from the start of the first epoch) at that point, and the mean return
of the exploring policy. RL Games uses tensors and no torch.compile, because compilation takes longer than most of
these runs. With --results, an interrupted table continues with the missing runs.
"""

import argparse
import contextlib
import io
import itertools
import json
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

import family_tasks
import numpy as np
import torch
from recording import machine, mean_and_range, table
from rows import ROWS, Variant, shortened

from manybody.engine.observers import AlgoObserver
from manybody.envs.base import VecEnv
from manybody.envs.registration import create_vec_env

__all__ = ["family_tasks"]  # its import registers the tasks


class Meter(AlgoObserver):
    """Record a run of either library, and stop it when it reaches the goal.

    Args:
        variant: the training setup.
        env: the environment.
    """

    def __init__(self, variant: Variant, env: VecEnv) -> None:
        self.variant, self.env = variant, env
        self.curve: list[tuple[int, float, float]] = []
        """Frames, seconds and result after each epoch."""

    def after_init(self, algo: Any) -> None:
        """Start the clock."""
        self.algo, self.start = algo, time.perf_counter()

    def after_print_stats(self, frame: int, epoch_num: int, total_time: float) -> None:
        """Record frames, seconds and result."""
        meter, variant = self.algo.game_rewards, self.variant
        games = int(meter.current_size)
        value = float(meter.mean.reshape(-1)[0]) / variant.best if games else float("nan")
        if variant.measure:
            value = getattr(self.env, variant.measure)
        self.curve.append((int(self.algo.frame), time.perf_counter() - self.start, value))
        if variant.stop is not None and games >= 100 and value >= variant.stop:
            self.algo.max_epochs = epoch_num


def train_manybody(params: dict[str, Any], env: VecEnv, meter: Meter) -> None:
    """Train with manybody."""
    from manybody.runner import Runner

    runner = Runner(meter)
    runner.load({"params": params})
    runner.run({"train": True, "vec_env": env})


def train_rl_games(params: dict[str, Any], env: VecEnv, meter: Meter) -> None:
    """Train with RL Games."""
    from peer import train

    train(params, env, meter)


def train(side: str, variant: Variant, seed: int, threads: int) -> dict[str, Any]:
    """Train once in this process and return the result, the curve and the other columns of the table."""
    torch.set_num_threads(threads)
    config = dict(variant.params["config"])
    env_config = {"seed": seed, **config.pop("env_config", {})}
    env = create_vec_env(config["env_name"], config["num_actors"], **env_config)
    meter = Meter(variant, env)
    with tempfile.TemporaryDirectory() as runs, contextlib.redirect_stdout(io.StringIO()):
        config |= {"train_dir": runs}
        params = {"seed": seed, "torch_threads": threads, **variant.params, "config": config}
        (train_manybody if side == "manybody" else train_rl_games)(params, env, meter)
    frames, seconds, result = meter.curve[-1]
    forbidden = getattr(env, "forbidden_taken", None)
    return {
        "frames": frames,
        "seconds": seconds,
        "result": result,
        "curve": meter.curve,
        "marked": next((frame for frame, _, value in meter.curve if value <= (variant.mark or -np.inf)), np.nan),
        "forbidden": "" if forbidden is None else f"; {forbidden} of {env.taken:,} choices forbidden",
    }


def train_in_process(side: str, variant: Variant, seed: int, threads: int, results: Path | None) -> dict[str, Any]:
    """Call :func:`train` in a separate process, or return the same run from ``results``; append new runs to it."""
    key = {"variant": repr(variant), "side": side, "seed": seed, "threads": threads}
    for line in results.read_text().splitlines() if results and results.exists() else ():
        known = json.loads(line)
        if {name: known[name] for name in key} == key:
            return known
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        run = pool.submit(train, side, variant, seed, threads).result() | key
    if results:
        with results.open("a") as file:
            file.write(json.dumps(run) + "\n")
    return run


def row(variant: Variant, side: str, runs: list[dict[str, Any]]) -> list[str]:
    """Return a row of the table."""
    results = mean_and_range([run["result"] for run in runs], 3) + runs[0]["forbidden"]
    if variant.mark is not None:
        marked = [run["marked"] for run in runs if np.isfinite(run["marked"])]
        when = f"after {mean_and_range(marked, 0)} frames in {len(marked)} of {len(runs)} runs" if marked else "never"
        results += f"; below {variant.mark} {when}"
    return [
        f"{variant.name}: {side}",
        str(len(runs)),
        mean_and_range([run["frames"] for run in runs], 0),
        mean_and_range([run["seconds"] for run in runs], 0),
        results,
    ]


def draw(curves: dict[str, list[list[tuple[int, float, float]]]], picture: Path, measure: str) -> None:
    """Draw all curves over frames, one colour per variant and library."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.0, 4.0), layout="constrained")
    for index, (label, group) in enumerate(curves.items()):
        for number, curve in enumerate(group):
            frames, _, values = zip(*curve, strict=True)
            axes.plot(frames, values, color=f"C{index}", alpha=0.7, label=label if number == 0 else None)
    axes.set(xlabel="frames", ylabel=measure, yscale="log" if measure == "squared distance" else "linear")
    axes.legend()
    figure.savefig(picture, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--max-frames", type=int, help="override the number of frames")
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, default=True, help="also train RL Games")
    parser.add_argument("--results", type=Path, help="file to which runs are appended; runs in it are not repeated")
    parser.add_argument("--picture", type=Path, help="file for the curves of all runs")
    options = parser.parse_args()
    print(f"{machine()}\npython {' '.join(sys.argv)}", flush=True)
    rows, curves = [], {}
    for variant in ROWS[options.row]:
        if options.max_frames:
            variant = shortened(variant, options.max_frames)
        sides = ["manybody", "RL Games 1.6.5"] if options.peer and variant.peer else ["manybody"]
        both: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for seed, side in itertools.product(options.seeds, sides):
            both[side].append(train_in_process(side, variant, seed, options.threads, options.results))
        for side, runs in both.items():
            rows.append(row(variant, side, runs))
            curves[f"{variant.name.partition(':')[0]}: {side}"] = [run["curve"] for run in runs]
            print(" | ".join(rows[-1]), flush=True)
    print("\n" + table(["task", "seeds", "frames", "seconds", "result"], rows))
    if options.picture:
        draw(curves, options.picture, ROWS[options.row][0].name.partition(": ")[2] or "mean return")


if __name__ == "__main__":
    main()
