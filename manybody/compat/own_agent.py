"""The library's agents with RL Games' interface: validated settings, observers that receive RL Games' arguments."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from manybody.algos import a2c
from manybody.algos.a2c import on_policy
from manybody.compat.agent import (
    SETTINGS,
    ChangeableSettings,
    check_device,
    experiment_name,
    open_folder,
    run_paths,
)
from manybody.compat.environments import has_single_envs
from manybody.compat.observers import ClientObserver
from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.compat.rl_games.algos_torch.model_builder import ModelBuilder as CompatBuilder
from manybody.compat.settings import LegacyConfig, record, without_objects
from manybody.compat.writer import LegacyWriter
from manybody.config import ConfigError, Params, dump, parse_params
from manybody.config.errors import notify
from manybody.engine.metrics import AverageMeter
from manybody.engine.run_folder import RunFolder
from manybody.envs.base import VecEnv
from manybody.envs.env_configurations import configurations
from manybody.envs.registration import create_vec_env
from manybody.envs.rl_games import RLGamesVecEnv
from manybody.model_builder import ModelBuilder
from manybody.tasks.registration import register_tasks


def typed_params(params: Mapping[str, Any]) -> Params:
    """Validate ``params``. Unknown keys are removed with a warning, since RL Games accepts them.

    Raises:
        ConfigError: lists all other problems.
    """
    builder, compat = ModelBuilder(), CompatBuilder()
    networks = compat.network_factory.schemas | builder.network_factory.schemas
    models = compat.model_factory.schemas | builder.model_factory.schemas
    register_tasks()
    raw = without_objects(params)
    while True:
        try:
            return parse_params(raw, networks=networks, models=models)
        except ConfigError as error:
            unread = [problem for problem in error.problems if problem.message.startswith("unknown key")]
            if len(unread) < len(error.problems):
                raise ConfigError([problem for problem in error.problems if problem not in unread]) from None
            for problem in unread:
                if not _remove(raw, problem.path.removeprefix("params.").split(".")):
                    raise
                notify(f"{problem.path}: {problem.message}; nothing here reads it")


def _remove(block: Any, path: list[str]) -> bool:
    """Remove the key at ``path``; return whether it was there."""
    for key in path[:-1]:
        block = block.get(key) if isinstance(block, Mapping) else None
    return isinstance(block, dict) and block.pop(path[-1], block) is not block


def own_parts(params: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a library agent for RL Games' ``params``: settings, environments, observer, folder.

    ``params['config']`` becomes the :class:`LegacyConfig` that its observer reads, and the agent after construction.
    """
    typed = typed_params(params)
    check_device(typed.config.device)
    schemas = ModelBuilder()
    ours = (schemas.network_factory.schemas, schemas.model_factory.schemas)
    names = (typed.network["name"], typed.model["name"])
    if any(known[name] is None for known, name in zip(ours, names, strict=True)):
        # A client's network may need what torch.compile cannot do: its author never saw it compiled.
        typed = typed.model_copy(update={"config": typed.config.model_copy(update={"torch_compile": False})})
    named = {"full_experiment_name": experiment_name(params["config"])}
    config = params["config"] = LegacyConfig({**params["config"], **named}, type(typed.config))
    typed = typed.model_copy(update={"config": typed.config.model_copy(update=named)})
    parts: dict[str, Any] = {"params": typed, "folder": partial(_folder, typed)}
    observer = (config.get("features") or {}).get("observer")
    if observer is not None:
        by_copy = has_single_envs(str(config.get("env_name")))
        parts["observer"] = ClientObserver(observer, config, partial(AgentView, config=config), by_copy)
    live: Any = config.get("vec_env")
    if live is not None:
        protocol = not isinstance(live, VecEnv)
        sizes = typed.config.num_actors, typed.config.env_name
        parts["vec_env"] = RLGamesVecEnv(live, *sizes) if protocol else live
    elif typed.config.env_name in configurations:  # a client's: its seed comes in env_config or not at all
        parts["vec_env"] = create_vec_env(typed.config.env_name, typed.config.num_actors, **typed.config.env_config)
    return parts


def _folder(params: Params) -> RunFolder:
    folder = open_folder(params.config.train_dir, params.config.full_experiment_name)
    record(folder, dump(params))
    return folder


class RLGamesAgent:
    """Mixin, before an agent class of this library: RL Games' dictionary of settings, methods and checkpoint keys."""

    ALGORITHM: ClassVar[str]
    """The name of the library's algorithm, also where a client registers a subclass under another name."""

    def __init__(self, base_name: str, params: Mapping[str, Any]) -> None:
        made = {**params, "algo": {"name": self.ALGORITHM}}
        parts = own_parts(made)
        settings = parts["params"].config
        vars(self).update(run_paths(settings.train_dir, settings.full_experiment_name))
        super().__init__(base_name, **parts)  # type: ignore[call-arg]
        self.config = made["config"]
        if callable(self.config.get("reward_shaper")):
            self.rewards_shaper = self.config["reward_shaper"]

    def get_full_state_weights(self) -> dict[str, Any]:
        """Return the state of the library's agent, also under RL Games' keys."""
        from manybody.launch.rl_games_checkpoint import as_rl_games  # imports the command line

        state = super().get_full_state_weights()  # type: ignore[misc]
        return {**as_rl_games(state), **state}

    def save(self, fn: str) -> bool:
        """Write ``<fn>.pth``."""
        torch_ext.save_checkpoint(fn, self.get_full_state_weights())
        return True


class OnPolicyAgent(ChangeableSettings, RLGamesAgent):
    """:class:`RLGamesAgent` with the settings that RL Games lets observers change."""

    PARAMS: ClassVar[dict[str, str]] = {**on_policy.OnPolicyAgent.PARAMS, **SETTINGS}

    @property
    def has_central_value(self) -> bool:
        """Whether a critic sees ``obs['states']``."""
        return self.central_value is not None  # type: ignore[attr-defined]

    @classmethod
    def create(cls, base_name: str, params: Any) -> "AgentView":
        """Create the agent, with RL Games' attributes."""
        agent = cls(base_name, params)
        return AgentView(agent, agent.config)


class ContinuousAgent(OnPolicyAgent, a2c.A2CAgent):
    """``a2c_continuous`` of the library."""

    ALGORITHM = "a2c_continuous"


class DiscreteAgent(OnPolicyAgent, a2c.DiscreteA2CAgent):
    """``a2c_discrete`` of the library."""

    ALGORITHM = "a2c_discrete"


class AgentView:
    """RL Games' attributes of an agent of this library; all others are the agent's."""

    def __init__(self, agent: Any, config: LegacyConfig) -> None:
        self.__dict__.update(agent=agent, config=config, writer=LegacyWriter(agent.writer))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__dict__["agent"], name)
        return MeterView(value) if isinstance(value, AverageMeter) else value

    def __setattr__(self, name: str, value: Any) -> None:
        current = getattr(self.agent, name, None)
        if isinstance(current, Tensor) and isinstance(value, float | int):
            value = torch.full_like(current, value)
        setattr(self.agent, name, value)

    @property
    def central_value_net(self) -> Any:
        """The central value, or None."""
        return self.agent.central_value

    @property
    def mean_rewards(self) -> float:
        """The mean return, -1e9 where no episode has ended."""
        return max(self.agent.run.mean_reward, -1e9)

    @property
    def batch_size_envs(self) -> int:
        """T times the number of environments."""
        return int(self.agent.horizon_length * self.agent.num_actors)


class MeterView:
    """Episode statistics as RL Games' ``AverageMeter``."""

    def __init__(self, meter: Any) -> None:
        self._meter = meter

    def __len__(self) -> int:
        return self.current_size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._meter, name)

    @property
    def current_size(self) -> int:
        """Number of episodes in the mean."""
        return int(self._meter.current_size)

    def get_mean(self) -> Any:
        """The mean, (V,) or one number, as an array."""
        return self._meter.mean.cpu().numpy()
