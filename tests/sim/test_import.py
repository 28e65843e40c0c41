"""``mujoco`` is imported whatever the variables of rendering say."""

import os
import subprocess
import sys

import pytest

CODE = """
import os
from manybody.sim import mujoco
import mujoco.batch
mujoco.mj_step(model := mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.MjData(model))
print(os.environ["MUJOCO_GL"], os.environ.get("PYOPENGL_PLATFORM"))
"""


@pytest.mark.parametrize("backend", ["nonsense", "osmesa"])
def test_a_rendering_library_that_cannot_be_loaded_stops_nobody(backend):
    environment = {name: value for name, value in os.environ.items() if name != "PYOPENGL_PLATFORM"}
    environment |= {"MUJOCO_GL": backend, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The variables are as they were, for the process that renders. OSMesa may be there: then MuJoCo has set the other.
    assert done.stdout.split()[0] == backend and done.stdout.split()[1] in ("None", "osmesa")
