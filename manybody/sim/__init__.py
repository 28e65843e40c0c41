"""Batched physics: the ``Simulation`` protocol and its backends, and ``mujoco`` itself for the rest of the package."""

import contextlib
import os
from collections.abc import Iterator

__all__ = ["mujoco"]


@contextlib.contextmanager
def _rendering_off() -> Iterator[None]:
    """While the block runs, ``mujoco`` loads no OpenGL; afterwards the environment is as ``_ASKED`` has it."""
    os.environ["MUJOCO_GL"] = "disable"
    try:
        yield
    finally:
        for name, value in _ASKED.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_ASKED = {name: os.environ.get(name) for name in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
# MuJoCo loads the OpenGL library that MUJOCO_GL names while it is imported. Where that fails, physics works without:
# who wants pictures gets the error from manybody.media.renderer, which reads the variable again.
try:
    import mujoco
except Exception:
    if not _ASKED["MUJOCO_GL"]:
        raise
    with _rendering_off():
        import mujoco
