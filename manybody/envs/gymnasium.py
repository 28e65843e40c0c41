"""Gymnasium environments as a :class:`VecEnv`: by id, or a vector environment that somebody has made."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from torch import Tensor

from manybody.data.tree import leaves, tree_map
from manybody.envs.base import EnvError, EnvSpec, Obs, Step, VecEnv
from manybody.envs.faults import is_gymnasiums, keep_traces
from manybody.envs.infos import of_vector_env
from manybody.envs.mask_velocity import MaskVelocityWrapper
from manybody.envs.spaces import (
    action_masks,
    check_spaces,
    describe,
    environment_actions,
    flags,
    head_sizes,
    numbers,
    observation_tensors,
    without_mask,
)
from manybody.envs.validation import RESET, STEP, CheckedCopy, check_tensor, check_tuple, check_value, layout_of

VECTORIZATIONS: dict[str, type[SyncVectorEnv] | type[AsyncVectorEnv]] = {
    "sync": SyncVectorEnv,
    "async": AsyncVectorEnv,
}


class WrappedVectorEnv(VecEnv):
    """A Gymnasium vector environment of any ``AutoresetMode``, in the one contract of :class:`Step`.

    ``SAME_STEP`` resets as we do, and hands the last observation over in its infos. With ``DISABLED`` we reset the
    environments that ended ourselves, through ``reset(options={'reset_mask': ...})``. With ``NEXT_STEP`` we do so
    too: its own reset would take a whole step in which the ended environments answer no action while the others go
    on, and which could only be told as a transition that never happened. A vector environment that ignores
    ``reset_mask`` can be used in those two modes only where all its copies end together.

    Masks of discrete actions are taken from ``infos['action_mask']``, or from an observation
    ``{'observation': ..., 'action_mask': ...}``. All other infos become extras; where an episode ended, those of its
    last step.

    It cannot save its state: a resumed run starts new episodes.

    Args:
        env: the vector environment; closing this closes it.
        seed: of the first reset.
        env_name: what messages call it.

    Raises:
        EnvError: its autoreset mode is missing, or its spaces are not supported.
    """

    def __init__(self, env: VectorEnv, seed: int | None = None, env_name: str = "") -> None:
        self.env = env
        self.env_name = env_name or str(env)
        self.mode = env.metadata.get("autoreset_mode")
        if not isinstance(self.mode, AutoresetMode):
            raise EnvError(
                f"{self.env_name}: metadata['autoreset_mode'] is {self.mode!r}; expected a "
                "gymnasium.vector.AutoresetMode, which describes how episodes are reset"
            )
        if self.mode == AutoresetMode.NEXT_STEP and getattr(env.unwrapped, "shared_memory", True) is False:
            # Such workers keep their intention to reset through a reset (gymnasium 1.4, _async_worker).
            raise EnvError(
                f"{self.env_name}: AsyncVectorEnv without shared memory in the mode NEXT_STEP cannot be reset in "
                "time; make it with autoreset_mode=AutoresetMode.SAME_STEP"
            )
        self._space, self._mask_in_obs = without_mask(env.single_observation_space)
        check_spaces(self.env_name, self._space, env.single_action_space)
        self.num_envs = env.num_envs
        self.device = torch.device("cpu")
        self.spec = EnvSpec(self._space, env.single_action_space)
        self._seed = seed
        self._masks_in_infos = False
        self._masks = torch.zeros((self.num_envs, sum(head_sizes(env.single_action_space))), dtype=torch.bool)
        self._held = torch.zeros(self.num_envs, dtype=torch.bool)
        """Rows whose mask of the next step is known, where masks come in infos."""
        self._last_call = "reset()"
        self._reset_mask_holds = False
        self._last_layout: Any = None
        keep_traces(env.unwrapped)

    def reset(self) -> Obs:
        """See :class:`VecEnv`; the seed counts for the first reset alone."""
        where = f"{self.env_name}: reset()"
        observation, infos = self._ask(where, RESET, self.env.reset, seed=self._seed)
        self._seed = None
        self._masks_in_infos = not self._mask_in_obs and "action_mask" in infos
        self._last_call = "reset()"
        self._take_masks(where, infos)
        return self._with_masks(self._obs(where, observation))

    def step(self, actions: Tensor) -> Step:
        """See :class:`VecEnv`.

        Raises:
            EnvError: the return values cannot be read, or episodes ended and the environment cannot reset them
                their own.
        """
        where = f"{self.env_name}: step()"
        batch = environment_actions(self.spec.action_space, actions)
        observation, rewards, terminated, truncated, infos = self._ask(where, STEP, self.env.step, batch)
        ended = flags(f"{where} terminated", terminated, self.num_envs)
        cut_short = flags(f"{where} truncated", truncated, self.num_envs) & ~ended
        done = ended | cut_short
        obs = self._obs(where, observation)
        self._last_call = "step()"
        self._take_masks(where, infos)
        final_obs: Obs | None = {"obs": obs["obs"]}
        if done.any():
            if self.mode == AutoresetMode.SAME_STEP:
                final_obs = self._last(obs, infos, done)
            else:
                obs = self._restarted(obs, done)
        reward = numbers(f"{where} reward", rewards, torch.float32)
        extras = of_vector_env(infos, done.numpy())
        return Step(self._with_masks(obs), reward, ended, cut_short, final_obs, extras)

    def get_action_masks(self) -> Tensor | None:
        """See :class:`VecEnv`; asked for only where the observation holds no masks.

        Raises:
            EnvError: a row has no mask although others have, or had.
        """
        if not self._masks_in_infos:
            return None
        row = int((~self._held).int().argmax())
        raise EnvError(
            f"{self.env_name}: {self._last_call} infos['action_mask']: none of row {row}; expected one of each row in "
            "every reset and step, because use_action_masks is on"
        )

    @property
    def drawn(self) -> VectorEnv:
        """What draws itself: it has ``metadata``, ``render_mode`` and ``render()``."""
        return self.env

    def close(self) -> None:
        """Close the copies."""
        self.env.close()

    def _ask(self, where: str, expected: tuple[str, ...], call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What ``call`` returns, which ``expected`` lists. An error of an environment's own code stays as it is.

        Raises:
            EnvError: Gymnasium could not join what the copies gave, or the return values do not match its interface.
        """
        try:
            result = call(*args, **kwargs)
        except Exception as error:
            if isinstance(error, EnvError) or not is_gymnasiums(error):
                raise
            # SyncVectorEnv keeps what its copies gave.
            for number, value in enumerate(getattr(self.env.unwrapped, "_env_obs", ())):
                if value is not None:
                    space = self.env.unwrapped.single_observation_space
                    check_value(f"{where} observation of copy {number}", value, space)
            raise EnvError(
                f"{where}: {type(self.env.unwrapped).__name__} stopped with {type(error).__name__}: "
                f"{str(error).rstrip('.')}; expected of every copy ({', '.join(expected)}) as its spaces say"
            ) from error
        check_tuple(where, result, expected)
        if not isinstance(result[-1], Mapping):
            raise EnvError(f"{where} infos: got {describe(result[-1])}; expected a dict")
        return result

    def _obs(self, where: str, observation: Any) -> Obs:
        if self._mask_in_obs:
            if not isinstance(observation, Mapping) or {"observation", "action_mask"} - set(observation):
                raise EnvError(
                    f"{where} observation: got {describe(observation)}; expected 'observation' and 'action_mask'"
                )
            obs = observation_tensors(self._space, observation["observation"], f"{where} observation")
            masks = action_masks(observation["action_mask"], f"{where} observation['action_mask']")
            return {"obs": obs, "action_masks": masks}
        return {"obs": observation_tensors(self._space, observation, f"{where} observation")}

    def _take_masks(self, where: str, infos: Mapping[str, Any], rows: Tensor | None = None) -> None:
        """Keep the masks that ``infos`` hold for ``rows`` (N,) bool, by default for all.

        ``_action_mask`` marks the rows that have one.
        """
        if not self._masks_in_infos:
            return
        rows = torch.ones_like(self._held) if rows is None else rows
        self._held = self._held & ~rows
        if "action_mask" not in infos:
            return
        what, given = f"{where} infos['action_mask']", infos["action_mask"]
        if not isinstance(given, np.ndarray) or len(given) != self.num_envs:
            raise EnvError(f"{what}: got {describe(given)}; expected an array {tuple(self._masks.shape)}")
        holds = infos.get("_action_mask", np.ones(self.num_envs, dtype=bool)) & rows.numpy()
        if given.dtype == object:
            holds = holds & np.array([mask is not None for mask in given])
        held = np.flatnonzero(holds)
        if len(held):
            masks = action_masks(given[held], what)
            check_tensor(what, masks, (len(held), self._masks.shape[1]), torch.bool)
            self._masks[held] = masks
            self._held[held] = True

    def _with_masks(self, obs: Obs) -> Obs:
        """``obs`` with the masks of infos where every row has one; :meth:`get_action_masks` names rows without one."""
        known = self._masks_in_infos and bool(self._held.all())
        return {**obs, "action_masks": self._masks.clone()} if known else obs

    def _last(self, obs: Obs, infos: Mapping[str, Any], done: Tensor) -> Obs | None:
        """Last observations of ended episodes; None if the environment keeps them to itself."""
        if "final_obs" not in infos:
            return None
        final_obs = tree_map(torch.clone, obs["obs"])
        for row in done.nonzero().flatten().tolist():
            last = infos["final_obs"][row]
            if (layout := layout_of(last)) != self._last_layout:
                what = f"{self.env_name}: step() infos['final_obs'] of row {row}"
                check_value(what, last, self.env.single_observation_space)
                self._last_layout = layout
            last = observation_tensors(self._space, last["observation"] if self._mask_in_obs else last)
            tree_map(lambda all_rows, one, row=row: all_rows[row].copy_(one), final_obs, last)
        return {"obs": final_obs}

    def _restarted(self, obs: Obs, done: Tensor) -> Obs:
        """``obs`` with the first observations of new episodes in the rows ``done``."""
        options = None if done.all() else {"reset_mask": done.numpy()}
        where = f"{self.env_name}: reset()"
        observation, infos = self._ask(where, RESET, self.env.reset, options=options)
        self._last_call = "reset()"
        self._take_masks(where, infos, done)
        new = self._obs(where, observation)
        if not (self._reset_mask_holds or done.all()):
            pairs = zip(leaves(new["obs"]), leaves(obs["obs"]), strict=True)
            if not all(torch.allclose(x[~done], y[~done], 0.0, 0.0, equal_nan=True) for x, y in pairs):
                raise EnvError(
                    f"{self.env_name}: reset(options={{'reset_mask': ...}}) changed environments outside the mask; "
                    f"with autoreset mode {self.mode} episodes cannot be reset one by one. Make it with "
                    "AutoresetMode.SAME_STEP, with one copy, or as sync or async copies (gymnasium.make_vec)"
                )
            self._reset_mask_holds = True

        def in_ended_rows(x: Tensor, y: Tensor) -> Tensor:
            return torch.where(done.reshape(-1, *[1] * (x.ndim - 1)), x, y)

        return tree_map(in_ended_rows, new, obs)


class GymnasiumEnv(WrappedVectorEnv):
    """N copies of a Gymnasium environment.

    Args:
        env_name: a Gymnasium id; ``module:id`` imports the module that registers it first.
        num_actors: N.
        seed: of the first copy; the others follow.
        vectorization: ``sync`` steps the copies one after the other, ``async`` in a process each.
        mask_velocity: hide the velocities from the policy (:class:`MaskVelocityWrapper`).
        env_config: arguments of ``gymnasium.make``.

    Raises:
        EnvError: Gymnasium cannot make it, or a learner cannot work with its spaces.
    """

    def __init__(
        self,
        env_name: str,
        num_actors: int,
        seed: int | None = None,
        vectorization: str = "sync",
        mask_velocity: bool = False,
        **env_config: Any,
    ) -> None:
        def make() -> gymnasium.Env:
            # CheckedCopy is stricter than Gymnasium's own checker and names the problem.
            env = gymnasium.make(env_name, **{"disable_env_checker": True, **env_config})
            return MaskVelocityWrapper(env) if mask_velocity else env

        try:
            env = vectorized(make, num_actors, vectorization, env_name)
        except (
            gymnasium.error.Error,
            ImportError,
            TypeError,
        ) as error:  # TypeError: an argument it does not know
            raise EnvError(f"env_name: Gymnasium cannot make {env_name!r} with {env_config}: {error}") from error
        super().__init__(env, seed, env_name)


def vectorized(make: Callable[[], gymnasium.Env], num_actors: int, vectorization: str, env_name: str) -> VectorEnv:
    """``num_actors`` copies of what ``make`` returns, each checked at its first reset and step, in processes always.

    Raises:
        EnvError: an unknown ``vectorization``, or ``make`` returns no Gymnasium environment.
    """
    if vectorization not in VECTORIZATIONS:
        known = " or ".join(map(repr, VECTORIZATIONS))
        raise EnvError(f"env_config.vectorization: got {vectorization!r}; expected {known}")
    copies = [partial(_checked_copy, make, env_name, vectorization == "async")] * num_actors
    with _signals_for_the_parent_alone():
        return VECTORIZATIONS[vectorization](copies, autoreset_mode=AutoresetMode.SAME_STEP)


@contextmanager
def _signals_for_the_parent_alone() -> Iterator[None]:
    """Processes that start meanwhile ignore Ctrl-C, which a terminal sends to them too, and end on SIGTERM.

    They would break off in the middle of the epoch that training still wants to finish.
    """
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be set
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _checked_copy(make: Callable[[], gymnasium.Env], env_name: str, always: bool) -> gymnasium.Env:
    env = make()
    if not isinstance(env, gymnasium.Env):
        raise EnvError(
            f"{env_name}: its creator returned {type(env).__name__}; expected a gymnasium.Env (environments of "
            "legacy gym can be converted with gymnasium's or shimmy's compatibility wrappers)"
        )
    return CheckedCopy(env, env_name, always)
