"""Small tasks with known optima, stepped in one batch of tensors: what a memory, a mask, a critic that sees more and
curiosity are good for. Importing this registers their names as ``env_name``: Recall, Market, DeepSea, Tide.
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
    """N episodes side by side, each of ``length`` steps, at whose end they are over (or, with ``timeout``, cut short).

    Args:
        num_envs: N.
        spec: sizes and spaces.
        length: steps of an episode.
        seed: of everything that is drawn.
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
        """The state (N, ...) that episodes begin with."""

    @abstractmethod
    def observe(self) -> Obs:
        """What there is to see."""

    @abstractmethod
    def act(self, actions: Tensor) -> Tensor:
        """Change ``state`` and give the rewards (N,); ``steps`` counts those before this one."""

    def rand(self, *shape: int) -> Tensor:
        """Uniform on [0, 1)."""
        return torch.rand(shape, generator=self.generator)

    def draw(self, choices: int) -> Tensor:
        """(N,) whole numbers below ``choices``."""
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
    """Any vector of ``size``."""
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)


class Recall(Batched):
    """One of ``cues`` is shown, then nothing for ``delay`` steps, then it has to be named: 1 if right.

    Without a memory nothing better than 1 / cues is possible.
    """

    def __init__(self, num_envs: int, delay: int = 4, cues: int = 4, seed: int = 0) -> None:
        self.cues = cues
        spec = EnvSpec(numbers(cues + 1), spaces.Discrete(cues))
        super().__init__(num_envs, spec, delay + 2, seed)

    def begin(self) -> dict[str, Tensor]:
        """See :class:`Batched`."""
        return {"cue": self.draw(self.cues)}

    def observe(self) -> Obs:
        """The cue at first; a one in the last entry when it is to be named."""
        shown = torch.nn.functional.one_hot(self.state["cue"], self.cues) * (self.steps == 0).unsqueeze(1)
        asked = (self.steps == self.length - 1).unsqueeze(1)
        return {"obs": torch.cat([shown, asked], dim=1).float()}

    def act(self, actions: Tensor) -> Tensor:
        """See :class:`Batched`."""
        return ((actions == self.state["cue"]) & (self.steps == self.length - 1)).float()


class Market(Batched):
    """In every head one of several goods with prices in [0, 1] is sold; ``masked``, three tenths of them may not be.

    A step pays the price of what was sold over the best allowed price, averaged over heads: the optimum is 1 a step,
    and so ``length`` an episode. What is forbidden is in the mask only, not in the observation.
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
        """Choices made, and how many of them were forbidden."""
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
        """Prices, and the mask."""
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
        paid = prices.where(allowed, 0.0).gather(1, chosen) / best
        self.state = self._offer()
        return paid.mean(dim=1)


class DeepSea(Batched):
    """Osband et al. 2020 (arXiv 1908.03568): a diver sinks one row a step and has to swim right in every one.

    A step to the right costs 0.01 / depth, the treasure in the last corner pays 1: the optimum is 0.99, a random
    swimmer finds it in one of 2^depth episodes, and what it learns before is to stay left. In half of the cells
    the two actions are swapped, so that no habit leads there.
    """

    def __init__(self, num_envs: int, depth: int = 16, seed: int = 0) -> None:
        self.depth = depth
        map_generator = torch.Generator().manual_seed(0)  # the sea is the same for every seed
        self.right = torch.randint(2, (depth, depth), generator=map_generator)
        spec = EnvSpec(spaces.Box(0.0, 1.0, (depth * depth,), np.float32), spaces.Discrete(2))
        super().__init__(num_envs, spec, depth, seed)

    def begin(self) -> dict[str, Tensor]:
        """See :class:`Batched`."""
        return {"column": torch.zeros(self.num_envs, dtype=torch.long)}

    def observe(self) -> Obs:
        """Where the diver is, one of depth x depth; below the ground, nowhere."""
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
    """A boat is to be kept at 0; a step costs the squared distance and pays the price of fish, which the critic knows.

    ``v <- 0.9 v + 0.1 u``, ``x <- x + v`` with the force u in [-1, 1]; the policy sees x and v. The price is that of
    the episode, uniform on +-``price``, and has nothing to do with what the boat does: a critic that does not know it
    takes luck for skill.
    """

    timeout = True

    def __init__(self, num_envs: int, price: float = 4.0, length: int = 32, seed: int = 0) -> None:
        self.price = price
        self.cost = 1.0
        """Squared distance, averaged over all boats and about the last hundred steps: what the fish do not blur."""
        action = spaces.Box(-1.0, 1.0, (1,), np.float32)
        super().__init__(num_envs, EnvSpec(numbers(2), action, state_space=numbers(3)), length, seed)

    def begin(self) -> dict[str, Tensor]:
        """See :class:`Batched`."""
        x, price = 2.0 * self.rand(2, self.num_envs) - 1.0
        return {"x": x, "v": torch.zeros(self.num_envs), "price": self.price * price}

    def observe(self) -> Obs:
        """Position and velocity; for the critic the price too."""
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
