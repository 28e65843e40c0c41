"""What an environment first returns is checked against what it declares; later steps cost nothing."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from manybody.envs.base import EnvError, Obs, Step, VecEnv
from manybody.envs.spaces import head_sizes, observation_dtype


def checked(env: VecEnv, env_name: str) -> VecEnv:
    """``env``, whose first reset and first step raise an :class:`EnvError` if they return something wrong.

    The checks stand in front of its two methods and step aside once they have passed.
    """
    reset, step = env.reset, env.step

    def first_reset() -> Obs:
        obs = reset()
        check_obs(env, f"{env_name}: reset()", obs, finite=True)
        vars(env).pop("reset", None)
        return obs

    def first_step(actions: Tensor) -> Step:
        result = step(actions)
        check_step(env, f"{env_name}: step()", result)
        vars(env).pop("step", None)
        return result

    env.reset, env.step = first_reset, first_step  # type: ignore[method-assign]
    return env


def check_obs(env: VecEnv, where: str, obs: Any, finite: bool = False, masks: bool = True) -> None:
    """Check keys, shapes and dtypes of a batch of observations.

    Args:
        env: declares what is expected.
        where: beginning of the message: which environment, which call.
        obs: what came.
        finite: NaN and infinity are wrong too.
        masks: ``action_masks`` may be there.

    Raises:
        EnvError: what came and what was expected.
    """
    spec = env.spec
    if not isinstance(obs, dict) or "obs" not in obs:
        given = f"a dict with the keys {sorted(obs)}" if isinstance(obs, dict) else type(obs).__name__
        raise EnvError(f"{where} gave {given}; expected a dict {{'obs': ...}}")
    rows = env.num_envs * spec.num_agents
    _check_batch(f"{where} 'obs'", obs["obs"], spec.observation_space, rows, finite)
    if spec.state_space is not None:
        if "states" not in obs:
            raise EnvError(f"{where} gave no 'states'; expected them, as its spec has a state_space")
        _check_batch(f"{where} 'states'", obs["states"], spec.state_space, env.num_envs, finite)
    if masks and "action_masks" in obs:
        check_tensor(
            f"{where} 'action_masks'",
            obs["action_masks"],
            (rows, sum(head_sizes(spec.action_space))),
            torch.bool,
        )


def check_step(env: VecEnv, where: str, step: Any) -> None:
    """Check a whole :class:`Step` as :func:`check_obs` checks its observation.

    Raises:
        EnvError: what came and what was expected.
    """
    if not isinstance(step, Step):
        raise EnvError(f"{where} gave {type(step).__name__}; expected a manybody.Step")
    rows, size = env.num_envs * env.spec.num_agents, env.spec.value_size
    check_obs(env, where, step.obs)
    if step.final_obs is not None:
        check_obs(env, f"{where} final_obs", step.final_obs, masks=False)
    several = size > 1 or getattr(step.reward, "ndim", 1) == 2
    check_tensor(f"{where} reward", step.reward, (rows, size) if several else (rows,), torch.float32)
    check_tensor(f"{where} terminated", step.terminated, (rows,), torch.bool)
    check_tensor(f"{where} truncated", step.truncated, (rows,), torch.bool)
    if (step.terminated & step.truncated).any():
        raise EnvError(
            f"{where} gave a row that is terminated and truncated; expected at most one of the two"
        )
    if not isinstance(step.extras, dict):
        raise EnvError(f"{where} gave extras of type {type(step.extras).__name__}; expected a dict")


def check_tensor(what: str, value: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Check one tensor.

    Raises:
        EnvError: no tensor, another shape or another dtype; says both.
    """
    expected = f"expected a tensor {shape} of {dtype}"
    if not isinstance(value, Tensor):
        raise EnvError(f"{what}: got {type(value).__name__}; {expected}")
    if tuple(value.shape) != shape or value.dtype != dtype:
        raise EnvError(f"{what}: got a tensor {tuple(value.shape)} of {value.dtype}; {expected}")


def _check_batch(what: str, value: Any, space: spaces.Space, rows: int, finite: bool) -> None:
    for part, leaf, leaf_space in _leaves(what, value, space):
        check_tensor(part, leaf, (rows, *(leaf_space.shape or ())), observation_dtype(leaf_space))
        if finite and not leaf.isfinite().all():
            broken = (~leaf.isfinite()).reshape(rows, -1).any(dim=1).nonzero().flatten().tolist()
            many = f"row {broken[0]} ({len(broken)} of {rows} rows)"
            raise EnvError(f"{part}: NaN or infinite in {many}; expected finite numbers")


def _leaves(what: str, value: Any, space: spaces.Space) -> Iterator[tuple[str, Any, spaces.Space]]:
    """Where, what and of which space the parts of an observation are.

    Raises:
        EnvError: a key is missing.
    """
    if not isinstance(space, spaces.Dict):
        yield what, value, space
        return
    if not hasattr(value, "keys"):
        raise EnvError(f"{what}: got {type(value).__name__}; expected a dict with the keys {sorted(space)}")
    if missing := sorted(set(space) - set(value.keys())):
        raise EnvError(
            f"{what}: no key {missing[0]!r} among {sorted(value.keys())}; expected {sorted(space)}"
        )
    for key, part in space.items():
        yield from _leaves(f"{what}[{key!r}]", value[key], part)


class CheckedCopy(gymnasium.Wrapper):
    """One Gymnasium environment whose first reset and first step are checked before they enter a batch.

    A vector environment would meet a wrong shape with an error of NumPy that names nothing.
    """

    def __init__(self, env: gymnasium.Env, env_name: str) -> None:
        super().__init__(env)
        self._env_name = env_name
        self._unchecked = {"reset", "step"}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        """As Gymnasium's."""
        result = self.env.reset(seed=seed, options=options)
        if "reset" in self._unchecked:
            where = f"{self._env_name}: reset()"
            check_tuple(where, result, "(observation, info)", 2)
            check_value(f"{where} observation", result[0], self.observation_space, finite=True)
            self._unchecked.remove("reset")
        return result

    def step(self, action: Any) -> Any:
        """As Gymnasium's."""
        result: Any = self.env.step(action)
        if "step" in self._unchecked:
            where = f"{self._env_name}: step()"
            check_tuple(where, result, "(observation, reward, terminated, truncated, info)", 5)
            check_value(f"{where} observation", result[0], self.observation_space, finite=False)
            for name, value in zip(("reward", "terminated", "truncated"), result[1:4], strict=True):
                if np.size(value) != 1:
                    raise EnvError(f"{where} {name}: got the shape {np.shape(value)}; expected one number")
            self._unchecked.remove("step")
        return result


def check_tuple(where: str, result: Any, expected: str, length: int) -> None:
    """Check that a call returned ``length`` things, which ``expected`` lists.

    Raises:
        EnvError: it did not.
    """
    if not isinstance(result, tuple) or len(result) != length:
        given = f"{len(result)} values" if isinstance(result, tuple) else type(result).__name__
        raise EnvError(f"{where} gave {given}; expected {expected}")


def check_value(what: str, value: Any, space: spaces.Space, finite: bool) -> None:
    """Check keys, shapes and kinds of numbers of a single observation in NumPy.

    Raises:
        EnvError: what came and what was expected.
    """
    for part, leaf, leaf_space in _leaves(what, value, space):
        array = np.asarray(leaf)
        expected = f"expected {leaf_space.shape} of {leaf_space.dtype}, as its space says"
        wrong_kind = array.dtype.kind not in "biuf" or (
            leaf_space.dtype == np.uint8 and array.dtype != np.uint8
        )
        if array.shape != leaf_space.shape or wrong_kind:
            raise EnvError(f"{part}: got an array {array.shape} of {array.dtype}; {expected}")
        if finite and not np.isfinite(array).all():
            where = np.argwhere(~np.isfinite(array))[0].tolist()
            raise EnvError(f"{part}: NaN or infinite at index {where}; expected finite numbers")
