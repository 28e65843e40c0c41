"""Off-screen rendering of a model with MuJoCo's renderer, also on machines without a display.

This module selects the OpenGL library when the first frame is rendered, and calls the ``mjv`` and ``mjr`` functions
that ``mujoco.Renderer`` wraps. ``mujoco.Renderer`` selects the library when ``mujoco`` is imported, where a missing
library would stop a training (see :mod:`manybody.sim`).
"""

import contextlib
import copy
import ctypes
import importlib
import math
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from manybody.config.errors import ManybodyError
from manybody.sim import mujoco

Frame = np.ndarray
"""``(height, width, 3)`` uint8, RGB."""
INSTALL_GL = "install an off-screen OpenGL library (Debian/Ubuntu: apt-get install libegl1 libgl1-mesa-dri)"
SHADOW_MAP = 1024
"""Side of the shadow map, texels. MuJoCo's 4096 halves the frame rate on a CPU and looks the same."""
OVERSAMPLING = 2
"""Samples per pixel along each axis, against flickering edges of thin limbs. On a CPU, averaging a larger picture takes
about half the time of MuJoCo's multisampling."""
CAMERA_AZIMUTH, CAMERA_ELEVATION = 120.0, -18.0
"""Three-quarter view of a robot that walks along +x, from slightly above, degrees."""
MUJOCOS_DIRECTION = (90.0, -45.0)
"""Azimuth and elevation of a model that sets none, degrees."""
FRAMING = 1.25
"""Distance of the camera, as a multiple of the distance at which the robot fills the height of the frame."""
BACKENDS = ("egl", "osmesa", "glfw", "cgl")
"""Modules of ``mujoco`` that ``MUJOCO_GL`` can name."""
DEFAULT_BACKEND = ("", "enable", "enabled", "on", "true", "1", "glx", "wgl")
"""Values of ``MUJOCO_GL`` that leave the choice to MuJoCo."""


class VideoError(ManybodyError, RuntimeError):
    """No video can be made; the message names the missing part."""


@contextmanager
def offscreen(
    model: mujoco.MjModel, size: tuple[int, int]
) -> Iterator[Callable[[np.ndarray, mujoco.MjvCamera], Frame]]:
    """Yield a function that renders qpos ``(nq,)``, seen by a camera, to a frame of ``size`` (width, height, pixels).

    Raises:
        VideoError: there is no OpenGL library, or it does not start.
    """
    n = OVERSAMPLING
    width, height = (n * side for side in size)
    model = copy.copy(model)
    model.vis.global_.offwidth, model.vis.global_.offheight = width, height
    model.vis.quality.offsamples, model.vis.quality.shadowsize = 0, SHADOW_MAP
    data, rectangle = mujoco.MjData(model), mujoco.MjrRect(0, 0, width, height)
    scene, option, mark = mujoco.MjvScene(model, 10_000), mujoco.MjvOption(), mujoco.MjvPerturb()
    # Reflections render everything twice, which takes a third of the time.
    scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
    with _gl_context(model, width, height) as context:
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, context)
        pixels = np.empty((height, width, 3), np.uint8)

        def draw(position: np.ndarray, camera: mujoco.MjvCamera) -> Frame:
            data.qpos[:] = position
            mujoco.mj_fwdPosition(model, data)
            mujoco.mjv_updateScene(model, data, option, mark, camera, mujoco.mjtCatBit.mjCAT_ALL.value, scene)
            mujoco.mjr_render(rectangle, scene, context)
            mujoco.mjr_readPixels(pixels, None, rectangle, context)
            upright = pixels[::-1].astype(np.uint16)
            samples = (upright[row::n, column::n] for row in range(n) for column in range(n))
            return (np.asarray(sum(samples)) // n**2).astype(np.uint8)

        yield draw


@contextmanager
def _gl_context(model: mujoco.MjModel, width: int, height: int) -> Iterator[mujoco.MjrContext]:
    """Yield an off-screen MuJoCo context of the backend of this machine."""
    backend, window = gl_backend(), None
    try:
        try:
            window = importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
            window.make_current()
            context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        except Exception as error:  # PyOpenGL raises many types: ImportError, AttributeError, TypeError, its own
            reason = f"{type(error).__name__}: {error}"
            raise VideoError(f"OpenGL ({backend}) does not start ({reason}); {_remedy(backend)}") from error
        yield context
        context.free()
    finally:
        if window is not None:
            window.free()


def _remedy(backend: str) -> str:
    """Return the advice for a ``backend`` that does not start."""
    requested = os.environ.get("PYOPENGL_PLATFORM", "").lower()
    if backend in ("egl", "osmesa") and requested not in ("", backend):
        return f"unset PYOPENGL_PLATFORM, which selects {requested!r}"
    first = {
        "glfw": "glfw needs a display; without one, unset MUJOCO_GL and ",
        "osmesa": "install libosmesa6, or unset MUJOCO_GL and ",
    }
    return first.get(backend, "") + INSTALL_GL


def gl_backend() -> str:
    """Return the module of ``mujoco`` for OpenGL: the one that ``MUJOCO_GL`` names, else the first available.

    Raises:
        VideoError: ``MUJOCO_GL`` is invalid or switches rendering off, or there is no library.
    """
    requested = os.environ.get("MUJOCO_GL", "").strip().lower()
    if requested in BACKENDS:
        return requested
    if requested not in DEFAULT_BACKEND:
        expected = f"expected one of {', '.join(BACKENDS)}. Without it, the machine decides"
        raise VideoError(f"MUJOCO_GL: got {requested!r}; {expected}")
    if platform.system() != "Linux":
        return "cgl" if platform.system() == "Darwin" else "glfw"
    for backend, library in (("egl", "libEGL.so.1"), ("osmesa", "libOSMesa.so.8"), ("osmesa", "libOSMesa.so")):
        with contextlib.suppress(OSError):
            ctypes.CDLL(library)
            return backend
    raise VideoError(f"neither libEGL nor libOSMesa is on this machine; {INSTALL_GL}")


def views(
    model: mujoco.MjModel, clip: np.ndarray, fps: float, camera: str, size: tuple[int, int]
) -> list[mujoco.MjvCamera]:
    """Return a camera for each of the K frames of ``clip`` ``(K, nq)``, rendered at ``size`` (width, height).

    If the model has no ``camera``, the camera is the model's default (MJCF: ``visual/global``, ``cameraid``), or else a
    free camera in the direction of ``visual/global`` (``azimuth``, ``elevation``).
    """
    overall = model.vis.global_
    named = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera)
    if named < 0:
        named = overall.cameraid
    if named >= 0:
        view = mujoco.MjvCamera()
        view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, named
        return [view] * len(clip)
    points, distance = camera_path(model, clip, fps)
    views = []
    for point in points:
        view = mujoco.MjvCamera()
        view.lookat[:] = point
        view.distance = distance / min(1.0, size[0] / size[1])  # the field of view is that of the height
        view.azimuth, view.elevation = overall.azimuth, overall.elevation
        if (overall.azimuth, overall.elevation) == MUJOCOS_DIRECTION:
            view.azimuth, view.elevation = CAMERA_AZIMUTH, CAMERA_ELEVATION
        views.append(view)
    return views


def camera_path(model: mujoco.MjModel, qpos: np.ndarray, fps: float) -> tuple[np.ndarray, float]:
    """Compute the path of a camera that follows the model's first body through a clip.

    The camera does not move for a robot that stays within its diameter. Otherwise it follows the robot's path, smoothed
    over half a second so that a bouncing gait does not shake the picture; at a jump of more than the diameter between
    two frames (a reset) the camera jumps too.

    Args:
        model: the model; body 1 is the root of the robot.
        qpos: ``(K, nq)`` positions.
        fps: frames per second of ``qpos``.

    Returns:
        ``(K, 3)`` points to look at (metres, world) and the camera's distance from them (metres).
    """
    data = mujoco.MjData(model)
    root = min(1, model.nbody - 1)
    limbs = np.flatnonzero((model.body_rootid[model.geom_bodyid] == root) & (model.geom_rbound > 0))
    path, radius = np.empty((len(qpos), 3)), 0.0
    for k, position in enumerate(qpos):
        data.qpos[:] = position
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        path[k] = data.subtree_com[root]
        reach = np.linalg.norm(data.geom_xpos[limbs] - path[k], axis=1) + model.geom_rbound[limbs]
        radius = max(radius, float(reach.max(initial=0.0)))
    radius = radius or float(model.stat.extent) / 2
    low, high = path.min(axis=0), path.max(axis=0)
    travel = float(np.linalg.norm(high - low))
    if travel <= 2 * radius:
        path[:] = (low + high) / 2
        radius += travel / 2
    else:
        cuts = np.flatnonzero(np.linalg.norm(np.diff(path, axis=0), axis=1) > 2 * radius) + 1
        path = np.concatenate([_smooth(part, max(1, round(fps / 4))) for part in np.split(path, cuts)])
    return path, FRAMING * radius / math.tan(math.radians(float(model.vis.global_.fovy)) / 2)


def _smooth(path: np.ndarray, half: int) -> np.ndarray:
    """Average a ``(K, 3)`` path over ``2·half + 1`` frames; repeat its first and last point beyond the ends."""
    padded = np.pad(path, ((half, half), (0, 0)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0).mean(axis=-1)
