"""Tasks without their velocities: the policy must remember, or fail."""

import gymnasium
import numpy as np

from manybody.envs.base import EnvError

POSITIONS = {
    "CartPole": (1, 0, 1, 0),
    "Pendulum": (1, 1, 0),
    "LunarLander": (1, 1, 0, 0, 1, 0, 1, 1),
    "LunarLanderContinuous": (1, 1, 0, 0, 1, 0, 1, 1),
}
"""Family of Gymnasium ids to which entries of its observation are kept, as in RL Games' wrapper of this name; entries
as Gymnasium documents them."""


class MaskVelocityWrapper(gymnasium.ObservationWrapper):
    """Shows zero for every velocity of an observation.

    Args:
        env: one of the environments in :data:`POSITIONS`, of any version.

    Raises:
        EnvError: the velocities of this environment are not known.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        name = env.spec.id if env.spec else type(env).__name__
        family = name.rpartition("-v")[0]
        if family not in POSITIONS:
            raise EnvError(
                f"mask_velocity: which entries of {name!r} are velocities is not known; expected one of "
                f"{', '.join(POSITIONS)}, or a wrapper of your own"
            )
        self.mask = np.array(POSITIONS[family], dtype=env.observation_space.dtype)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """(O,) with zeros in place of velocities."""
        return observation * self.mask
