"""Environments of this library behind RL Games' ``IVecEnv`` interface."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from manybody.data.tree import tree_map
from manybody.envs import registration, vecenv
from manybody.envs.base import EnvSpec, Obs, VecEnv
from manybody.envs.env_configurations import configurations
from manybody.envs.infos import by_copy
from manybody.envs.rl_games import IVecEnv, RLGamesVecEnv
from manybody.envs.validation import ReturnValidator


class LegacyEnv(IVecEnv):
    """A :class:`VecEnv` through RL Games' protocol; its other attributes are those of the environment.

    Environments reset themselves in the step that ends an episode. Once a client calls :meth:`reset_done` before it
    acts, as IsaacGymEnvs' AMP does, :meth:`step` returns the last observation of an ended episode, if the environment
    has it, and :meth:`reset_done` the first one of the next.

    Args:
        vec_env: the environments.
        infos_by_env: ``infos`` are a list with one dictionary for each environment (RL Games' type ``RAY``).
    """

    viewer = None
    """IsaacGymEnvs' window; there is none."""

    def __init__(self, vec_env: VecEnv, infos_by_env: bool = False) -> None:
        self.vec_env = vec_env
        self._validator = ReturnValidator(getattr(vec_env, "env_name", type(vec_env).__name__))
        self.infos_by_env = infos_by_env
        self.num_actors: int = vec_env.num_envs
        self._obs: Obs = {}
        self._done = torch.zeros(0, dtype=torch.bool)
        self._returns_ends = False

    @property
    def env(self) -> "LegacyEnv":
        """The task, under the name that IsaacGymEnvs' clients use."""
        return self

    def __getattr__(self, name: str) -> Any:
        if name == "vec_env":  # not yet set
            raise AttributeError(name)
        info = self.vec_env.get_env_info()
        return info[name] if name in info else getattr(self.vec_env, name)

    def reset(self) -> Any:
        """``obs`` (N, ...), or ``{'obs': ...[, 'states': ...]}`` where there are several parts."""
        self._obs = self._validator.reset(self.vec_env)
        rows = self.num_actors * self.get_number_of_agents()
        self._done = torch.zeros(rows, dtype=torch.bool, device=self.vec_env.device)
        return _client_obs(self._obs)

    def step(self, actions: Any) -> tuple[Any, Tensor, Tensor, Any]:
        """``obs`` as in :meth:`reset`, ``rewards`` (N,) or (N, V), ``dones`` (N,) bool, ``infos``.

        ``infos`` are the step's extras, ``time_outs`` and ``terminate`` (N,) bool. With ``infos_by_env`` they are a
        list with the same values of each environment as Python numbers.
        """
        step = self._validator.step(self.vec_env, torch.as_tensor(actions, device=self.vec_env.device))
        self._obs = visible = step.obs
        self._done = step.done
        if self._returns_ends and step.final_obs is not None:
            visible = self._with_ends(step.final_obs)
        infos = {**step.extras, "time_outs": step.truncated, "terminate": step.terminated}
        client_infos = by_copy(infos, self.vec_env.num_envs) if self.infos_by_env else infos
        return _client_obs(visible), step.reward, self._done, client_infos

    def reset_done(self) -> tuple[Any, Tensor]:
        """Return the observation to act on, and (K,) int64, the rows whose episode ended in the last step."""
        self._returns_ends = True
        if not self._obs:
            self.reset()
        return _client_obs(self._obs), self._done.nonzero().flatten()

    def _with_ends(self, final_obs: Obs) -> Obs:
        """Replace rows whose episode ended by their last observation."""
        agents = self.get_number_of_agents()

        def end(done: Tensor, now: Tensor, last: Tensor) -> Tensor:
            return torch.where(done.reshape(-1, *[1] * (now.ndim - 1)), last, now)

        ended = {"obs": self._done, "states": self._done[::agents]}
        return {
            key: tree_map(lambda now, last, key=key: end(ended[key], now, last), part, final_obs[key])
            for key, part in self._obs.items()
            if key in ended
        }

    @override
    def get_env_info(self) -> dict[str, Any]:
        return self.vec_env.get_env_info()

    @override
    def get_number_of_agents(self) -> int:
        return self.vec_env.spec.num_agents

    def has_action_masks(self) -> bool:
        """Return whether there are masks; those in observations are known after the first reset."""
        return self.get_action_masks() is not None

    @override
    def get_action_masks(self) -> Any:
        masks: Any = self._obs.get("action_masks")
        return self.vec_env.get_action_masks() if masks is None else masks

    has_action_mask, get_action_mask = has_action_masks, get_action_masks

    @override
    def seed(self, seed: int) -> None:
        if hasattr(self.vec_env, "seed"):
            self.vec_env.seed(seed)

    @override
    def set_train_info(self, env_frames: int, *args: Any, **kwargs: Any) -> None:
        self.vec_env.set_train_info(env_frames, args[0] if args else None)

    @override
    def get_env_state(self) -> Any:
        return self.vec_env.get_env_state()

    def set_env_state(self, env_state: Any) -> None:
        """Restore; does nothing for None, which RL Games' agents pass if a checkpoint has no such state."""
        if env_state is not None:
            self.vec_env.set_env_state(env_state)

    def close(self) -> None:
        """Close the environments."""
        self.vec_env.close()


def _client_obs(obs: Obs) -> Any:
    """Return an observation in RL Games' form: a single tensor without its dictionary."""
    parts = {key: obs[key] for key in ("obs", "states") if key in obs}
    return parts if "states" in parts or isinstance(parts["obs"], Mapping) else parts["obs"]


def legacy_env(env: Any, infos_by_env: bool = False) -> Any:
    """Return environments behind RL Games' interface.

    Args:
        env: a :class:`VecEnv`, or an object of RL Games' protocol, which is returned unchanged.
        infos_by_env: see :class:`LegacyEnv`.
    """
    if isinstance(env, RLGamesVecEnv):
        return env.ivecenv
    return LegacyEnv(env, infos_by_env) if isinstance(getattr(env, "spec", None), EnvSpec) else env


def has_single_envs(env_name: str) -> bool:
    """Return whether ``env_name`` is a configuration of single environments, whose infos RL Games passes as a list."""
    return configurations.get(env_name, {}).get("vecenv_type") == "RAY"


def create_vec_env(config_name: str, num_actors: int, **kwargs: Any) -> Any:
    """Create the environments of the configuration ``config_name``, in RL Games' protocol.

    What a client registered comes back as its creator made it.
    """
    made = vecenv.create_vec_env(config_name, num_actors, **kwargs)
    return legacy_env(made, infos_by_env=has_single_envs(config_name))


def create_legacy_env(env_name: str, num_actors: int, env_config: Mapping[str, Any], seed: int = 0) -> Any:
    """Create the environments that ``config.env_name`` names: RL Games' configurations first, then the library's.

    Args:
        env_name: the name.
        num_actors: number of environments.
        env_config: arguments of their creator.
        seed: of the library's environments; a client's creator gets the seed of ``env_config`` only.

    Raises:
        EnvError: the name is unknown, or the environment cannot be created.
    """
    if env_name in configurations:
        return create_vec_env(env_name, num_actors, **env_config)
    from manybody.tasks.registration import register_tasks

    register_tasks()
    return legacy_env(registration.create_vec_env(env_name, num_actors, **{"seed": seed, **env_config}))
