"""Isaac Lab's wrapper classes: an environment with its own interface becomes RL Games' vector environment."""

import gym.spaces
import torch
from rl_games.common import env_configurations
from rl_games.common.vecenv import IVecEnv
from world import PointMass


class ManagerEnv:
    """A task with gymnasium's five values, groups of observations and a log of its episodes."""

    def __init__(self, num_envs=4, is_finite_horizon=False, **more):
        self.point = PointMass(num_envs, **more)
        self.num_envs, self.is_finite_horizon = num_envs, is_finite_horizon
        self.group_sizes = {"policy": 4, "critic": 6, "goal": 2}

    def observe(self):
        return {
            "policy": self.point.observe(),
            "critic": self.point.observe_all(),
            "goal": -self.point.position,
        }

    def reset(self):
        self.point.reset()
        return self.observe(), {}

    def step(self, actions):
        reward, failed, run_out = self.point.push(actions)
        self.point.restart(failed | run_out)
        log = {"Episode_Reward/near": reward.mean(), "Metrics/failed": failed.float().mean().item()}
        return self.observe(), reward, failed, run_out & ~failed, {"log": log}


class RlGamesVecEnvWrapper(IVecEnv):
    """``obs_groups`` says which groups make the observation and which the critic's state.

    Groups are put side by side, or given as a dictionary with ``concatenate=False``.
    """

    def __init__(self, env, rl_device, clip_obs, clip_actions, obs_groups=None, concatenate=True):
        self.env, self._rl_device = env, rl_device
        self._clip_obs, self._clip_actions = clip_obs, clip_actions
        self._groups = obs_groups or {"obs": ["policy"], "states": []}
        self._concatenate = concatenate
        self.rlg_num_states = len(self._groups["states"])

    @property
    def num_envs(self):
        return self.env.num_envs

    def _space(self, names):
        boxes = {name: gym.spaces.Box(-self._clip_obs, self._clip_obs, (self.env.group_sizes[name],)) for name in names}
        if not self._concatenate:
            return gym.spaces.Dict(boxes)
        size = sum(box.shape[0] for box in boxes.values())
        return gym.spaces.Box(-self._clip_obs, self._clip_obs, (size,))

    @property
    def observation_space(self):
        return self._space(self._groups["obs"])

    @property
    def action_space(self):
        return gym.spaces.Box(-self._clip_actions, self._clip_actions, (2,))

    @property
    def state_space(self):
        return self._space(self._groups["states"]) if self.rlg_num_states else None

    def get_number_of_agents(self):
        return getattr(self, "num_agents", 1)

    def get_env_info(self):
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "state_space": self.state_space,
        }

    def reset(self):
        return self._process_obs(self.env.reset()[0])

    def step(self, actions):
        actions = actions.detach().clone().to(device="cpu")
        actions = torch.clamp(actions, -self._clip_actions, self._clip_actions)
        groups, reward, terminated, truncated, extras = self.env.step(actions)
        if not self.env.is_finite_horizon:
            extras["time_outs"] = truncated.to(device=self._rl_device)
        dones = (terminated | truncated).to(device=self._rl_device)
        extras = {name: value.to("cpu") if hasattr(value, "to") else value for name, value in extras.items()}
        if "log" in extras:
            extras["episode"] = extras.pop("log")
        return self._process_obs(groups), reward.to(device=self._rl_device), dones, extras

    def close(self):
        return None

    def _process_obs(self, groups):
        sides = {
            side: {name: groups[name].clamp(-self._clip_obs, self._clip_obs).clone() for name in names}
            for side, names in self._groups.items()
        }
        if self._concatenate:
            sides = {side: torch.cat(list(parts.values()), dim=-1) for side, parts in sides.items() if parts}
        return sides if self.rlg_num_states or not self._concatenate else sides["obs"]


class RlGamesGpuEnv(IVecEnv):
    """What the registry makes: asks the registered creator for the wrapper."""

    def __init__(self, config_name, num_actors, **kwargs):
        self.env = env_configurations.configurations[config_name]["env_creator"](**kwargs)

    def step(self, action):
        return self.env.step(action)

    def reset(self):
        return self.env.reset()

    def get_number_of_agents(self):
        return self.env.get_number_of_agents()

    def get_env_info(self):
        return self.env.get_env_info()
