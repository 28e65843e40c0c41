"""Parts of agents with RL Games' interface: session, environments, run folder."""

import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos.session import EpochMetrics, Session
from manybody.compat.environments import create_legacy_env
from manybody.compat.settings import LegacyConfig
from manybody.config import ConfigError, Problem
from manybody.config.files import expanded
from manybody.engine.accelerate import has_device
from manybody.engine.checkpoint import load_checkpoint, require
from manybody.engine.checkpoint.parts import restore
from manybody.engine.checkpoint.rl_games import converted, without_unused
from manybody.engine.console import say
from manybody.engine.metrics import mean_of
from manybody.engine.run_folder import RunFolder
from manybody.envs.spaces import gymnasium_space


class ClientSession(Session):
    """Takes the result of RL Games' ``train_epoch``, and passes it to ``write_stats``."""

    agent: Any

    @override
    def begin_epoch(self) -> None:
        super().begin_epoch()
        self.agent.guard.start_epoch()  # a client's play_steps does not

    @override
    def end_epoch(self, metrics: Any) -> None:
        agent = self.agent
        *times, a_losses, c_losses = metrics[:6]
        *b_losses, entropies, kls, last_lr, lr_mul = metrics[6:]
        step_time, play_time, update_time, sum_time = times
        agent.frame += agent.curr_frames
        scaled = agent.num_agents * sum_time, agent.num_agents * play_time, agent.curr_frames
        stats = (a_losses, c_losses, entropies, kls, last_lr, lr_mul, agent.frame // agent.num_agents)
        agent.write_stats(self.elapsed + sum_time, agent.epoch_num, *times[:3], *stats, *scaled)
        means = {
            "losses/a_loss": a_losses,
            "losses/c_loss": c_losses,
            "losses/entropy": entropies,
            "info/kl": kls,
            "losses/bounds_loss": b_losses[0] if b_losses else [],
            **{f"losses/{name}": losses for name, losses in agent.aux_loss_dict.items() if "/" not in name},
        }
        scalars = {
            **{tag: mean_of(values) for tag, values in means.items() if values},
            "info/last_lr": last_lr * lr_mul,
            "info/lr_mul": lr_mul,
            "info/e_clip": agent.e_clip * lr_mul,
            **agent.epoch_scalars,
        }
        agent.epoch_scalars = {}
        updates = agent.mini_epochs_num * agent.num_minibatches
        on_host = {tag: torch.as_tensor(value) for tag, value in scalars.items()}
        super().end_epoch(EpochMetrics(agent.curr_frames, step_time, play_time, update_time, updates, on_host))
        agent.mean_rewards = self.mean_reward


class Described(NamedTuple):
    """The description of environments that the library's constructor reads."""

    env_info: Mapping[str, Any]
    num_envs: int

    def get_env_info(self) -> dict[str, Any]:
        """Sizes, with RL Games' defaults, and spaces as Gymnasium's."""
        spaces = {key: gymnasium_space(part) for key, part in self.env_info.items() if key.endswith("_space")}
        return {"agents": 1, "value_size": 1, **self.env_info, **spaces}


def open_environments(params: Mapping[str, Any], config: LegacyConfig) -> tuple[Any, Any]:
    """Return the environments, which may be None, and their description; a client may pass both in ``config``."""
    env, env_info = config.get("vec_env"), config.get("env_info")
    num_actors = int(config.typed.num_actors)
    if env_info is None:
        env = create_legacy_env(config["env_name"], num_actors, config.get("env_config") or {}, params.get("seed") or 0)
        env_info = env.get_env_info()
    for name, default in _MISSING.items():
        if env is not None and not hasattr(env, name):
            setattr(env, name, default)
    return env, Described(env_info, num_actors)


_MISSING: Mapping[str, Any] = {
    "restores_exactly": False,
    "stagger_episodes": lambda: None,
    "set_train_info": lambda frame, agent: None,
    "get_env_state": lambda: None,
    "set_env_state": lambda state: None,
}
"""Attributes that the library reads of environments and that RL Games' protocol need not have."""


def time_outs(infos: Any, rows: int) -> Any:
    """Return the truncated episodes (``rows``,) in ``infos``, a dictionary or one per environment; None without."""
    if isinstance(infos, dict):
        return infos.get("time_outs")
    if infos and all(isinstance(info, dict) and "time_outs" in info for info in infos):
        return np.array([info["time_outs"] for info in infos]).repeat(rows // len(infos))
    return None


def cast_array(array: Any, device: Any) -> Any:
    """Return a NumPy array as a tensor on ``device``, floats as float32; anything else unchanged."""
    if not isinstance(array, np.ndarray):
        return array
    cast: Tensor = torch.from_numpy(array if array.dtype == np.uint8 else array.astype(np.float32))
    return cast.to(device)


def run_paths(train_dir: str, experiment_name: str) -> dict[str, str]:
    """Return the paths of a run under RL Games' attributes."""
    train_dir = expanded(train_dir)
    folder = os.path.join(train_dir, experiment_name)
    return {
        "train_dir": train_dir,
        "experiment_name": experiment_name,
        "experiment_dir": folder,
        "nn_dir": os.path.join(folder, "nn"),
        "summaries_dir": os.path.join(folder, "summaries"),
    }


def check_device(device: str) -> None:
    """Raise ConfigError unless PyTorch can use ``device`` here."""
    if not has_device(device):
        what = f"got {device!r}, which PyTorch cannot use on this machine; expected 'cpu'"
        raise ConfigError([Problem("params.config.device", what)])


def experiment_name(config: Mapping[str, Any]) -> str:
    """Return ``full_experiment_name``, or else a name from ``name`` and the time."""
    exact = config.get("full_experiment_name")
    if exact:
        # Isaac Lab's tuner reads this line.
        say(f"Exact experiment name requested from command line: {exact}")
        return str(exact)
    member = f"_pbt_{config['pbt_idx']:02d}" if config.get("population_based_training") else ""
    return f"{config['name']}{member}{time.strftime('_%d-%H-%M-%S')}"


_FOLDERS: dict[str, RunFolder] = {}
"""Run folders of this process by path: RL Games' scripts may train twice within a second, in the same folder."""


def open_folder(train_dir: str, experiment_name: str) -> RunFolder:
    """Create the run folder of that name, or open the existing one."""
    train_dir = expanded(train_dir)
    path = os.path.realpath(os.path.join(train_dir, experiment_name))
    known = _FOLDERS.get(path)
    if not os.path.isdir(os.path.join(path, "nn")):
        _FOLDERS[path] = RunFolder.create(train_dir, experiment_name, experiment_name)
    elif known is None:
        _FOLDERS[path] = RunFolder.resume(os.path.join(train_dir, experiment_name))
    else:
        known.lock()
    return _FOLDERS[path]


SETTINGS = {name: name for name in ("mini_epochs_num", "grad_norm", "bounds_loss_coef")}
"""Settings that RL Games lets observers change besides the library's, and their attributes."""


class ChangeableSettings:
    """``get_param`` and ``set_param`` by RL Games' names, for agents of the library and of clients."""

    def restore_central_value_function(self, fn: str) -> None:
        """Load the weights of the central value from the file ``fn``."""
        key, state = "assymetric_vf_nets", converted(load_checkpoint(fn), fn)
        part = self.central_value.learner_parts()[key]  # type: ignore[attr-defined]
        restore({key: part}, {key: without_unused(require(state, key, fn), part.state_dict(), state)}, fn)

    def get_param(self, param_name: str) -> Any:
        """Return a setting by RL Games' name. Raises KeyError with the known names."""
        if param_name == "kl_threshold":
            return self.scheduler.kl_threshold  # type: ignore[attr-defined]
        return super().get_param(param_name)  # type: ignore[misc]

    def set_param(self, param_name: str, param_value: Any) -> None:
        """Change a setting by RL Games' name. Raises KeyError with the known names."""
        if param_name == "kl_threshold":
            self.scheduler.kl_threshold = param_value  # type: ignore[attr-defined]
        else:
            super().set_param(param_name, param_value)  # type: ignore[misc]
