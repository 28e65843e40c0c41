"""Isaac Lab's environments, and mjlab's, which share their interface, as a :class:`VecEnv`."""

import atexit
import builtins
import difflib
import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import torch
from gymnasium import spaces
from torch import Tensor
from typing_extensions import override

from manybody.data.tree import Tree, leaves
from manybody.envs.base import EnvError, EnvSpec, Extras, Obs, Step, VecEnv
from manybody.envs.spaces import gymnasium_space, observation_tensors, outcome
from manybody.envs.validation import RESET, STEP, check_tuple

OPTIONS = ("obs_groups", "concat_obs_groups", "clip_obs", "clip_actions")
"""Keys of ``env_config`` that are arguments of :class:`IsaacLabEnv`, not fields of the task."""


class IsaacLabEnv(VecEnv):
    """A ``DirectRLEnv`` or ``ManagerBasedRLEnv`` (also inside wrappers of Gymnasium), on the device of its tensors.

    It resets in the step that ends an episode and returns only the new observation, so ``final_obs`` is None. Its
    ``extras['log']`` becomes ``extras['episode']``. With ``cfg.is_finite_horizon``, episodes that reach the time limit
    are terminated, not truncated.

    The state cannot be saved: a resumed run starts new episodes.

    Args:
        env: the environments.
        env_name: name of the environments in messages.
        obs_groups: the groups of observations for ``obs`` and ``states``. Default: the first of :attr:`POLICY` that
            exists, and ``critic`` if it exists.
        concat_obs_groups: concatenate several groups to one vector; False: a ``Dict`` with a part for each group.
        clip_obs: limit of the absolute value of float observations.
        clip_actions: limit of the absolute value of ``Box`` actions, and the bounds of their space.

    Raises:
        EnvError: the interface is different, a group does not exist, or groups cannot be concatenated.
    """

    POLICY: tuple[str, ...] = ("policy",)

    def __init__(
        self,
        env: Any,
        env_name: str = "",
        *,
        obs_groups: Mapping[str, Sequence[str]] | None = None,
        concat_obs_groups: bool = True,
        clip_obs: float = math.inf,
        clip_actions: float = math.inf,
    ) -> None:
        self.env, self.clip_obs, self.clip_actions = env, clip_obs, clip_actions
        kind = type(env.unwrapped).__name__
        self.env_name = env_name or kind
        for name in ("num_envs", "device", "single_observation_space", "single_action_space"):
            if not hasattr(env.unwrapped, name):
                raise EnvError(
                    f"{self.env_name}: got {kind}, which has no {name}; expected a DirectRLEnv or a ManagerBasedRLEnv. "
                    "isaaclab.envs.multi_agent_to_single_agent makes one of a DirectMARLEnv"
                )
        self.num_envs = env.unwrapped.num_envs
        self.device = torch.device(env.unwrapped.device)
        self.finite_horizon = getattr(env.unwrapped.cfg, "is_finite_horizon", False)
        self._join = concat_obs_groups
        groups = env.unwrapped.single_observation_space.spaces
        self._spaces = {name: gymnasium_space(space) for name, space in groups.items()}
        policy = [name for name in self.POLICY if name in self._spaces] or self.POLICY
        states = ["critic"] if "critic" in self._spaces else []
        self.groups: dict[str, Sequence[str]] = {"obs": policy[:1], "states": states, **(obs_groups or {})}
        for part, names in self.groups.items():
            if part not in ("obs", "states") or set(names) - set(self._spaces) or not self.groups["obs"]:
                raise EnvError(
                    f"env_config.obs_groups: got {part}: {list(names)}; expected lists 'obs' and 'states' of groups "
                    f"that {self.env_name} has: {sorted(self._spaces)}"
                )
        action_space = gymnasium_space(env.unwrapped.single_action_space)
        if isinstance(action_space, spaces.Box) and math.isfinite(clip_actions):
            action_space = spaces.Box(-clip_actions, clip_actions, action_space.shape)
        state_space = self._space("states") if self.groups["states"] else None
        self.spec = EnvSpec(self._space("obs"), action_space, state_space)

    def _space(self, part: str) -> spaces.Space:
        groups = {name: self._spaces[name] for name in self.groups[part]}
        if len(groups) == 1:
            return next(iter(groups.values()))
        if not self._join:
            return spaces.Dict(groups)
        shapes = [space.shape or () for space in groups.values()]
        if not all(len(shape) == 1 for shape in shapes):
            raise EnvError(
                f"env_config.obs_groups.{part}: got {list(groups)} of {self.env_name} with the shapes {shapes}; "
                "expected vectors, which can be joined, or concat_obs_groups: False, which keeps the groups apart"
            )
        return spaces.Box(-math.inf, math.inf, (sum(size for (size,) in shapes),))

    def _obs(self, call: str, observation: Mapping[str, object]) -> Obs:
        return {
            part: self._part(f"{self.env_name}: {call} {part!r}", groups, observation)
            for part, groups in self.groups.items()
            if groups
        }

    def _part(self, what: str, groups: Sequence[str], observation: Mapping[str, object]) -> Tree:
        if missing := sorted(set(groups) - set(observation)):
            raise EnvError(f"{what}: got the groups {sorted(observation)}; expected {missing[0]!r} too")
        parts = {
            name: observation_tensors(self._spaces[name], observation[name], f"{what}[{name!r}]") for name in groups
        }
        if math.isfinite(self.clip_obs):
            for leaf in leaves(parts):
                if leaf.is_floating_point():
                    leaf.clamp_(-self.clip_obs, self.clip_obs)
        if len(groups) == 1:
            return parts[groups[0]]
        return torch.cat([*leaves(parts)], dim=1) if self._join else parts

    def _extras(self, infos: Extras) -> Extras:
        extras = {key: value for key, value in infos.items() if key not in ("log", "time_outs")}
        return {**extras, "episode": dict(infos["log"])} if "log" in infos else extras

    @override
    def reset(self) -> Obs:
        result = self.env.reset()
        check_tuple(f"{self.env_name}: reset()", result, RESET)
        return self._obs("reset()", result[0])

    @override
    def step(self, actions: Tensor) -> Step:
        if isinstance(self.spec.action_space, spaces.Box):
            actions = actions.clamp(-self.clip_actions, self.clip_actions)
        where = f"{self.env_name}: step()"
        result = self.env.step(actions.reshape(self.num_envs, -1))  # Discrete too
        check_tuple(where, result, STEP)
        observation, *outcomes, infos = result
        reward, terminated, truncated = outcome(where, self.num_envs, *outcomes)
        if self.finite_horizon:
            terminated, truncated = terminated | truncated, torch.zeros_like(truncated)
        return Step(self._obs("step()", observation), reward, terminated, truncated, None, self._extras(infos))

    @override
    def close(self) -> None:
        self.env.close()


def from_task(
    task: str,
    num_actors: int,
    seed: int | None = None,
    device: str | None = None,
    app: Mapping[str, object] | None = None,
    **cfg: Any,
) -> IsaacLabEnv:
    """Create an Isaac Lab task by its id; start Isaac Sim first, headless, if it is not running.

    Args:
        task: the id; ``module:id`` imports the module that registers it.
        num_actors: number of environments.
        seed: seed of the simulation; None: the seed of the task's configuration.
        device: device of the simulation; None: the first GPU, or the CPU if there is none.
        app: arguments of Isaac Lab's ``AppLauncher``, such as ``enable_cameras``.
        cfg: arguments of :class:`IsaacLabEnv`, and fields of the task's configuration.
    """
    options = {name: cfg.pop(name) for name in OPTIONS if name in cfg}
    device = device or default_device()
    module, _, name = task.rpartition(":")
    try:
        if not hasattr(builtins, "ISAAC_LAUNCHED_FROM_TERMINAL"):  # Isaac Sim sets it when it starts
            launch = importlib.import_module("isaaclab.app").AppLauncher
            # Closing Isaac Sim ends the process: at the very end, when the run is saved.
            atexit.register(launch(**{"headless": True, "device": device, **(app or {})}).app.close)
        tasks = importlib.import_module("isaaclab_tasks.utils")
        if module:
            importlib.import_module(module)
    except ImportError as error:
        raise EnvError(
            f"env_name: 'isaaclab:{task}' needs Isaac Lab ({error}); install Isaac Lab with its own guide, and this "
            "package into the same environment"
        ) from error
    known = [spec.id for spec in gymnasium.registry.values() if "env_cfg_entry_point" in spec.kwargs]
    check_task(f"isaaclab:{task}", name, known)
    settings = tasks.parse_env_cfg(name, device=device, num_envs=num_actors)
    if seed is not None:
        settings.seed = seed
    set_fields(settings, cfg)
    env = gymnasium.make(name, cfg=settings, disable_env_checker=True)
    return IsaacLabEnv(env, f"isaaclab:{task}", **options)


def default_device() -> str:
    """Return the first GPU, or the CPU if there is none."""
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def check_task(env_name: str, task: str, known: Sequence[str]) -> None:
    """Raise EnvError, with the nearest names, unless ``task`` is ``known``."""
    if task not in known:
        near = difflib.get_close_matches(task, known, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise EnvError(
            f"env_name: got {env_name!r}; expected a registered task{hint} module:id imports the module that registers "
            "its own"
        )


def set_fields(cfg: object, values: Mapping[str, object], where: str = "env_config") -> None:
    """Set ``values`` in a configuration of dataclasses and dictionaries, recursively."""
    fields = cfg if isinstance(cfg, dict) else vars(cfg)
    for name, value in values.items():
        if name not in fields:
            raise EnvError(f"{where}: got {name!r}; expected one of {', '.join(map(str, fields))}")
        if isinstance(value, Mapping) and (isinstance(fields[name], dict) or hasattr(fields[name], "__dict__")):
            set_fields(fields[name], value, f"{where}.{name}")
        elif isinstance(cfg, dict):
            cfg[name] = value
        else:
            setattr(cfg, name, value)
