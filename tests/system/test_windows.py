"""The command trains without the modules and functions that Windows lacks."""

import subprocess
import sys

from manybody.engine.checkpoint import load_checkpoint
from manybody.engine.run_folder import RunFolder

SCRIPT = """
import os, signal, sys
for module in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[module] = None
del signal.SIGUSR1, os.sched_getaffinity, os.O_NOFOLLOW, os.pwrite

from manybody import cli
from manybody.engine.run_folder import RunFolder
from manybody.engine.signals import graceful_stop

size = "num_envs=8 train.params.config.minibatch_size=128 train.params.config.mini_epochs=1 max_iterations=1"
cli.main(f"train task=Cartpole {size} train.params.torch_threads=1 video=False experiment=a".split())
RunFolder.resume("runs/a").close()
with graceful_stop() as stop:
    signal.raise_signal(signal.SIGTERM)
assert stop.requested == signal.SIGTERM and stop.exit_code == 143
"""


def test_a_run_without_unix_modules(tmp_path):
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "SIGTERM: stopping after this epoch" in done.stderr
    assert load_checkpoint(RunFolder.open(tmp_path / "runs" / "a").newest())["epoch"] == 1
