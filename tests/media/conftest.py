import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def gl() -> None:
    """Skips where a process cannot draw; asked in a process of its own, for a bad driver may crash."""
    code = """
from manybody.media.renderer import offscreen
from manybody.sim import mujoco
with offscreen(mujoco.MjModel.from_xml_string("<mujoco/>"), (8, 8)):
    pass
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    if asked.returncode:
        pytest.skip(f"no OpenGL: {(asked.stderr.strip() or str(asked.returncode)).splitlines()[-1]}")
