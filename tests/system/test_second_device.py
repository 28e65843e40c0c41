"""Run ``second_device_cases.py`` in a process that registers the second device before any backward pass."""

import os
import subprocess
import sys
from pathlib import Path

CASES = Path(__file__).parents[1] / "helpers" / "second_device_cases.py"


def test_every_algorithm_trains_on_a_second_device():
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", str(CASES)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=CASES.parents[2], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and "100%" in done.stdout, done.stdout[-6000:] + done.stderr[-2000:]
