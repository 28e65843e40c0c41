"""Small batched tasks with known optima that need a recurrent policy, masks, a central value or curiosity.

Importing this module registers them as ``env_name``: Recall, Market, DeepSea, Tide.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from manybody.envs.base import EnvSpec, Obs, Step, VecEnv
from manybody.envs.registration import register


class Batched(VecEnv):
    """N parallel episodes of ``length`` steps, then terminated, or truncated if ``timeout`` is set.

    Args:
        num_envs: N.
        spec: sizes and spaces.
        length: steps of an episode.
        seed: seed of all random numbers.
    """

    timeout = False

    def __init__(self, num_envs: int, spec: EnvSpec, length: int, seed: int) -> None:
        self.num_envs, self.spec, self.length = num_envs, spec, length
        self.device = torch.device("cpu")
        self.generator = torch.Generator().manual_seed(seed)
        self.rows = torch.arange(num_envs)
        self.steps = torch.zeros(num_envs, dtype=torch.long)
        self.state: dict[str, Tensor] = self.begin()

    @abstractmethod
    def begin(self) -> dict[str, Tensor]:
        """Return the initial state (N, ...) of episodes."""

    @abstractmethod
    def observe(self) -> Obs:
        """Return the observations of the current state."""

    @abstractmethod
    def act(self, actions: Tensor) -> Tensor:
        """Update ``state`` and return the rewards (N,); ``steps`` is the number of earlier steps."""

    def rand(self, *shape: int) -> Tensor:
        """Draw numbers uniformly from [0, 1)."""
        return torch.rand(shape, generator=self.generator)

    def draw(self, choices: int) -> Tensor:
        """Draw (N,) integers below ``choices``."""
        return torch.randint(choices, (self.num_envs,), generator=self.generator)

    def reset(self) -> Obs:
        """See :class:`VecEnv`."""
        self.steps = torch.zeros_like(self.steps)
        self.state = self.begin()
        return self.observe()

    def step(self, actions: Tensor) -> Step:
        """See :class:`VecEnv`."""
        reward = self.act(actions)
        self.steps = self.steps + 1
        ended, never = self.steps >= self.length, torch.zeros(self.num_envs, dtype=torch.bool)
        final_obs = self.observe()
        self.steps = torch.where(ended, 0, self.steps)
        fresh = self.begin()
        for name, old in self.state.items():
            self.state[name] = torch.where(ended.reshape(-1, *[1] * (old.ndim - 1)), fresh[name], old)
        over, cut = (never, ended) if self.timeout else (ended, never)
        return Step(self.observe(), reward, over, cut, final_obs, {})


def numbers(size: int) -> spaces.Box:
    """Return the space of vectors with ``size`` entries."""
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)


class Recall(Batched):
    """One of ``cues`` is observed, then nothing for ``delay`` steps; naming the cue in the last step has reward 1.

    A policy without a recurrent state cannot exceed 1 / cues on average.
    """

    def __init__(self, num_envs: int, delay: int = 4, cues: int = 4, seed: int = 0) -> None:
        self.cues = cues
        spec = EnvSpec(numbers(cues + 1), spaces.Discrete(cues))
        super().__init__(num_envs, spec, delay + 2, seed)

    def begin(self) -> dict[str, Tensor]:
        """See :class:`Batched`."""
        return {"cue": self.draw(self.cues)}

    def observe(self) -> Obs:
        """Return the cue in the first step, and a one in the last entry when the agent has to name it."""
        shown = torch.nn.functional.one_hot(self.state["cue"], self.cues) * (self.steps == 0).unsqueeze(1)
        asked = (self.steps == self.length - 1).unsqueeze(1)
        return {"obs": torch.cat([shown, asked], dim=1).float()}

    def act(self, actions: Tensor) -> Tensor:
        """See :class:`Batched`."""
        return ((actions == self.state["cue"]) & (self.steps == self.length - 1)).float()


class Market(Batched):
    """Each head sells one of several goods with prices in [0, 1]; if ``masked``, 30 % of them are forbidden.

    The reward of a step is the price of the sold good over the best allowed price, averaged over heads: the optimum is
    1 per step and ``length`` per episode. Only the mask contains the forbidden goods, not the observation.
    """

    def __init__(
        self,
        num_envs: int,
        heads: Sequence[int] = (8,),
        masked: bool = True,
        length: int = 8,
        seed: int = 0,
    ) -> None:
        self.heads, self.masked = tuple(heads), masked
        self.offsets = torch.tensor([0, *np.cumsum(self.heads)[:-1]])
        self.taken, self.forbidden_taken = 0, 0
        """Numbers of all choices and of forbidden choices."""
        action = spaces.Discrete(heads[0]) if len(self.heads) == 1 else spaces.MultiDiscrete(list(heads))
        super().__init__(num_envs, EnvSpec(numbers(sum(self.heads)), action), length, seed)

    def begin(self) -> dict[str, Tensor]:
        """See :class:`Batched`."""
        return self._offer()

    def _offer(self) -> dict[str, Tensor]:
        prices = self.rand(self.num_envs, sum(self.heads))
        if not self.masked:
            return {"prices": prices, "allowed": torch.ones_like(prices, dtype=torch.bool)}
        luck = self.rand(*prices.shape)
        allowed = [(part > 0.3) | (part == part.amax(dim=1, keepdim=True)) for part in luck.split(self.heads, 1)]
        return {"prices": prices, "allowed": torch.cat(allowed, dim=1)}

    def observe(self) -> Obs:
        """Return prices and mask."""
        masks = {"action_masks": self.state["allowed"]} if self.masked else {}
        return {"obs": self.state["prices"], **masks}

    def get_action_masks(self) -> Tensor | None:
        """See :class:`VecEnv`."""
        return self.state["allowed"] if self.masked else None

    def act(self, actions: Tensor) -> Tensor:
        """See :class:`Batched`."""
        chosen = actions.reshape(self.num_envs, -1) + self.offsets
        prices, allowed = self.state["prices"], self.state["allowed"]
        self.taken += chosen.numel()
        self.forbidden_taken += int((~allowed.gather(1, chosen)).sum())
        heads = prices.where(allowed, 0.0).split(self.heads, 1)
        best = torch.stack([head.amax(dim=1) for head in heads], dim=1)
        relative = prices.where(allowed, 0.0).gather(1, chosen) / best
        self.state = self._offer()
        return relative.mean(dim=1)


class DeepSea(Batched):
    """Osband et al. 2020 (arXiv 1908.03568): the diver sinks one row per step and has to move right in every step.

    A step to the right costs 0.01 / depth; the treasure in the last corner has reward 1: the optimum is 0.99. A random
    policy finds it in one of 2^depth episodes and learns to stay left before. The two actions are swapped in half of
    the cells, so that no constant action leads to the treasure.
    """

    def __init__(self, num_envs: int, depth: int = 16, seed: int = 0) -> None:
        self.depth = depth
        map_generator = torch.Generator().manual_seed(0)  # the map is the same for every seed
        self.right = torch.randint(2, (depth, depth), generator=map_generator)
        spec = EnvSpec(spaces.Box(0.0, 1.0, (depth * depth,), np.float32), spaces.Discrete(2))
        super().__init__(num_envs, spec, depth, seed)

    def begin(self) -> dict[str, Tensor]:
        """See :class:`Batched`."""
        return {"column": torch.zeros(self.num_envs, dtype=torch.long)}

    def observe(self) -> Obs:
        """Return the diver's cell as a one-hot vector of depth x depth; zeros after the last row."""
        place = torch.zeros(self.num_envs, self.depth * self.depth)
        row = self.steps.clamp_max(self.depth - 1)
        place[self.rows, row * self.depth + self.state["column"]] = (self.steps < self.depth).float()
        return {"obs": place}

    def act(self, actions: Tensor) -> Tensor:
        """See :class:`Batched`."""
        column = self.state["column"]
        right = actions == self.right[self.steps, column]
        found = right & (column == self.depth - 1)
        self.state["column"] = (column + right.long() * 2 - 1).clamp(0, self.depth - 1)
        return found.float() - right.float() * 0.01 / self.depth


class Tide(Batched):
    """Keep a boat at 0. The reward is a price, which only the critic observes, minus the squared distance.

    ``v <- 0.9 v + 0.1 u``, ``x <- x + v`` with the force u in [-1, 1]; the policy observes x and v. The price is
    constant in an episode, uniform on +-``price``, and independent of the actions: without it, a critic attributes the
    price to the actions.
    """

    timeout = True

    def __init__(self, num_envs: int, price: float = 4.0, length: int = 32, seed: int = 0) -> None:
        self.price = price
        self.cost = 1.0
        """Squared distance without the price, averaged over all boats and about the last hundred steps."""
        action = spaces.Box(-1.0, 1.0, (1,), np.float32)
        super().__init__(num_envs, EnvSpec(numbers(2), action, state_space=numbers(3)), length, seed)

    def begin(self) -> dict[str, Tensor]:
        """See :class:`Batched`."""
        x, price = 2.0 * self.rand(2, self.num_envs) - 1.0
        return {"x": x, "v": torch.zeros(self.num_envs), "price": self.price * price}

    def observe(self) -> Obs:
        """Return position and velocity; for the critic, also the price."""
        seen = torch.stack([self.state["x"], self.state["v"]], dim=1)
        return {"obs": seen, "states": torch.cat([seen, self.state["price"].unsqueeze(1)], dim=1)}

    def act(self, actions: Tensor) -> Tensor:
        """See :class:`Batched`."""
        self.state["v"] = 0.9 * self.state["v"] + 0.1 * actions[:, 0].clamp(-1.0, 1.0)
        self.state["x"] = (self.state["x"] + self.state["v"]).clamp(-5.0, 5.0)
        cost = self.state["x"].square()
        self.cost += 0.01 * (float(cost.mean()) - self.cost)
        return self.state["price"] - cost


def _register(name: str, task: type[Any]) -> None:
    register(name, lambda num_actors, seed=0, **config: task(num_actors, seed=seed or 0, **config))


for _task in (Recall, Market, DeepSea, Tide):
    _register(_task.__name__, _task)
