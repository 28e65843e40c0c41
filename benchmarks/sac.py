"""Train SAC on Gymnasium's Pendulum-v1 or HalfCheetah-v5 and evaluate the last policy over 100 episodes.

    python benchmarks/sac.py Pendulum-v1                            20,000 frames; bar: a mean of at least -160
    python benchmarks/sac.py HalfCheetah-v5 --seconds-limit 36000   1,000,000 frames; bar: at least 10,000

HalfCheetah uses the hyper-parameters of RL Games 1.6.5 for HalfCheetah-v4 (configs/mujoco/
sac_halfcheetah_envpool.yaml: 32 environments, one gradient step per frame); its documentation reports 11,140 +- 665
over three seeds. This needs gymnasium[mujoco]. Pendulum uses one environment, one gradient step per frame and small
networks.

The run folder contains checkpoints, metrics.jsonl and the learning curve, curve.png. --checkpoint <run folder> resumes
a run that its time limit stopped.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from recording import Recorder, machine

from manybody.engine.observers import DefaultAlgoObserver, MultiObserver
from manybody.media.learning_curve import plot_curve
from manybody.runner import Runner

GAMES = 100
"""Number of evaluation episodes."""
BARS = {"Pendulum-v1": -160.0, "HalfCheetah-v5": 10_000.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "Pendulum-v1": {
        "units": [64, 64],
        "config": {
            "num_actors": 1,
            "max_frames": 20_000,
            "num_steps_per_episode": 200,
            "num_warmup_frames": 1_000,
            "replay_buffer_size": 20_000,
            "actor_lr": 1e-3,
            "critic_lr": 1e-3,
            "alpha_lr": 1e-3,
            "policy_frequency": 1,
            "save_frequency": 25,
        },
    },
    "HalfCheetah-v5": {
        "units": [256, 256],
        "config": {
            "num_actors": 32,
            "max_frames": 1_000_000,
            "num_steps_per_episode": 32,
            "num_updates_per_step": 32,
            "num_warmup_frames": 5_000,
            "replay_buffer_size": 1_000_000,
            "normalize_input": True,
            "actor_lr": 3e-4,
            "critic_lr": 1e-3,
            "alpha_lr": 3e-4,
            "policy_frequency": 2,
            "save_frequency": 50,
            "save_replay_buffer": True,
            "keep_checkpoints": 2,
        },
    },
}


def params(env_name: str, seed: int, train_dir: str) -> dict[str, Any]:
    """Return the argument of ``Runner.load``."""
    settings = SETTINGS[env_name]
    return {
        "params": {
            "seed": seed,
            "torch_threads": 1,  # a second thread does not speed up small networks
            "algo": {"name": "sac"},
            "model": {"name": "soft_actor_critic"},
            "network": {
                "name": "soft_actor_critic",
                "mlp": {"units": settings["units"], "activation": "relu"},
                "log_std_bounds": [-5, 2],
            },
            "config": {
                "name": env_name,
                "env_name": env_name,
                "gamma": 0.99,
                "critic_tau": 0.005,
                "batch_size": 256,
                "save_best_after": 1_000_000,  # only the last policy is evaluated
                "train_dir": train_dir,
                "player": {"games_num": GAMES},
                **settings["config"],
            },
        }
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("env_name", choices=SETTINGS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds-limit", type=float, default=float("inf"), help="no epoch starts later")
    parser.add_argument("--train-dir", default="runs")
    parser.add_argument("--checkpoint", help="run folder to resume")
    options = parser.parse_args()
    print(f"{machine()}\npython {' '.join(sys.argv)}")
    config = params(options.env_name, options.seed, options.train_dir)
    runner = Runner(MultiObserver([DefaultAlgoObserver(), Recorder(options.seconds_limit)]))
    runner.load(config)
    start = time.perf_counter()
    agent = runner.run({"train": True, "checkpoint": options.checkpoint})
    seconds = time.perf_counter() - start
    folder = Path(agent.run.folder.path)
    player = runner.create_player(agent.vec_env)
    player.restore(str(agent.run.folder.newest()))
    result = player.run(quiet=True)
    plot_curve(folder, folder / "curve.png")
    verdict = "reached" if result.mean_reward >= BARS[options.env_name] else "missed"
    print(
        f"{options.env_name}: {result.mean_reward:.1f} +- {result.std_reward:.1f} over {result.games} episodes after "
        f"{agent.frame} frames, {agent.update_counter} gradient steps and {seconds:.0f} s; "
        f"bar {BARS[options.env_name]:.0f}: {verdict}. {folder}"
    )


if __name__ == "__main__":
    main()
