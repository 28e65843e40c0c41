"""A trained policy as a function of observations, without environment and simulator."""

import os
from collections.abc import Mapping
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from typing_extensions import override

from manybody.algos.player import BasePlayer
from manybody.data.tree import Tree, leaves
from manybody.engine.run_folder import RunFolder
from manybody.envs.base import EnvInfo, Obs, Step, VecEnv
from manybody.envs.registration import create_vec_env
from manybody.envs.spaces import environment_actions, head_sizes
from manybody.launch.resolve import ResolvedRun, resolve_play
from manybody.runner import build_runner
from manybody.tasks import make_config, task_class
from manybody.tasks.registration import registered_task


class Policy:
    """A function from observations to actions; see :func:`load_policy`.

    Args:
        player: a restored player.
        deterministic: return the most likely action; False: draw one.
    """

    def __init__(self, player: BasePlayer, deterministic: bool = True) -> None:
        self.player = player
        self.deterministic = deterministic
        self.device: torch.device = player.device
        self.observation_space: spaces.Space = player.env_info["observation_space"]
        self.action_space: spaces.Space = player.env_info["action_space"]
        self._parts = dict(self.observation_space.spaces) if isinstance(self.observation_space, spaces.Dict) else {}
        self._rows: int | None = None

    @torch.no_grad()
    def __call__(self, obs: object, action_masks: object = None) -> Any:
        """Return the actions for observations.

        Args:
            obs: one observation (O,), or a batch (N, O); a tensor, an array or a list. For a ``Dict`` space a
                dictionary; also ``{'obs': ...}``, as environments return it.
            action_masks: (K,) or (N, K) bool, the allowed actions of all heads; only for discrete policies.

        Returns:
            Actions in the action space's numbers, of the type and device of ``obs``: (A,) or (N, A); for a
            ``Discrete`` space an int or (N,).

        Raises:
            ValueError: ``obs`` or ``action_masks`` has a wrong shape or non-finite values; or the number of rows of a
                recurrent policy changed without :meth:`reset`.
        """
        if isinstance(obs, Mapping) and "obs" in obs and "obs" not in self._parts:
            if action_masks is None and not isinstance(self.action_space, spaces.Box):
                action_masks = obs.get("action_masks")
            obs = obs["obs"]
        batch, single = self._batch(obs)
        rows = len(next(leaves(batch)))
        self._prepare(rows)
        if action_masks is None:
            actions = self.player.get_action({"obs": batch}, self.deterministic)
        else:
            masks = self._masks(action_masks, rows)
            actions = self.player.get_masked_action({"obs": batch}, masks, self.deterministic)
        return self._converted(actions, next(leaves(obs)), single)

    def reset(self, done: object = None) -> None:
        """Reset the recurrent state, if the policy has one.

        Args:
            done: (N,) bool, the rows whose episode ended; None: all, and the next batch may have another N.
        """
        if done is None:
            self._rows = None
            self.player.states = None
        elif self.player.states is not None:
            keep = ~torch.as_tensor(done, dtype=torch.bool, device=self.device).reshape(-1)
            if len(keep) != self._rows:
                raise ValueError(f"done: got shape ({len(keep)},); expected ({self._rows},)")
            states = self.player.states
            self.player.states = tuple(state * keep.float().unsqueeze(-1) for state in states)

    def _batch(self, obs: object) -> tuple[Tree, bool]:
        """Return ``obs`` as a batch on the policy's device, and whether it was a single observation."""
        if not self._parts:
            if isinstance(obs, Mapping):
                raise ValueError(f"obs: got keys {sorted(obs)}; expected an observation, or {{'obs': ...}}")
            return self._with_rows("obs", obs, self.observation_space)
        if not isinstance(obs, Mapping) or set(self._parts) - set(obs):
            found = f"keys {sorted(obs)}" if isinstance(obs, Mapping) else type(obs).__name__
            raise ValueError(f"obs: got {found}; expected a dictionary with the keys {sorted(self._parts)}")
        parts = {key: self._with_rows(f"obs.{key}", obs[key], space) for key, space in self._parts.items()}
        batch, single = {key: x for key, (x, _) in parts.items()}, {single for _, single in parts.values()}
        if len({len(x) for x in batch.values()}) > 1 or len(single) > 1:
            shapes = {key: tuple(x.shape) for key, x in batch.items()}
            raise ValueError(f"obs: got {shapes}; expected the same number of rows for every key")
        return batch, single.pop()

    def _with_rows(self, name: str, value: object, space: spaces.Space) -> tuple[Tensor, bool]:
        dtype = torch.uint8 if space.dtype == np.uint8 else torch.float32
        if value is None:
            raise ValueError(f"{name}: got None; expected an observation")
        x = torch.as_tensor(value if isinstance(value, Tensor) else np.array(value), dtype=dtype, device=self.device)
        if not x.isfinite().all():  # the action would be NaN too, which must not reach a robot
            raise ValueError(f"{name}: got NaN or infinity; expected finite numbers")
        shape = tuple(space.shape or ())
        single = tuple(x.shape) == shape
        if not single and (tuple(x.shape[1:]) != shape or x.ndim != len(shape) + 1 or not len(x)):
            expected = f"{shape} or ({', '.join(['N', *map(str, shape)])})"
            raise ValueError(f"{name}: got shape {tuple(x.shape)}; expected {expected}")
        return (x.unsqueeze(0), True) if single else (x, False)

    def _masks(self, masks: object, rows: int) -> Tensor:
        if isinstance(self.action_space, spaces.Box):
            raise ValueError("action_masks: got masks; expected none, since the actions are continuous")
        total = sum(head_sizes(self.action_space))
        x = torch.as_tensor(masks if isinstance(masks, Tensor) else np.asarray(masks), device=self.device)
        x = x.unsqueeze(0) if x.ndim == 1 and rows == 1 else x
        if tuple(x.shape) != (rows, total):
            expected = f"({rows}, {total})" + (f" or ({total},)" if rows == 1 else "")
            raise ValueError(f"action_masks: got shape {tuple(x.shape)}; expected {expected}")
        return x.bool()

    def _prepare(self, rows: int) -> None:
        """Create a recurrent state for ``rows`` rows, or check that the existing one has as many."""
        self.player.rows = rows
        states = self.player.states
        if self._rows is None:
            self.player.reset()
            states = self.player.states
            if states is not None:
                self.player.states = tuple(state[:, :1].repeat(1, rows, 1) for state in states)
        elif self._rows != rows and states is not None:
            reset = "Call reset() first for another number"
            raise ValueError(f"obs: got {rows} rows; expected {self._rows}, whose recurrent state is kept. {reset}")
        self._rows = rows

    def _converted(self, actions: Tensor, like: object, single: bool) -> Any:
        """Convert ``actions`` (N, ...) to the type of ``like``; without the first axis for a single observation."""
        if isinstance(self.action_space, spaces.Box):
            actions = actions[0] if single else actions
            return actions.to(like.device) if isinstance(like, Tensor) else actions.cpu().numpy()
        counted = environment_actions(self.action_space, actions.cpu())
        array = np.stack(counted, axis=-1) if isinstance(counted, tuple) else counted
        array = array[0] if single else array
        if isinstance(like, Tensor):
            return torch.as_tensor(array, device=like.device)
        return int(array) if array.ndim == 0 else array


def load_policy(path: str | os.PathLike, deterministic: bool = True, device: str = "cpu") -> Policy:
    """Load the policy of a run.

    Args:
        path: a run folder, whose best policy is loaded, or a checkpoint file in one.
        deterministic: return the most likely action; False: draw one from PyTorch's generator.
        device: the policy's device.

    Returns:
        A function of observations: ``load_policy("runs/X")(obs)``.

    Raises:
        RunFolderError: there is no run or no checkpoint.
        ConfigError, CheckpointError: the configuration or the file is invalid.
        EnvError: an environment of another library, needed for its spaces, cannot be created.
    """
    found = RunFolder.resolve(Path(path))
    runner = build_runner()
    run = resolve_play(runner, None, ["num_envs=1", f"rl_device={device}"], found=found)
    env = SpacesOnly(_env_info(run))
    player = runner.player_factory.create(run.params.algo.name, params=run.params, vec_env=env)
    player.restore(str(found[1]))
    return Policy(player, deterministic)


class SpacesOnly(VecEnv):
    """A placeholder for environments of which only the spaces are needed."""

    def __init__(self, env_info: EnvInfo) -> None:
        self.num_envs, self.device = 1, torch.device("cpu")
        self._env_info = {**env_info, "agents": 1}

    @override
    def get_env_info(self) -> EnvInfo:
        return self._env_info

    @override
    def reset(self) -> Obs:
        raise NotImplementedError("a loaded policy has no environment; make one with manybody.make")

    @override
    def step(self, actions: Tensor) -> Step:
        raise NotImplementedError("a loaded policy has no environment; make one with manybody.make")


def _env_info(run: ResolvedRun) -> EnvInfo:
    """Return the spaces that a run was trained with; create the environment only if it is of another library."""
    config = run.params.config
    settings = dict(config.player.env_config or config.env_config)
    name = str(config.env_name)
    task = registered_task(name) if run.task is None else task_class(run.cfg.task_name)
    if task is not None and task.__module__.startswith("manybody."):
        own = {key: x for key, x in settings.items() if key not in ("seed", "sim_device", "num_threads")}
        return task.spec_of(make_config(name, own) if run.task is None else run.task).env_info()
    env = run.make_task(1) or create_vec_env(config.env_name, 1, **{"seed": run.params.seed, **settings})
    with closing(env) if hasattr(env, "close") else nullcontext():
        return env.get_env_info()
