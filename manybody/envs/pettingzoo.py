"""PettingZoo's parallel environments as a multi-agent :class:`VecEnv`."""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate
from torch import Tensor

from manybody.envs.base import EnvError, EnvSpec, Obs, Step, VecEnv
from manybody.envs.infos import of_copies
from manybody.envs.spaces import (
    action_masks,
    check_spaces,
    describe,
    environment_actions,
    head_sizes,
    observation_tensors,
    without_mask,
)
from manybody.envs.validation import check_tuple, check_value, one_number

ANSWER = ("observations", "rewards", "terminations", "truncations", "infos")
"""What ``step`` returns, each by agent."""


class PettingZooEnv(VecEnv):
    """Copies of a PettingZoo ``ParallelEnv``, all of whose agents have the same spaces; a row for every agent.

    A row's episode is that of its environment. An agent that ends before the others (or is not there yet) stays as a
    row: it sees zeros, earns nothing, may take only the first action of each head where actions are masked, and is
    ``terminated`` once, when the environment's episode ends. So a row has one return per episode, its recurrent state
    is cleared where all others are, and the value of being gone is learned from exact zeros; SuperSuit's
    ``black_death`` wrapper does the same.

    The environment's ``state()``, where it declares a ``state_space``, is the ``states`` of a central critic.

    It cannot save its state: a resumed run starts new episodes.

    Args:
        make: makes one environment.
        num_actors: number of copies.
        seed: of the first copy; the others follow.
        env_name: what messages call it.

    Raises:
        EnvError: it is no parallel environment, its agents differ, or a learner cannot work with their spaces.
    """

    def __init__(self, make: Callable[[], Any], num_actors: int, seed: int | None = None, env_name: str = "") -> None:
        self.envs = [make() for _ in range(num_actors)]
        first = self.envs[0]
        self.env_name = env_name or type(first).__name__
        if not hasattr(first, "possible_agents") or hasattr(first, "agent_iter"):
            raise EnvError(
                f"{self.env_name}: {type(first).__name__} is no ParallelEnv; expected one with possible_agents "
                "(pettingzoo.utils.aec_to_parallel makes one of an AEC environment)"
            )
        self.agents: list[str] = list(first.possible_agents)
        space = self._shared(first.observation_space, "observation")
        action_space = self._shared(first.action_space, "action")
        self._space, self._masked = without_mask(space)
        check_spaces(self.env_name, self._space, action_space)
        self.num_envs = num_actors
        self.device = torch.device("cpu")
        self.spec = EnvSpec(self._space, action_space, getattr(first, "state_space", None), len(self.agents))
        self._actions = batch_space(action_space, num_actors * len(self.agents))
        self._absent: Any = next(iter(iterate(batch_space(self._space, 1), create_empty_array(self._space, 1))))
        if self._masked:
            firsts = [np.arange(size) == 0 for size in head_sizes(action_space)]
            self._absent = {"observation": self._absent, "action_mask": np.concatenate(firsts)}
        self._seed = seed

    def _shared(self, space_of: Callable[[str], spaces.Space], what: str) -> spaces.Space:
        space = space_of(self.agents[0])
        for agent in self.agents:
            if space_of(agent) != space:
                raise EnvError(
                    f"{self.env_name}: the {what} space of agent {agent!r} is {space_of(agent)}, that of "
                    f"{self.agents[0]!r} {space}; expected one for all (SuperSuit's pad_{what}s_v0 makes them equal)"
                )
        return space

    def reset(self) -> Obs:
        """See :class:`VecEnv`; the seed counts for the first reset alone."""
        seen = [self._reset(index) for index in range(self.num_envs)]
        for index, observations in enumerate(seen):
            self._check("reset()", index, [observations], self.envs[index].agents, finite=True)
        self._seed = None
        return self._obs("reset()", seen)

    def _reset(self, index: int) -> Any:
        """The first observations of environment ``index``, by agent."""
        env = self.envs[index]
        result = env.reset() if self._seed is None else env.reset(seed=self._seed + index)
        check_tuple(f"{self.env_name}: reset()", result, ("observations", "infos"))
        return result[0]

    def step(self, actions: Tensor) -> Step:
        """See :class:`VecEnv`.

        Raises:
            EnvError: the return values of an environment cannot be read.
        """
        size = len(self.agents)
        rows = list(iterate(self._actions, environment_actions(self.spec.action_space, actions)))
        reward = torch.zeros(len(rows))
        terminated, truncated = torch.zeros(2, len(rows), dtype=torch.bool)
        seen, over, told_of = [], [], []
        for index, env in enumerate(self.envs):
            mine = dict(zip(self.agents, range(index * size, (index + 1) * size), strict=True))
            acting = list(env.agents)
            result = env.step({agent: rows[mine[agent]] for agent in acting})
            check_tuple(f"{self.env_name}: step()", result, ANSWER)
            obs, rewards, terminations, truncations, infos = result
            seen.append(obs)
            try:
                told_of += [infos.get(agent) for agent in self.agents]
                for agent, value in rewards.items():
                    what = f"{self.env_name}: step() rewards of {agent!r}"
                    reward[mine[agent]] = one_number(what, value)
                if not env.agents:
                    over.append(index)
                    for agent, row in mine.items():
                        final = bool(terminations.get(agent, False))
                        truncated[row] = bool(truncations.get(agent, False)) and not final
                        terminated[row] = ~truncated[row]
            except (AttributeError, KeyError, TypeError, ValueError):
                self._check("step()", index, result, acting)
                raise
        last = self._obs("step()", seen, over)
        for index in over:
            seen[index] = self._reset(index)
        obs = self._obs("reset()", seen) if over else last
        final_obs = {key: value for key, value in last.items() if key != "action_masks"}
        return Step(obs, reward, terminated, truncated, final_obs, of_copies(told_of, self.device))

    def _check(self, call: str, index: int, answer: Sequence[Any], agents: Iterable[str], finite: bool = False) -> None:
        """Look closely at what environment ``index`` gave, of :data:`ANSWER` as much as there is.

        Not at every step, where it would cost more than the rest: when reading it has failed.

        Raises:
            EnvError: what is wrong with it.
        """
        for what, given in zip(ANSWER, answer, strict=False):
            where = f"{self.env_name}: {call} {what}"
            if not isinstance(given, Mapping):
                raise EnvError(f"{where}: got {describe(given)}; expected a dict by agent")
            if unknown := sorted(set(given) - set(self.agents)):
                raise EnvError(f"{where}: got one of {unknown[0]!r}; expected only {self.agents}")
            if what == "observations" and (missing := sorted(set(agents) - set(given))):
                raise EnvError(f"{where}: none of {missing[0]!r}; expected one of each agent that acts")
            for agent, value in given.items():
                if what == "observations":
                    space = self.envs[index].observation_space(agent)
                    check_value(f"{where} of {agent!r} in environment {index}", value, space, finite)
                elif what != "infos":
                    one_number(f"{where} of {agent!r}", value)

    def _obs(self, call: str, seen: list[dict[str, Any]], over: Sequence[int] = ()) -> Obs:
        """Return the observations of all agents; in environments that are ``over``, their last observations."""
        try:
            rows, masks = self._rows(seen, over)
            empty: Any = create_empty_array(self._space, n=len(rows))
            batch = concatenate(self._space, rows, empty)
        except (KeyError, TypeError, ValueError):
            for index, observations in enumerate(seen):
                agents = () if index in over else self.envs[index].agents
                self._check(call, index, [observations], agents)
            raise
        where = f"{self.env_name}: {call}"
        obs: Obs = {"obs": observation_tensors(self._space, batch)}
        if self._masked:
            obs["action_masks"] = action_masks(masks, f"{where} action_mask")
        if self.spec.state_space is not None:
            states = [env.state() for env in self.envs]
            obs["states"] = observation_tensors(self.spec.state_space, states, f"{where} state()")
        return obs

    def _rows(self, seen: list[dict[str, Any]], over: Sequence[int]) -> tuple[list[Any], list[Any]]:
        """Observation and mask of every row."""
        rows, masks = [], []
        for index, (env, observations) in enumerate(zip(self.envs, seen, strict=True)):
            present = observations if index in over else env.agents
            for agent in self.agents:
                value = observations[agent] if agent in present else self._absent
                rows.append(value["observation"] if self._masked else value)
                masks.append(value["action_mask"] if self._masked else None)
        return rows, masks

    @property
    def drawn(self) -> Any:
        """What draws itself: it has ``metadata``, ``render_mode`` and ``render()``."""
        return self.envs[0]

    def close(self) -> None:
        """Close the copies."""
        for env in self.envs:
            env.close()


def from_module(module: str, num_actors: int, seed: int | None = None, **env_config: Any) -> PettingZooEnv:
    """Copies of the ``parallel_env(**env_config)`` of a module, such as ``mpe2.simple_spread_v3``.

    Args:
        module: the module to import, else ``pettingzoo.<module>``.
        num_actors: number of copies.
        seed: of the first copy.
        env_config: arguments of ``parallel_env``.

    Raises:
        EnvError: there is no such module or it has no ``parallel_env``, or the environment cannot be used.
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
