"""Gymnasium environments as a :class:`VecEnv`: by id, or an existing vector environment."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import TransformObservation
from torch import Tensor
from typing_extensions import override

from manybody.data.tree import leaves, tree_map
from manybody.envs.base import EnvError, EnvSpec, Obs, Step, VecEnv
from manybody.envs.infos import Infos, of_vector_env
from manybody.envs.spaces import (
    action_masks,
    describe,
    environment_actions,
    head_sizes,
    observation_tensors,
    outcome,
    without_mask,
)
from manybody.envs.validation import RESET, STEP, CheckedCopy, check_tensor, check_tuple, check_value, layout_of

POSITIONS = {
    "CartPole": (1, 0, 1, 0),
    "Pendulum": (1, 1, 0),
    "LunarLander": (1, 1, 0, 0, 1, 0, 1, 1),
    "LunarLanderContinuous": (1, 1, 0, 0, 1, 0, 1, 1),
}
"""Masks of the observation by family of Gymnasium ids: 0 for velocities, as Gymnasium documents them."""


class WrappedVectorEnv(VecEnv):
    """A Gymnasium vector environment of any ``AutoresetMode`` as a :class:`VecEnv`.

    With ``SAME_STEP`` the environment resets itself and returns the last observation in its infos. With ``DISABLED``
    and ``NEXT_STEP`` this adapter resets environments whose episode ended, by ``reset(options={'reset_mask': ...})``:
    with ``NEXT_STEP`` the environment's own reset would take a step that ignores the action.

    Masks of discrete actions are read from ``infos['action_mask']``, or from an observation
    ``{'observation': ..., 'action_mask': ...}``. All other infos become extras. The state cannot be saved: a resumed
    run starts new episodes.

    Args:
        env: the vector environment; ``close`` closes it.
        seed: seed of the first reset.
        env_name: name of the environment in messages.

    Raises:
        EnvError: its autoreset mode is missing or cannot be used.
    """

    def __init__(self, env: VectorEnv, seed: int | None = None, env_name: str = "") -> None:
        self.env = self.renderer = env
        self.env_name = env_name or str(env)
        self.mode = env.metadata.get("autoreset_mode")
        if not isinstance(self.mode, AutoresetMode):
            raise EnvError(
                f"{self.env_name}: metadata['autoreset_mode']: got {self.mode!r}; expected a "
                "gymnasium.vector.AutoresetMode, which describes how episodes are reset"
            )
        if self.mode == AutoresetMode.NEXT_STEP and getattr(env.unwrapped, "shared_memory", True) is False:
            # Such workers remember that they have to reset, even after a reset (gymnasium 1.4, _async_worker).
            raise EnvError(
                f"{self.env_name}: got AsyncVectorEnv without shared memory in the mode NEXT_STEP, which cannot be "
                "reset in time; expected autoreset_mode=AutoresetMode.SAME_STEP"
            )
        self._space, self._mask_in_obs = without_mask(env.single_observation_space)
        self.num_envs = env.num_envs
        self.device = torch.device("cpu")
        self.spec = EnvSpec(self._space, env.single_action_space)
        self._seed = seed
        self._masks_in_infos = False
        self._masks = torch.zeros((self.num_envs, sum(head_sizes(env.single_action_space))), dtype=torch.bool)
        self._held = torch.zeros(self.num_envs, dtype=torch.bool)
        """Rows whose mask of the next step is known, if masks are in infos."""
        self._last_call = "reset()"
        self._honours_reset_mask = False
        self._last_layout: object = None

    @override
    def reset(self) -> Obs:
        observation, infos = self._call("reset()", RESET, self.env.reset, seed=self._seed)
        self._seed = None
        self._masks_in_infos = not self._mask_in_obs and "action_mask" in infos
        return self._obs("reset()", observation, infos)

    @override
    def step(self, actions: Tensor) -> Step:
        batch = environment_actions(self.spec.action_space, actions)
        observation, *outcomes, infos = self._call("step()", STEP, self.env.step, batch)
        reward, terminated, truncated = outcome(f"{self.env_name}: step()", self.num_envs, *outcomes)
        done = terminated | truncated
        obs = self._obs("step()", observation, infos)
        final_obs: Obs | None = {"obs": obs["obs"]}
        if done.any():
            if self.mode == AutoresetMode.SAME_STEP:
                final_obs = self._last(obs, infos, done)
            else:
                obs = self._restarted(obs, done)
        return Step(obs, reward, terminated, truncated, final_obs, of_vector_env(infos, done.numpy()))

    @override
    def get_action_masks(self) -> Tensor | None:
        if not self._masks_in_infos:
            return None
        row = int((~self._held).int().argmax())
        raise EnvError(
            f"{self.env_name}: {self._last_call} infos['action_mask']: got none of row {row}; expected one of each row "
            "in every reset and step, because use_action_masks is on"
        )

    @override
    def close(self) -> None:
        self.env.close()

    def _call(
        self, name: str, expected: tuple[str, ...], call: Callable[..., Any], *args: object, **kwargs: object
    ) -> Any:
        """Return the results of ``call``, whose names are ``expected``.

        Errors of the environment's code are not changed; an observation that Gymnasium cannot concatenate with others
        raises EnvError.
        """
        where = f"{self.env_name}: {name}"
        try:
            result = call(*args, **kwargs)
        except Exception:
            for number, value in enumerate(getattr(self.env.unwrapped, "_env_obs", ())):  # SyncVectorEnv keeps them
                if value is not None:
                    check_value(f"{where} observation of copy {number}", value, self.env.single_observation_space)
            raise
        check_tuple(where, result, expected)
        if not isinstance(result[-1], Mapping):
            raise EnvError(f"{where} infos: got {describe(result[-1])}; expected a dict")
        self._last_call = name
        return result

    def _obs(self, call: str, observation: object, infos: Infos, rows: Tensor | None = None) -> Obs:
        """Return observations with the masks of the next step, without masks if some row of the infos has none.

        ``rows`` (N,) bool: the rows whose masks are in ``infos``; None: all.
        """
        what = f"{self.env_name}: {call} observation"
        if self._masks_in_infos:
            self._take_masks(f"{self.env_name}: {call} infos['action_mask']", infos, rows)
        if not self._mask_in_obs:
            obs: Obs = {"obs": observation_tensors(self._space, observation, what)}
            return {**obs, "action_masks": self._masks.clone()} if self._masks_in_infos and self._held.all() else obs
        if not isinstance(observation, Mapping) or {"observation", "action_mask"} - set(observation):
            raise EnvError(f"{what}: got {describe(observation)}; expected 'observation' and 'action_mask'")
        return {
            "obs": observation_tensors(self._space, observation["observation"], what),
            "action_masks": action_masks(observation["action_mask"], f"{what}['action_mask']"),
        }

    def _take_masks(self, what: str, infos: Infos, rows: Tensor | None) -> None:
        """Store the masks in ``infos``; ``_action_mask`` marks the rows that have one."""
        rows = torch.ones_like(self._held) if rows is None else rows
        self._held = self._held & ~rows
        if "action_mask" not in infos:
            return
        reported = infos["action_mask"]
        if not isinstance(reported, np.ndarray) or len(reported) != self.num_envs:
            raise EnvError(f"{what}: got {describe(reported)}; expected an array {tuple(self._masks.shape)}")
        holds = infos.get("_action_mask", np.ones(self.num_envs, dtype=bool)) & rows.numpy()
        if reported.dtype == object:
            holds = holds & np.array([mask is not None for mask in reported])
        held = np.flatnonzero(holds)
        if len(held):
            masks = action_masks(reported[held], what)
            check_tensor(what, masks, (len(held), self._masks.shape[1]), torch.bool)
            self._masks[held] = masks
            self._held[held] = True

    def _last(self, obs: Obs, infos: Infos, done: Tensor) -> Obs | None:
        """Return last observations of ended episodes; None if the environment does not return them."""
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
        """Return ``obs`` with the first observations of new episodes in the rows ``done``."""
        options = None if done.all() else {"reset_mask": done.numpy()}
        observation, infos = self._call("reset()", RESET, self.env.reset, options=options)
        new = self._obs("reset()", observation, infos, done)
        if not (self._honours_reset_mask or done.all()):
            pairs = zip(leaves(new["obs"]), leaves(obs["obs"]), strict=True)
            if not all(torch.allclose(x[~done], y[~done], 0.0, 0.0, equal_nan=True) for x, y in pairs):
                raise EnvError(
                    f"{self.env_name}: reset(options={{'reset_mask': ...}}) changed environments outside the mask; "
                    f"with autoreset mode {self.mode} episodes cannot be reset one by one. Make it with "
                    "AutoresetMode.SAME_STEP, with one copy, or as sync or async copies (gymnasium.make_vec)"
                )
            self._honours_reset_mask = True
        return new


class GymnasiumEnv(WrappedVectorEnv):
    """N copies of a Gymnasium environment.

    Args:
        env_name: a Gymnasium id; ``module:id`` imports the module that registers it first.
        num_actors: N.
        seed: seed of the first copy; the others use the next numbers.
        vectorization: ``sync`` steps the copies one after the other, ``async`` each in its own process.
        mask_velocity: hide the velocities from the policy (:func:`without_velocities`).
        env_config: arguments of ``gymnasium.make``.

    Raises:
        EnvError: Gymnasium cannot create the environment, or its spaces are not supported.
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
            return without_velocities(env) if mask_velocity else env

        try:
            env = vectorized(make, num_actors, vectorization, env_name)
        except (gymnasium.error.Error, ImportError, TypeError) as error:  # TypeError: an argument it does not know
            raise EnvError(f"env_name: Gymnasium cannot make {env_name!r} with {env_config}: {error}") from error
        super().__init__(env, seed, env_name)


def without_velocities(env: gymnasium.Env) -> gymnasium.Env:
    """Replace every velocity by zero, so that the policy needs memory; for the families of :data:`POSITIONS`."""
    name = env.spec.id if env.spec else type(env).__name__
    family = name.rpartition("-v")[0]
    if family not in POSITIONS:
        raise EnvError(f"mask_velocity: got {name!r}; expected one of {', '.join(POSITIONS)}, or a wrapper of your own")
    mask = np.array(POSITIONS[family], dtype=env.observation_space.dtype)
    return TransformObservation(env, lambda observation: observation * mask, env.observation_space)


def vectorized(make: Callable[[], gymnasium.Env], num_actors: int, vectorization: str, env_name: str) -> VectorEnv:
    """Create ``num_actors`` checked copies with ``make``; raise EnvError if they are not Gymnasium environments."""
    if vectorization not in ("sync", "async"):
        raise EnvError(f"env_config.vectorization: got {vectorization!r}; expected 'sync' or 'async'")

    def checked_copy() -> gymnasium.Env:
        env = make()
        if not isinstance(env, gymnasium.Env):
            raise EnvError(
                f"{env_name}: its creator returned {type(env).__name__}; expected a gymnasium.Env (environments of "
                "legacy gym can be converted with gymnasium's or shimmy's compatibility wrappers)"
            )
        return CheckedCopy(env, env_name, always=vectorization == "async")

    kind = AsyncVectorEnv if vectorization == "async" else SyncVectorEnv
    with _signals_for_the_parent_alone():
        return kind([checked_copy] * num_actors, autoreset_mode=AutoresetMode.SAME_STEP)


@contextmanager
def _signals_for_the_parent_alone() -> Iterator[None]:
    """Let processes created in the block ignore Ctrl-C, which a terminal sends to them too, and end on SIGTERM."""
    if threading.current_thread() is not threading.main_thread():  # signal handlers cannot be set there
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
