"""Batched physics: the ``Simulation`` protocol and its backends. Other modules import ``mujoco`` from here."""

import contextlib
import os
from collections.abc import Iterator

__all__ = ["mujoco"]


@contextlib.contextmanager
def _rendering_off() -> Iterator[None]:
    """Import ``mujoco`` without OpenGL in the block; restore the environment variables afterwards."""
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
# On import, MuJoCo loads the OpenGL library that MUJOCO_GL names. Physics works without it; manybody.media.renderer
# reads the variable again and reports the error.
try:
    import mujoco
except Exception:
    if not _ASKED["MUJOCO_GL"]:
        raise
    with _rendering_off():
        import mujoco
