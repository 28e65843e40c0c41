"""The motion of a policy as a clip."""

from typing import Any

import torch
from torch import Tensor

from manybody.envs.base import Step
from manybody.motion.clip import Clip
from manybody.motion.errors import MotionError
from manybody.tasks.articulation import Articulation


def record_motion(player: Any, seconds: float, licence: str) -> Clip:
    """Let ``player`` act in its environment 0 and keep how it moves, until its first episode there ends.

    Args:
        player: a restored player of a task with an :class:`~manybody.tasks.articulation.Articulation` as its ``body``.
        seconds: how long at most.
        licence: who made the motion and what may be done with it.

    Raises:
        MotionError: the task has no such body, or the episode ended at once.
    """
    env = player.env
    body = getattr(env, "body", None)
    if not isinstance(body, Articulation):
        expected = "a task whose body is made of ball joints and hinges, such as HumanoidAMP"
        raise MotionError("task", type(env).__name__, expected)
    frames: list[Tensor] = []

    def watch(step: Step) -> bool:
        if bool(step.done[0]):  # the simulator is in the next episode already
            return True
        frames.append(env.sim.qpos[0].clone())
        return len(frames) > seconds / env.dt

    player.run(on_step=watch, quiet=True)
    if len(frames) < 2:
        raise MotionError("policy", "an episode that ended at once", "one of two steps or more", "Train longer.")
    qpos = torch.stack(frames)
    offsets = body.offsets.clone()
    offsets[0] = 0.0
    return Clip(
        fps=1 / env.dt,
        body_names=body.body_names,
        parents=body.parents,
        local_rotations=body.local_rotations(qpos).cpu().numpy(),
        root_translation=qpos[:, :3].cpu().numpy(),
        licence=licence,
        offsets=offsets.cpu().numpy(),
    )
