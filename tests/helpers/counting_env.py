"""Environments that count steps: one for Gymnasium, with the expected output of one copy, and one for PettingZoo."""

import gymnasium
import numpy as np
from gymnasium import spaces

LOW = 5
"""The first action of ``Counting``."""


class Counting(gymnasium.Env):
    """The observation is (episode, step); the action, 5, 6 or 7, is part of the reward.

    Episode e has ``length + e % 2`` steps; even episodes terminate, odd ones are truncated. Nothing is random.

    Args:
        length: steps of the first episode.
        masks: add a mask to the infos that allows only action (episode + step) mod 3.
        in_observation: add the mask to the observation.
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


def reference_rows(length, actions):
    """Step one copy with ``actions`` (0, 1, 2); return obs, reward, terminated, truncated, final_obs of each step."""
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


class Fading:
    """A PettingZoo ``ParallelEnv`` in which agent k of three leaves after 2 + k steps; the last one is truncated.

    Agent k observes (k + 1, step) and its reward is k + 1 in every step. The shared state is (step, agents left).
    """

    def __init__(self, masked=False):
        self.possible_agents = ["a", "b", "c"]
        self.agents = []
        self.masked = masked
        self.state_space = spaces.Box(0.0, 9.0, (2,))
        self.closed, self.seed = False, None
        self.received = []

    def observation_space(self, agent):
        box = spaces.Box(0.0, 9.0, (2,))
        return spaces.Dict({"observation": box, "action_mask": spaces.MultiBinary(3)}) if self.masked else box

    def action_space(self, agent):
        return spaces.Discrete(3)

    def _obs(self, agents):
        obs = {x: np.array([self.possible_agents.index(x) + 1, self.t], np.float32) for x in agents}
        mask = np.array([0, 1, 1], np.int8)
        return {x: {"observation": y, "action_mask": mask} for x, y in obs.items()} if self.masked else obs

    def reset(self, seed=None, options=None):
        self.t, self.agents, self.seed = 0, list(self.possible_agents), seed
        return self._obs(self.agents), {x: {} for x in self.agents}

    def step(self, actions):
        assert sorted(actions) == self.agents
        self.received.append(dict(actions))
        self.t += 1
        acting = self.agents
        over = {x: self.t == 2 + k for k, x in enumerate(self.possible_agents) if x in acting}
        self.agents = [x for x in acting if not over[x]]
        rewards = {x: float(self.possible_agents.index(x) + 1) for x in acting}
        terminations = {x: over[x] and x != "c" for x in acting}
        truncations = {x: over[x] and x == "c" for x in acting}
        return self._obs(acting), rewards, terminations, truncations, {x: {} for x in acting}

    def state(self):
        return np.array([self.t, len(self.agents)], np.float32)

    def close(self):
        self.closed = True
