"""Physics on the CPU: ``mujoco.batch`` steps all environments with a pool of threads."""

import ctypes
import os
from typing import Any

import numpy as np
import torch
from mujoco.batch import Batch
from torch import Tensor

from manybody.sim import mujoco

MAX_SPEED = 500.0
"""Limit of velocities (m/s, rad/s); above it the integration has diverged. The Ant's joints reach 150 rad/s."""
MAX_POSITION = 1.0e6
"""Limit of positions (m, rad), where the resolution of float32 is 6 cm."""

_IN_THE_BATCH = ("_batch", "_rows", "_qpos", "_qvel", "_ctrl", "_warnings", "_sensordata")
"""Attributes that share memory with MuJoCo; :meth:`MujocoCpu.close` deletes all of them."""

_DIVERGED = [
    mujoco.mjtWarning.mjWARN_BADQPOS.value,
    mujoco.mjtWarning.mjWARN_BADQVEL.value,
    mujoco.mjtWarning.mjWARN_BADQACC.value,
]

_STOPPED_CLOCK = ctypes.CFUNCTYPE(ctypes.c_double)(("PyFloat_GetMin", ctypes.pythonapi))
"""A clock for MuJoCo: a C function that needs no lock and returns a constant. MuJoCo reads its clock thirty times per
step for ``MjData.timer``, which takes a tenth of the Ant's step and cannot be switched off."""


class MujocoCpu:
    """``Simulation`` on ``mujoco.batch.Batch``, a persistent thread pool inside MuJoCo.

    Each environment is one row of float64 integration state (``mjSTATE_INTEGRATION``: time, qpos, qvel,
    activations, solver warm start, controls, applied forces), so a saved row is the complete state.
    ``mujoco.rollout``, the other batched interface of MuJoCo, does not return the warm start.

    MuJoCo resets an environment whose state becomes NaN, infinite or larger than 1e10 to ``qpos0`` within the step and
    only counts a warning. In ``finite``, such an environment is false.
    """

    def __init__(self, model: mujoco.MjModel, num_envs: int, num_threads: int | None = None) -> None:
        self.model = model
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        self.num_threads = min(num_threads or _usable_cores(), num_envs)
        # MuJoCo's default handler writes MUJOCO_LOG.TXT to the working directory; `finite` reports the same.
        mujoco.set_mju_user_warning(lambda message: None)
        if mujoco.get_mjcb_time() is None:  # no other code has set a clock
            mujoco.set_mjcb_time(_STOPPED_CLOCK)
        self._batch = Batch(model, num_envs, self.num_threads)
        self._rows = torch.from_numpy(self._batch.state)  # (N, nstate) float64, shared with MuJoCo
        self._qpos = torch.from_numpy(self._batch.bind("qpos"))
        self._qvel = torch.from_numpy(self._batch.bind("qvel"))
        self._ctrl = torch.from_numpy(self._batch.bind("ctrl"))
        self._warnings = torch.from_numpy(self._batch.warning)  # (N, number of warnings, 2): last info, count
        self._sensordata = self._batch.bind("sensordata") if model.nsensordata else None
        self.qpos = self._qpos.float()
        self.qvel = self._qvel.float()
        self.ctrl = torch.zeros(num_envs, model.nu)
        self.sensordata = torch.zeros(num_envs, model.nsensordata)
        self.finite = torch.ones(num_envs, dtype=torch.bool)
        self._pristine = self._rows[0].clone()

    def step(self, substeps: int) -> None:
        """See ``Simulation.step``."""
        self._ctrl.copy_(self.ctrl)
        self._warnings.zero_()
        self._batch.step(nstep=substeps)
        self._refresh()
        if self._sensordata is not None:
            np.copyto(self.sensordata.numpy(), self._sensordata)
        diverged = self._warnings[:, _DIVERGED, 1].any(dim=1)
        # A comparison with NaN is false, so NaN counts as out of bounds.
        bounded = (self.qvel.abs() <= MAX_SPEED).all(dim=1) & (self.qpos.abs() <= MAX_POSITION).all(dim=1)
        torch.logical_and(bounded, ~diverged, out=self.finite)

    def reset(self, mask: Tensor, qpos: Tensor, qvel: Tensor) -> None:
        """See ``Simulation.reset``."""
        for name, values, wanted in (("qpos", qpos, self.qpos), ("qvel", qvel, self.qvel)):
            if values.shape != wanted.shape:
                raise ValueError(
                    f"sim.reset: {name}: got shape {tuple(values.shape)}; expected {tuple(wanted.shape)}: one row for "
                    "every environment; the rows in the mask are used"
                )
        # Few environments are reset in one step: `where` over whole rows of a thousand bytes would take 2 ms.
        # The row sets time, activations, warm start and controls as in a new MjData.
        self._rows[mask] = self._pristine
        for exact, rounded, values in (
            (self._qpos, self.qpos, qpos[mask]),
            (self._qvel, self.qvel, qvel[mask]),
        ):
            exact[mask] = values.double()
            rounded[mask] = values
        self.sensordata[mask] = 0.0
        self.finite[mask] = True

    def state(self) -> dict[str, Tensor]:
        """See ``Simulation.state``."""
        return {
            "rows": self._rows.clone(),
            "sensordata": self.sensordata.clone(),
            "finite": self.finite.clone(),
        }

    def set_state(self, state: dict[str, Tensor]) -> None:
        """See ``Simulation.set_state``."""
        mine = {"rows": self._rows, "sensordata": self.sensordata, "finite": self.finite}
        for name, target in mine.items():
            if name not in state or state[name].shape != target.shape:
                got = "nothing" if name not in state else f"shape {tuple(state[name].shape)}"
                raise ValueError(
                    f"simulator state '{name}': got {got}; expected shape {tuple(target.shape)}. "
                    "It was saved with another model or another number of environments"
                )
        for name, target in mine.items():
            target.copy_(state[name])
        self._refresh()

    def close(self) -> None:
        """See ``Simulation.close``."""
        for name in _IN_THE_BATCH:  # the threads end with the last view of the batch
            self.__dict__.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        """Report the use of a simulation after ``close``."""
        if name in _IN_THE_BATCH:
            raise RuntimeError("this simulation was closed; create the environments again")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def _refresh(self) -> None:
        self.qpos.copy_(self._qpos)
        self.qvel.copy_(self._qvel)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
