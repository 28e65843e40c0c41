"""The command ``manybody``."""

import os
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from manybody.cli.interrupts import exit_on_signal

COMMANDS = {
    "train": "manybody.train:main",
    "play": "manybody.play:main",
    "compare": "manybody.cli.compare:main",
    "import": "manybody.cli.checkpoint:import_main",
    "export": "manybody.cli.checkpoint:export_main",
    "tasks": "manybody.cli:list_tasks",
    "motion": "manybody.cli.motion:main",
}
"""Function of each command, which takes the arguments after the name."""

USAGE = """manybody: reinforcement learning for thousands of simulated robots at once

  manybody train task=Ant num_envs=4096 max_iterations=500 seed=7 experiment=walk1 ...
      Train. A task of your own is named by its module: task=my_tasks:MyRobot.
      Any key of the configuration tree can follow as key=value, e.g.
      train.params.config.learning_rate=1e-3; several values and --multirun run one after the other.
      checkpoint=<run folder> resumes that run, checkpoint=<file> starts a new one from it.
  manybody train --file some_rl_games.yaml [params.config.gamma=0.98 num_envs=64 max_iterations=10 seed=7 ...]
      Train what a plain RL Games file describes.
  manybody play [run folder | checkpoint] [task=Ant] [num_envs=64] [games_num=100] [deterministic=True] [video=True]
      Play a policy; without a path, the best one of the newest run (of the task). The settings are those of the run
      under those of the command line, whose keys are training's: seed=3, task.env.episodeLength=300, ...
      video.camera=side films with a camera of the task's model, video.seconds=10 for longer; also in training.
      manybody train test=True checkpoint=... is the same. --file some_rl_games.yaml: the configuration of a checkpoint
      that has no run folder.
  manybody compare RUN RUN ... [threshold=400] [picture=compare.png]
      Show the settings in which runs differ, the returns they reached and when, as a table and one picture. The
      folder of a sweep stands for all its runs.
  manybody import CHECKPOINT.pth [OUT] [CONFIG.yaml] [key=value ...]
      Take over a checkpoint of RL Games; with its YAML as a run folder that plays and trains on.
  manybody export CHECKPOINT.pth | RUN [OUT.pth] [--format rl_games]
      Write a checkpoint that RL Games 1.6 can play and resume.
  manybody tasks [Ant | my_tasks | my_tasks:MyRobot]
      List the tasks with their sizes, also those of a module of your own; or describe one task: its observations,
      actions, reward terms and terminations.
  manybody motion info | view | convert | record ...
      Describe, show, convert and record motion clips to imitate; see 'manybody motion help'.

Ctrl-C, SIGTERM: training stops after the epoch and saves; a second one stops at once, and so does the first one
before training or while playing. While a video is made, Ctrl-C skips the video. SIGUSR1: saves, and training continues.
Exit codes: 0 done; 2 the command, its configuration or a file that it names cannot be used; 3 the guard stopped
training because values stayed non-finite (the last good weights are saved); 130 and 143 after SIGINT and SIGTERM.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. Exits with 2 when the command or its configuration is wrong."""
    if arguments is None:
        find_modules_here()
    with exit_on_signal():
        _run(list(sys.argv[1:] if arguments is None else arguments))


def find_modules_here() -> None:
    """Add the current folder to Python's path, as ``python -m`` does and console scripts do not."""
    if not sys.flags.safe_path and not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())


def _run(arguments: list[str]) -> None:
    command, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    # Set before PyTorch loads OpenMP: waiting threads then sleep instead of spinning. Next to another busy process on
    # two cores, the speed is 1.6 times as high; alone, there is no difference.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if command in ("help", "--help", "-h") or ("--help" in rest and command not in ("import", "export", "motion")):
        print(USAGE, end="")
    elif command == "--version":
        from manybody import __version__

        print(__version__)
    elif command not in COMMANDS:
        *first, last = COMMANDS
        _refuse(f"manybody: no command {command!r}; expected {', '.join(first)} or {last}")
    elif command == "train" and not [text for text in rest if text not in ("--multirun", "-m")]:
        _refuse("train: expected what to train, such as 'manybody train task=Ant'")
    else:
        if command in ("train", "play"):
            print("manybody: loading ...", flush=True)  # PyTorch takes seconds to import
        pkgutil.resolve_name(COMMANDS[command])(rest)


def _refuse(message: str) -> NoReturn:
    print(f"{message}\n\n{USAGE}", end="", file=sys.stderr)
    raise SystemExit(2)


def list_tasks(names: Sequence[str]) -> None:
    """Describe the tasks in ``names``, or list all tasks, with those of the modules in ``names`` (``my_tasks``)."""
    from manybody.config.errors import did_you_mean
    from manybody.config.plugins import load_installed
    from manybody.config.tables import table
    from manybody.engine import console
    from manybody.tasks import TASKS, task_class, tasks_in

    load_installed()
    names = [name.removeprefix("import_modules=").strip("[]") for name in names]
    described = [name for name in names if name in TASKS or ":" in name]
    listed = dict(TASKS)
    try:
        for name in described:
            console.say(task_class(name).describe())
        for name in names:
            listed |= {} if name in described else tasks_in(name)
    except ValueError as error:
        console.error(f"tasks: {str(error).removeprefix('task: ')}{did_you_mean(name, TASKS)}")
        raise SystemExit(2) from None
    if described and len(described) == len(names):
        return
    rows = []
    for name, task in sorted(listed.items()):
        size = task.summary()
        episode = f"{size.episode_steps} steps, {size.episode_seconds:.1f} s"
        rows.append((name, size.observations, size.actions, size.num_envs, episode))
    console.say(table("", ("task", "observed", "actions", "num_envs", "episode"), rows))
    files = (Path(__file__).parents[1] / "cfg/task").glob("*.yaml")
    console.say(f"\nwith other settings: {', '.join(sorted(file.stem for file in files if file.stem not in TASKS))}")
