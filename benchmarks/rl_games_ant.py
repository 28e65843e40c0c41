"""Train RL Games 1.6.5 on this project's tasks and hyper-parameters, on the CPU.

    python benchmarks/rl_games_ant.py task=Ant num_envs=4096 seed=1 [--no-compile] [--threads 2]

The overrides are those of `manybody train`; they compose the hyper-parameters (cfg/train/AntPPO.yaml). RL Games
creates its run folder and checkpoints. This script adds `config.yaml` and `metrics.jsonl` in manybody's format, so
that benchmarks/summary.py and manybody.media.learning_curve read both. For a fair comparison:

* observations, rewards and actions stay torch tensors, so that nothing is copied to numpy and back;
* the observer only writes the metrics (RL Games' default observer iterates over finished episodes in Python);
* `frame` includes the frames of the epoch. RL Games' TensorBoard files lag one epoch behind.

torch.compile, which 1.6.5 enables by default, needs a C++ compiler.
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from recording import Recorder, cores
from rl_games.common import env_configurations, vecenv
from rl_games.common.ivecenv import IVecEnv
from rl_games.torch_runner import Runner
from torch import Tensor

from manybody import compose, make, register_env
from manybody.envs.base import Obs, VecEnv
from manybody.envs.registration import create_vec_env

ENV_NAME = "rlgpu"
"""``env_name`` in the training files of the tasks."""
TAGS = ("losses/a_loss", "losses/c_loss", "losses/entropy", "info/last_lr", "info/kl")
"""Tags that a learning curve draws in addition to returns and speed."""


class RLGamesVecEnv(IVecEnv):
    """A :class:`~manybody.envs.base.VecEnv` with RL Games' interface: ``step`` returns four values, all tensors."""

    def __init__(self, env: VecEnv) -> None:
        self.env = env

    def reset(self) -> Obs:
        """Return the first observations, ``{'obs': (N, O)}``."""
        return self.env.reset()

    def step(self, actions: Tensor) -> tuple[Obs, Tensor, Tensor, dict[str, Any]]:
        """Return observations, rewards (N,), dones (N,) bool, and the truncated rows as ``time_outs``.

        RL Games does not use the final observation of a truncated episode; it bootstraps from the value of the
        state before the step.
        """
        step = self.env.step(actions)
        return step.obs, step.reward, step.done, {"time_outs": step.truncated}

    def get_env_info(self) -> dict[str, Any]:
        """Return spaces and sizes."""
        return self.env.get_env_info()


class MetricsObserver(Recorder):
    """Write ``config.yaml``, and one line per epoch to ``metrics.jsonl``, with manybody's keys.

    Args:
        record: the content of ``config.yaml``.
        seconds_limit: see :class:`Recorder`.
    """

    def __init__(self, record: dict[str, Any], seconds_limit: float) -> None:
        super().__init__(seconds_limit)
        self.record = record
        self.scalars: dict[str, float] = {}

    def after_init(self, algo: Any) -> None:
        """Record what RL Games logs, and start the clock."""
        super().after_init(algo)
        folder = Path(algo.experiment_dir)
        self.file = folder / "metrics.jsonl"
        (folder / "config.yaml").write_text(yaml.safe_dump(self.record, sort_keys=False))
        write = algo.writer.add_scalar

        def add_scalar(tag: str, value: Any, step: float) -> None:
            self.scalars[tag] = float(value)
            write(tag, value, step)

        algo.writer.add_scalar = add_scalar

    def after_print_stats(self, frame: int, epoch_num: int, total_time: float) -> None:
        """Write the line. Returns are read from the agent, which logs them after this call."""
        super().after_print_stats(frame, epoch_num, total_time)
        algo = self.algo
        # The other recorded tags are those of the previous epoch: RL Games logs them after this call.
        tags = {tag: x for tag, x in self.scalars.items() if tag in TAGS or tag.startswith("performance/")}
        line = {"epoch": epoch_num, "frame": algo.frame, "time": time.perf_counter() - self.start, **tags}
        if algo.game_rewards.current_size > 0:
            line["rewards/step"] = float(np.ravel(algo.game_rewards.get_mean())[0])
            line["episode_lengths/step"] = float(np.ravel(algo.game_lengths.get_mean())[0])
        with open(self.file, "a") as file:
            file.write(json.dumps(line) + "\n")


def train(cfg: dict[str, Any], torch_compile: bool, threads: int, seconds_limit: float) -> Path:
    """Train with a composed configuration tree and return the path of ``metrics.jsonl``."""
    register_env(
        ENV_NAME,
        lambda num_actors, seed=0, **_: make(
            cfg["task_name"], num_actors, "cpu", seed, cfg["task"], cfg["num_threads"] or None
        ),
    )
    vecenv.register(
        "MANYBODY",
        lambda config_name, num_actors, **kwargs: RLGamesVecEnv(create_vec_env(config_name, num_actors, **kwargs)),
    )
    env_configurations.register(ENV_NAME, {"vecenv_type": "MANYBODY", "env_creator": None})
    params = cfg["train"]["params"]
    params["torch_threads"] = threads
    params["config"]["torch_compile"] = torch_compile
    params["config"]["env_config"] = {"seed": params["seed"]}
    record = {"library": f"rl-games {version('rl-games')}", **cfg, "params": params}
    observer = MetricsObserver(record, seconds_limit)
    runner = Runner(observer)
    runner.load({"params": params})
    runner.run({"train": True, "play": False})
    return observer.file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as for manybody train: task=Ant seed=1 ...")
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=True, help="RL Games' torch_compile"
    )
    parser.add_argument("--threads", type=int, default=cores(), help="threads of torch (intra-op)")
    parser.add_argument(
        "--seconds-limit", type=float, default=float("inf"), help="stop after the first epoch that ends later"
    )
    options = parser.parse_intermixed_args()
    file = train(compose(options.overrides), options.compile, options.threads, options.seconds_limit)
    print(f"metrics: {file}")


if __name__ == "__main__":
    main()
