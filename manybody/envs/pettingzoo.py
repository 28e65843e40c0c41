"""PettingZoo's parallel environments as a multi-agent :class:`VecEnv`."""

import importlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate
from torch import Tensor
from typing_extensions import override

from manybody.envs.base import EnvError, EnvSpec, Obs, Step, VecEnv
from manybody.envs.infos import of_copies
from manybody.envs.spaces import (
    action_masks,
    describe,
    environment_actions,
    head_sizes,
    observation_tensors,
    without_mask,
)
from manybody.envs.validation import LAYOUTS, check_tuple, check_value, layout_of, one_number

RESET = ("observations", "infos")
STEP = ("observations", "rewards", "terminations", "truncations", "infos")
"""Names of the results of ``reset`` and ``step``, each by agent."""


class PettingZooEnv(VecEnv):
    """Copies of a PettingZoo ``ParallelEnv`` whose agents all have the same spaces; one row for every agent.

    A row's episode is that of its environment. An agent that ends before the others (or has not joined yet) keeps its
    row: it observes zeros, its reward is 0, masks allow it only the first action of each head, and it is ``terminated``
    once, when the environment's episode ends. So a row has one return per episode, as with SuperSuit's ``black_death``
    wrapper.

    If the environment declares a ``state_space``, its ``state()`` is the ``states`` of a central critic. The state
    cannot be saved: a resumed run starts new episodes.

    Args:
        make: creates one environment.
        num_actors: number of copies.
        seed: seed of the first copy; the others use the next numbers.
        env_name: name of the environments in messages.

    Raises:
        EnvError: it is not a parallel environment, or the spaces of its agents differ.
    """

    def __init__(self, make: Callable[[], Any], num_actors: int, seed: int | None = None, env_name: str = "") -> None:
        self.envs = [make() for _ in range(num_actors)]
        self.renderer = first = self.envs[0]
        self.env_name = env_name or type(first).__name__
        if not hasattr(first, "possible_agents") or hasattr(first, "agent_iter"):
            raise EnvError(
                f"{self.env_name}: got {type(first).__name__}; expected a ParallelEnv with possible_agents. "
                "pettingzoo.utils.aec_to_parallel makes one of an AEC environment"
            )
        self.agents: list[str] = list(first.possible_agents)
        action_space = self._shared(first.action_space, "action")
        self._space, self._masked = without_mask(self._shared(first.observation_space, "observation"))
        self.num_envs = num_actors
        self.device = torch.device("cpu")
        self.spec = EnvSpec(self._space, action_space, getattr(first, "state_space", None), len(self.agents))
        self._actions = batch_space(action_space, num_actors * len(self.agents))
        self._absent: Any = next(iter(iterate(batch_space(self._space, 1), create_empty_array(self._space, 1))))
        if self._masked:
            firsts = [np.arange(size) == 0 for size in head_sizes(action_space)]
            self._absent = {"observation": self._absent, "action_mask": np.concatenate(firsts)}
        self._passed: deque[object] = deque(maxlen=LAYOUTS)
        self._seed = seed

    def _shared(self, space_of: Callable[[str], spaces.Space], what: str) -> spaces.Space:
        space = space_of(self.agents[0])
        for agent in self.agents:
            if space_of(agent) != space:
                raise EnvError(
                    f"{self.env_name}: {what} space of agent {agent!r}: got {space_of(agent)}; expected {space}, that "
                    f"of {self.agents[0]!r}. SuperSuit's pad_{what}s_v0 makes them equal"
                )
        return space

    @override
    def reset(self) -> Obs:
        seen = [self._reset(index) for index in range(self.num_envs)]
        self._seed = None
        return self._obs("reset()", seen)

    def _reset(self, index: int) -> Mapping[str, Any]:
        """Return the first observations of environment ``index``, by agent."""
        env = self.envs[index]
        result = env.reset() if self._seed is None else env.reset(seed=self._seed + index)
        check_tuple(f"{self.env_name}: reset()", result, RESET)
        return self._observations("reset()", index, result[0])

    @override
    def step(self, actions: Tensor) -> Step:
        size = len(self.agents)
        rows = list(iterate(self._actions, environment_actions(self.spec.action_space, actions)))
        reward = torch.zeros(len(rows))
        terminated, truncated = torch.zeros(2, len(rows), dtype=torch.bool)
        seen, ended, infos_by_row = [], [], []
        for index, env in enumerate(self.envs):
            row_of = dict(zip(self.agents, range(index * size, (index + 1) * size), strict=True))
            result = env.step({agent: rows[row_of[agent]] for agent in env.agents})
            check_tuple(f"{self.env_name}: step()", result, STEP)
            observations, rewards, terminations, truncations, infos = map(self._by_agent, STEP, result)
            infos_by_row += [infos.get(agent) for agent in self.agents]
            for agent, value in rewards.items():
                reward[row_of[agent]] = self._number("rewards", agent, value)
            if not env.agents:
                ended.append(index)
                for agent, row in row_of.items():
                    cut_short = self._number("truncations", agent, truncations.get(agent, False))
                    terminal = self._number("terminations", agent, terminations.get(agent, False))
                    truncated[row] = bool(cut_short) and not terminal
                    terminated[row] = ~truncated[row]
            seen.append(self._observations("step()", index, observations))
        last = self._obs("step()", seen, ended)
        for index in ended:
            seen[index] = self._reset(index)
        obs = self._obs("reset()", seen) if ended else last
        final_obs = {key: value for key, value in last.items() if key != "action_masks"}
        return Step(obs, reward, terminated, truncated, final_obs, of_copies(infos_by_row, self.device))

    def _number(self, what: str, agent: str, value: object) -> float:
        return one_number(f"{self.env_name}: step() {what} of {agent!r}", value)

    def _by_agent(self, what: str, value: object, call: str = "step()") -> Mapping[str, Any]:
        """Return ``value``; raise EnvError if its keys are not names of agents."""
        if not isinstance(value, Mapping):
            raise EnvError(f"{self.env_name}: {call} {what}: got {describe(value)}; expected a dict by agent")
        if unknown := sorted(set(value) - set(self.agents)):
            raise EnvError(f"{self.env_name}: {call} {what}: got one of {unknown[0]!r}; expected only {self.agents}")
        return value

    def _observations(self, call: str, index: int, returned: object) -> Mapping[str, Any]:
        """Return the observations of one environment by agent; raise EnvError if one is missing or does not match."""
        observations, env = self._by_agent("observations", returned, call), self.envs[index]
        where = f"{self.env_name}: {call} observations"
        if missing := sorted(set(env.agents) - set(observations)):
            raise EnvError(f"{where}: got none of {missing[0]!r}; expected one of each agent that acts")
        for agent, value in observations.items():
            if (layout := layout_of(value)) not in self._passed:
                check_value(f"{where} of {agent!r} in environment {index}", value, env.observation_space(agent))
                self._passed.append(layout)
        return observations

    def _obs(self, call: str, seen: Sequence[Mapping[str, Any]], ended: Sequence[int] = ()) -> Obs:
        """Return the observations of all agents; in environments that have ``ended``, their last observations."""
        rows = [
            observations[agent] if agent in (observations if index in ended else env.agents) else self._absent
            for index, (env, observations) in enumerate(zip(self.envs, seen, strict=True))
            for agent in self.agents
        ]
        values = [row["observation"] for row in rows] if self._masked else rows
        empty: Any = create_empty_array(self._space, n=len(rows))
        obs: Obs = {"obs": observation_tensors(self._space, concatenate(self._space, values, empty))}
        if self._masked:
            masks = [row["action_mask"] for row in rows]
            obs["action_masks"] = action_masks(masks, f"{self.env_name}: {call} action_mask")
        if self.spec.state_space is not None:
            states = [env.state() for env in self.envs]
            obs["states"] = observation_tensors(self.spec.state_space, states, f"{self.env_name}: {call} state()")
        return obs

    @override
    def close(self) -> None:
        for env in self.envs:
            env.close()


def from_module(module: str, num_actors: int, seed: int | None = None, **env_config: object) -> PettingZooEnv:
    """Create copies of ``parallel_env(**env_config)`` of ``module`` or ``pettingzoo.<module>``.

    Raises:
        EnvError: the module or its ``parallel_env`` does not exist, or the environment cannot be used.
    """
    problem = ""
    for name in (module, f"pettingzoo.{module}"):
        try:
            make = importlib.import_module(name).parallel_env
            break
        except ImportError as error:
            problem = problem or str(error)
        except AttributeError:
            raise EnvError(
                f"env_name: {name} has no parallel_env; expected one, as PettingZoo's modules have"
            ) from None
    else:
        raise EnvError(
            f"env_name: 'pettingzoo:{module}' cannot be imported: {problem}; install the package of that module (pip "
            "install 'manybody[pettingzoo]' brings PettingZoo and mpe2)"
        )
    try:
        return PettingZooEnv(partial(make, **env_config), num_actors, seed, f"pettingzoo:{module}")
    except TypeError as error:  # an argument that it does not know
        raise EnvError(f"env_name: {name} cannot be made with {env_config}: {error}") from error
