"""Agents and environments with RL Games' interface, for RL Games 1.6.5 and for the compatibility package."""

import contextlib
import copy
import io
from typing import Any

import torch

from manybody.envs.base import VecEnv


class RlGamesEnv:
    """An environment of this library as RL Games' ``IVecEnv``: ``step`` returns four values, time-outs in the infos.

    Args:
        env: the environment.
        states: whether observations contain the states for a central value.
    """

    def __init__(self, env: VecEnv, states: bool = False) -> None:
        self.env, self.states = env, states

    def _obs(self, obs: Any) -> Any:
        return {"obs": obs["obs"], "states": obs["states"]} if self.states else obs["obs"]

    def reset(self) -> Any:
        return self._obs(self.env.reset())

    def step(self, actions: torch.Tensor) -> tuple[Any, ...]:
        step = self.env.step(actions)
        return self._obs(step.obs), step.reward, step.done.byte(), {"time_outs": step.truncated}

    def get_env_info(self) -> dict[str, Any]:
        info = dict(self.env.get_env_info())
        if not self.states:
            info.pop("state_space", None)
        return info

    def get_env_state(self) -> None:
        return None

    def set_env_state(self, state: Any) -> None:
        pass

    def set_train_info(self, frame: int, agent: Any) -> None:
        pass


def complete_params(params: dict[str, Any], observer: Any, env: Any, folder: Any, **config: Any) -> dict[str, Any]:
    """Return a copy of ``params`` with the environment, the observer and the other keys that agents require."""
    params = copy.deepcopy(params)
    central = params["config"].get("central_value_config", {})
    for network in (params["network"], central.get("network", {})):
        network.setdefault("normalization", None)
    params["config"] |= {
        "features": {"observer": observer},
        "env_info": env.get_env_info(),
        "vec_env": env,
        "train_dir": str(folder),
        **config,
    }
    return params


def rl_games_params(params: dict[str, Any], env: Any, folder: Any, **config: Any) -> dict[str, Any]:
    """Return :func:`complete_params` with the objects and types that RL Games 1.6.5 requires."""
    from rl_games.common.algo_observer import DefaultAlgoObserver
    from rl_games.common.tr_helpers import DefaultRewardsShaper

    params = complete_params(params, DefaultAlgoObserver(), env, folder, device="cpu", device_name="cpu", **config)
    settings = params["config"]
    settings["reward_shaper"] = DefaultRewardsShaper(**settings.get("reward_shaper", {}))
    for key in ("alpha_lr", "actor_lr", "critic_lr"):
        if key in settings:
            settings[key] = float(settings[key])
    return params


def create(agent_class: Any, params: dict[str, Any]) -> Any:
    """Create an agent with seed 0; RL Games' prints are suppressed."""
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        return agent_class("run", params)


def largest_difference(ours: torch.nn.Module, reference: torch.nn.Module) -> float:
    """Return the largest difference of any parameter or statistic of two models."""
    state, other = ours.state_dict(), reference.state_dict()
    assert sorted(state) == sorted(other)
    return max((state[name] - other[name]).abs().max().item() for name in state)
