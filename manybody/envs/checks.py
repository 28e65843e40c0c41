"""Check what an environment returns against its declared spaces: at first closely, then by shape and dtype.

Shapes and dtypes are known without waiting for a device. A step of the layout that has passed before is as good as that
one; only another is looked at again. With 16 copies of CartPole that costs 3 us of a step of 320 us (one core of two,
``time.thread_time``). What needs the numbers themselves is looked at once, at the first contact: NaN, which the guard
watches for afterwards, and rows that are terminated and truncated.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from manybody.envs.base import EnvError, Obs, Step, VecEnv
from manybody.envs.spaces import check_spaces, describe, head_sizes, observation_dtype

SCALARS = frozenset({bool, int, float, np.bool_, np.float32, np.float64, type(None)})
"""Types that describe the layout of a value completely."""
PLAIN = SCALARS - {type(None)}
"""Types of a number that need no second look."""
LAYOUTS = 8
"""How many are remembered: extras may change in every step."""

RESET = ("observation", "info")
STEP = ("observation", "reward", "terminated", "truncated", "info")
"""What Gymnasium's ``reset`` and ``step`` return."""


def checked(env: VecEnv, env_name: str) -> VecEnv:
    """``env``, whose ``reset`` and ``step`` raise an :class:`EnvError` if they return something wrong.

    Calls with other arguments than a learner's, which an environment makes to itself, are not looked at.

    Raises:
        EnvError: a learner cannot work with its spaces.
    """
    check_spaces(env_name, env.spec.observation_space, env.spec.action_space)
    reset, step = env.reset, env.step
    passed: deque[Any] = deque(maxlen=LAYOUTS)

    def checked_reset(*args: Any, **kwargs: Any) -> Obs:
        obs = reset(*args, **kwargs)
        if not (args or kwargs) and (layout := layout_of(obs)) not in passed:
            check_obs(env, f"{env_name}: reset()", obs, finite=True)
            passed.append(layout)
        return obs

    def checked_step(*args: Any, **kwargs: Any) -> Step:
        result = step(*args, **kwargs)
        if (layout := _step_layout(result)) not in passed:
            check_step(env, f"{env_name}: step()", result)
            passed.append(layout)
        return result

    env.reset, env.step = checked_reset, checked_step  # type: ignore[method-assign]
    return env


def layout_of(value: Any) -> Any:
    """Return keys, shapes and dtypes as a comparable value; a unique one if the value cannot be described so."""
    kind = type(value)
    if kind is Tensor or kind is np.ndarray:
        return value.shape, value.dtype
    if kind is dict:
        return {key: layout_of(part) for key, part in value.items()}
    return kind if kind in SCALARS else object()


def _step_layout(step: Any) -> Any:
    return [*map(layout_of, step[:5]), type(step.extras)] if isinstance(step, Step) else object()


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
        raise EnvError(f"{where} gave a row that is terminated and truncated; expected at most one of the two")
    if not isinstance(step.extras, dict):
        raise EnvError(f"{where} gave extras of type {type(step.extras).__name__}; expected a dict")


def check_tensor(what: str, value: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Check one tensor.

    Raises:
        EnvError: it is no tensor, or has another shape or dtype.
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
        raise EnvError(f"{what}: no key {missing[0]!r} among {sorted(value.keys())}; expected {sorted(space)}")
    for key, part in space.items():
        yield from _leaves(f"{what}[{key!r}]", value[key], part)


class CheckedCopy(gymnasium.Wrapper):
    """One Gymnasium environment that is checked before it enters a batch.

    A vector environment would meet a wrong shape with an error of NumPy that names nothing, and one that writes into
    shared memory would stretch (1,) over the whole row.

    Args:
        env: the environment.
        env_name: what messages call it.
        always: look at the layout of every step, not of the first alone. It costs 1 us; only where copies run side by
            side is that too little to matter, and only there is nobody else who would notice.
    """

    def __init__(self, env: gymnasium.Env, env_name: str, always: bool = False) -> None:
        super().__init__(env)
        self._env_name = env_name
        self._always = always
        self._passed: deque[Any] = deque(maxlen=LAYOUTS)
        self._unchecked = {"reset", "step"}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        """As Gymnasium's."""
        result = self.env.reset(seed=seed, options=options)
        if self._always or "reset" in self._unchecked:
            where = f"{self._env_name}: reset()"
            check_tuple(where, result, RESET)
            first = "reset" in self._unchecked
            check_value(f"{where} observation", result[0], self.observation_space, finite=first)
            self._unchecked.discard("reset")
        return result

    def step(self, action: Any) -> Any:
        """As Gymnasium's."""
        result: Any = self.env.step(action)
        if self._always or "step" in self._unchecked:
            layout = [*map(layout_of, result[:4]), len(result)] if isinstance(result, tuple) else object()
            if layout not in self._passed:
                self._check_step(f"{self._env_name}: step()", result)
                self._passed.append(layout)
            self._unchecked.discard("step")
        return self._with_plain_numbers(result)

    def _with_plain_numbers(self, result: Any) -> Any:
        """``result`` with numbers in place of arrays and tensors with one element, which copies join differently."""
        if not isinstance(result, tuple) or len(result) != len(STEP):
            return result
        if type(result[1]) in PLAIN and type(result[2]) in PLAIN and type(result[3]) in PLAIN:
            return result
        where = f"{self._env_name}: step()"
        named = zip(STEP[1:4], result[1:4], strict=True)
        return result[0], *(plain_number(f"{where} {name}", value) for name, value in named), result[4]

    def _check_step(self, where: str, result: Any) -> None:
        check_tuple(where, result, STEP)
        check_value(f"{where} observation", result[0], self.observation_space, finite=False)
        for name, value in zip(STEP[1:4], result[1:4], strict=True):
            check_number(f"{where} {name}", value)


def check_tuple(where: str, result: Any, expected: tuple[str, ...]) -> None:
    """Check that a call returned as many things as ``expected`` names.

    Raises:
        EnvError: it did not.
    """
    if not isinstance(result, tuple) or len(result) != len(expected):
        given = f"{len(result)} values" if isinstance(result, tuple) else type(result).__name__
        raise EnvError(f"{where} gave {given}; expected ({', '.join(expected)})")


def check_number(what: str, value: Any) -> None:
    """Check that ``value`` is one number.

    Raises:
        EnvError: what came.
    """
    array = _array(value)
    if array is None or array.size != 1 or array.dtype.kind not in "biuf":
        raise EnvError(f"{what}: got {describe(value)}; expected one number")


def plain_number(what: str, value: Any) -> bool | int | float:
    """``value``, which may be an array or tensor with one element, as a number of Python.

    Raises:
        EnvError: it is something else.
    """
    if type(value) in PLAIN:
        return value
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    check_number(what, value)
    return np.asarray(value).item()


def _array(value: Any) -> np.ndarray | None:
    """``value`` in NumPy; None where its parts differ in shape."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError):
        return None


def check_value(what: str, value: Any, space: spaces.Space, finite: bool) -> None:
    """Check keys, shapes and kinds of numbers of a single observation in NumPy.

    What NumPy casts without losing a kind (an integer for a float, float64 for float32) is right; an image of other
    numbers than uint8 is not.

    Raises:
        EnvError: what came and what was expected.
    """
    for part, leaf, leaf_space in _leaves(what, value, space):
        array = _array(leaf)
        expected = f"expected {leaf_space.shape} of {leaf_space.dtype} (its space)"
        if array is None:
            raise EnvError(f"{part}: got {describe(leaf)}, whose parts differ in shape; {expected}")
        fits = array.dtype.kind in "biuf" and np.can_cast(array.dtype, np.dtype(leaf_space.dtype), "same_kind")
        if leaf_space.dtype == np.uint8:
            fits = array.dtype == np.uint8
        if array.shape != leaf_space.shape or not fits:
            raise EnvError(f"{part}: got {describe(array if array.dtype.kind in 'biuf' else leaf)}; {expected}")
        if finite and not np.isfinite(array).all():
            where = np.argwhere(~np.isfinite(array))[0].tolist()
            raise EnvError(f"{part}: NaN or infinite at index {where}; expected finite numbers")
