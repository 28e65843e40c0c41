"""``Simulation``: N copies of one MuJoCo model stepped together, and the choice of a backend by device."""

from typing import Protocol

import torch
from torch import Tensor

from manybody.sim import mujoco


class Simulation(Protocol):
    """Batched physics behind tensors. Tasks read ``qpos``, ``qvel`` and ``sensordata`` and write ``ctrl``.

    The tensors are allocated once and changed in place by ``step``, ``reset`` and ``set_state``: copy values that are
    used later. Quaternions in ``qpos`` are wxyz; a free joint's ``qvel`` is the linear velocity in the world frame
    (m/s), then the angular velocity in the body frame (rad/s), as in MuJoCo.
    """

    num_envs: int
    device: torch.device
    model: mujoco.MjModel
    """The model of every environment."""
    qpos: Tensor
    """(N, nq) float32, generalised positions: m, rad, unit quaternions."""
    qvel: Tensor
    """(N, nv) float32, generalised velocities: m/s, rad/s."""
    sensordata: Tensor
    """(N, ns) float32, the sensors *before* the last substep's integration (as after MuJoCo's ``mj_step``); zero from a
    reset until the next step."""
    ctrl: Tensor
    """(N, nu) float32, actuator controls, written by the task before ``step``."""
    finite: Tensor
    """(N,) bool: the environment's state was finite and within bounds in the last ``step``."""

    def step(self, substeps: int) -> None:
        """Advance every environment by ``substeps`` time steps of ``model.opt.timestep`` s with constant ``ctrl``."""

    def reset(self, mask: Tensor, qpos: Tensor, qvel: Tensor) -> None:
        """Restart the environments in ``mask`` (N,) bool from ``qpos`` (N, nq) and ``qvel`` (N, nv) at time 0."""

    def state(self) -> dict[str, Tensor]:
        """Return a copy of the exact integration state (float64, including the warm start) for ``set_state``."""

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Restore ``state`` exactly.

        Raises:
            ValueError: a tensor is missing or has another shape (other model, other number of environments).
        """

    def close(self) -> None:
        """Release threads and memory."""


DEVICES = ("cpu",)
"""Devices with a backend."""
NO_BACKEND = f"expected {' or '.join(map(repr, DEVICES))}, where physics runs. rl_device (the learner) may be another"
"""What follows ``got <device>;`` in an error."""


def make_simulation(
    model: mujoco.MjModel, num_envs: int, device: str | torch.device = "cpu", num_threads: int | None = None
) -> Simulation:
    """Create the simulation backend for ``device``.

    Args:
        model: the compiled model, with ``opt.timestep`` and ``opt.gravity`` already set.
        num_envs: N.
        device: ``'cpu'`` is the only backend.
        num_threads: worker threads of the CPU backend; None uses every core that the process may use.

    Raises:
        ValueError: there is no backend for that device, or ``num_envs`` is below 1.
    """
    if num_envs < 1:
        raise ValueError(f"num_envs: got {num_envs}; expected at least 1")
    if str(device) not in DEVICES:
        raise ValueError(f"sim_device: got '{device}'; {NO_BACKEND}")
    from manybody.sim.mujoco_cpu import MujocoCpu

    return MujocoCpu(model, num_envs, num_threads)
