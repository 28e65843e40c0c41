"""An environment that counts, and what a single copy of it gives, step by step."""

import gymnasium
import numpy as np
from gymnasium import spaces

LOW = 5
"""Where its actions start."""


class Counting(gymnasium.Env):
    """Observes (episode, step); its action, 5, 6 or 7, is part of the reward.

    Episode e has ``length + e % 2`` steps; even ones end by themselves, odd ones are cut short. Nothing is random.

    Args:
        length: of the first episode.
        masks: tell in the infos that only the action of number (episode + step) mod 3 is allowed.
        in_observation: put the mask into the observation.
    """

    def __init__(self, length=3, masks=False, in_observation=False):
        self.length, self.masks, self.in_observation = length, masks, in_observation
        self.action_space = spaces.Discrete(3, start=LOW)
        self.observation_space = spaces.Box(-1.0, 1000.0, (2,), np.float64)
        if in_observation:
            parts = {"observation": self.observation_space, "action_mask": spaces.MultiBinary(3)}
            self.observation_space = spaces.Dict(parts)
        self.episode = -1

    def _mask(self):
        return (np.arange(3) == (self.episode + self.count) % 3).astype(np.int8)

    def _obs(self):
        obs = np.array([self.episode, self.count], np.float64)
        return {"observation": obs, "action_mask": self._mask()} if self.in_observation else obs

    def _info(self):
        return {"action_mask": self._mask()} if self.masks else {}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.count = self.episode + 1, 0
        return self._obs(), self._info()

    def step(self, action):
        assert self.action_space.contains(action), action
        assert self.count < self.length + self.episode % 2, "a step after the end"
        self.count += 1
        over, odd = self.count == self.length + self.episode % 2, self.episode % 2 == 1
        return self._obs(), self.count + 0.125 * int(action), over and not odd, over and odd, self._info()


def plain(length, actions):
    """What one copy gives for ``actions`` (0, 1, 2): per step obs, reward, terminated, truncated, final_obs."""
    env = Counting(length)
    env.reset()
    rows = []
    for action in actions:
        obs, reward, terminated, truncated, _ = env.step(np.int64(LOW + action))
        last = None
        if terminated or truncated:
            last, (obs, _) = obs.tolist(), env.reset()
        rows.append((obs.tolist(), reward, terminated, truncated, last))
    return rows
