"""RL Games' ``BasePlayer``: a trained policy, acting step by step or in a loop of its own."""

import inspect
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from manybody.algos import player as library
from manybody.algos.player import PlayResult
from manybody.compat.agent import cast_array, check_device
from manybody.compat.environments import create_legacy_env
from manybody.compat.rl_games.algos_torch.model_builder import ModelBuilder
from manybody.compat.rl_games.common.env_configurations import configurations, get_env_info
from manybody.data.tree import tree_map
from manybody.engine.console import say, warn
from manybody.engine.guard import PlayGuard, left_out_text
from manybody.envs.base import Step

GAMES = 2000
"""``player.games_num`` where the configuration has none, as in RL Games up to 1.6.1."""


class BasePlayer:
    """Settings as attributes, the environments, and the conversions between them and a policy.

    A client may call this constructor alone and build its own model afterwards.

    Args:
        params: the section ``params``; ``config`` in it is kept and changed. A dictionary without ``config``
            is the configuration itself, and its ``network`` builds the model (RL Games 1.1).

    Raises:
        ConfigError: PyTorch cannot use the device.
        EnvError: unknown environment.
    """

    is_rnn = False
    model: Any

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.config: Any = params.get("config", params)
        config = self.config
        if "config" in params:
            self.load_networks(params)
        self.player_config: Any = config.get("player") or {}
        self._take_settings()
        self.env: Any = config.get("vec_env")
        self.env_info: Any = config.get("env_info")
        if self.env_info is None:
            self._make_env()
        self.num_agents: int = self.env_info.get("agents", 1)
        self.value_size: int = self.env_info.get("value_size", 1)
        self.action_space: Any = self.env_info["action_space"]
        self.state_space: Any = self.env_info.get("state_space")
        self.observation_space: Any = self.env_info["observation_space"]
        space = self.observation_space
        is_dict = type(space).__name__ == "Dict"  # legacy gym's and Gymnasium's
        self.obs_shape: Any = {key: part.shape for key, part in space.spaces.items()} if is_dict else space.shape
        self.is_tensor_obses = False
        self.states: Any = None
        self.batch_size = 1
        self.has_batch_dimension = False

    def _take_settings(self) -> None:
        config, player = self.config, self.player_config
        self.env_name: str = config["env_name"]
        self.env_config: dict[str, Any] = dict(player.get("env_config", config.get("env_config")) or {})
        self.seed: int | None = self.env_config.pop("seed", None)
        self.clip_actions: bool = config.get("clip_actions", True)
        self.has_central_value = config.get("central_value_config") is not None
        default = "cuda" if torch.cuda.is_available() else "cpu"
        self.device_name: str = config.get("device_name") or config.get("device") or default
        check_device(self.device_name)
        self.device = torch.device(self.device_name)
        self.render_env: bool = player.get("render", False)
        self.games_num: int = int(player.get("games_num", GAMES))
        self.n_game_life: int = player.get("n_game_life", 1)
        self.is_deterministic: bool = player.get("deterministic", player.get("determenistic", True))
        self.print_stats: bool = player.get("print_stats", True)
        self.max_steps = 108_000 // 4

    @property
    def is_determenistic(self) -> bool:
        """``is_deterministic`` as RL Games once spelt it."""
        return self.is_deterministic

    @is_determenistic.setter
    def is_determenistic(self, value: bool) -> None:
        self.is_deterministic = value

    # --- environments --------------------------------------------------------------------------------------------

    def _make_env(self) -> None:
        if self.player_config.get("use_vecenv", False):
            self.env = self._environments()
            self.env_info = self.env.get_env_info()
        else:
            self.env = self.create_env()
            self.env_info = get_env_info(self.env)

    def create_env(self) -> Any:
        """Call the registered ``env_creator``; for names of this library, create ``num_actors`` environments."""
        creator = configurations.get(self.env_name, {}).get("env_creator")
        return self._environments() if creator is None else creator(**self.env_config)

    def _environments(self) -> Any:
        seed = self.params.get("seed") if self.seed is None else self.seed
        return create_legacy_env(self.env_name, int(self.config["num_actors"]), self.env_config, seed or 0)

    def env_reset(self, env: Any) -> Any:
        """Reset; return the first observation through :meth:`obs_to_torch`."""
        obs = env.reset()
        if isinstance(obs, tuple):  # Gymnasium's observation and info
            obs = obs[0]
        return self.obs_to_torch(obs)

    def env_step(self, env: Any, actions: Tensor) -> tuple[Any, Tensor, Tensor, Any]:
        """``obs``, ``rewards`` (N,) and ``dones`` (N,) on the CPU, ``infos``; N is 1 for a single environment."""
        obs, rewards, *ends, infos = env.step(self.preprocess_actions(actions))
        rewards = torch.as_tensor(rewards).cpu()
        over = [torch.as_tensor(end).cpu() for end in ends]
        dones = over[0] if len(over) == 1 else over[0] | over[1]  # Gymnasium's terminated and truncated
        if rewards.ndim > dones.ndim:
            rewards = rewards[..., 0]  # of several components, the first counts
        if dones.ndim == 0:
            rewards, dones = rewards.reshape(1), dones.reshape(1)
        return self.obs_to_torch(obs), rewards, dones, infos

    def preprocess_actions(self, actions: Tensor) -> Any:
        """Return actions as an array if the environment's observations are arrays."""
        return actions if self.is_tensor_obses else actions.cpu().numpy()

    # --- observations --------------------------------------------------------------------------------------------

    def obs_to_torch(self, obs: Any) -> Any:
        """Return the policy's part of an observation: a tensor or a dictionary of them, on the player's device."""
        if isinstance(obs, Mapping) and "obs" in obs:
            obs = obs["obs"]
        return tree_map(self.cast_obs, obs)

    def cast_obs(self, obs: Any) -> Any:
        """Return a tensor on the player's device; bytes stay bytes, other numbers become float32."""
        if isinstance(obs, Tensor):
            self.is_tensor_obses = True
            return obs.to(self.device)
        if np.isscalar(obs):
            obs = np.array([obs], dtype=np.float32)
        return cast_array(obs, self.device)

    def _preproc_obs(self, obs_batch: Any) -> Any:
        """Scale bytes (images) to [0, 1]; apply the player's ``running_mean_std``, if it has one (RL Games 1.1)."""
        obs = tree_map(lambda x: x.float() / 255.0 if x.dtype == torch.uint8 else x, obs_batch)
        own = getattr(self, "running_mean_std", None)
        return obs if own is None else own(obs)

    def batched_obs(self, obs: Any) -> Any:
        """Return ``obs`` (N, ...), preprocessed; the observation of a single environment becomes a batch of one."""
        if self.has_batch_dimension:
            return self._preproc_obs(obs)
        shapes = self.obs_shape if isinstance(obs, Mapping) else {}

        def batch(x: Tensor, shape: Any) -> Tensor:
            return x.unsqueeze(0) if x.ndim <= len(shape) else x

        if isinstance(obs, Mapping):
            obs = {key: batch(part, shapes[key]) for key, part in obs.items()}
        else:
            obs = batch(obs, self.obs_shape)
        return self._preproc_obs(obs)

    def get_batch_size(self, obses: Any, batch_size: int) -> int:
        """Set and return the batch size: rows of ``obses``, or ``batch_size`` for a single environment."""
        shape = self.obs_shape
        if isinstance(obses, Mapping) and "obs" in obses and "obs" not in shape:
            obses = obses["obs"]
        if isinstance(shape, Mapping):
            key = next(iter(shape))
            obses, shape = obses[key], shape[key]
        if obses.ndim > len(shape):
            batch_size = len(obses)
            self.has_batch_dimension = True
        self.batch_size = batch_size
        return batch_size

    # --- policy --------------------------------------------------------------------------------------------------

    def load_networks(self, params: dict[str, Any]) -> None:
        """Put the model builder that ``params`` describe into ``config['network']``."""
        self.config["network"] = ModelBuilder().load(params)

    def get_action(self, obs: Any, is_deterministic: bool = False) -> Tensor:
        """Actions (N, A) in the units of the action space; (A,) for a single environment."""
        raise NotImplementedError(f"{type(self).__name__} has no get_action()")

    def get_masked_action(self, obs: Any, action_masks: Any, is_deterministic: bool = True) -> Tensor:
        """Actions among those that ``action_masks`` allows; only discrete players have one."""
        raise NotImplementedError(f"{type(self).__name__} has no discrete actions to mask")

    def get_weights(self) -> dict[str, Any]:
        """``{'model': ...}``."""
        return {"model": self.model.state_dict()}

    def set_weights(self, weights: Mapping[str, Any]) -> None:
        """The inverse of :meth:`get_weights`; statistics of observations may be next to the model."""
        self.model.load_state_dict(weights["model"])
        if getattr(self, "normalize_input", False) and "running_mean_std" in weights:
            self.model.running_mean_std.load_state_dict(weights["running_mean_std"])

    def reset(self) -> None:
        """Reset the recurrent state."""
        self.init_rnn()

    def init_rnn(self) -> None:
        """Set ``states``, (layers, N, units) each, to zero."""
        if self.is_rnn:
            shapes = [(state.shape[0], self.batch_size, state.shape[2]) for state in self.model.get_default_rnn_state()]
            self.states = [torch.zeros(shape, device=self.device) for shape in shapes]

    # --- playing -------------------------------------------------------------------------------------------------

    def run(self) -> PlayResult:
        """Play ``games_num`` games, print how they end, and return the statistics.

        Games count as in :meth:`manybody.algos.player.BasePlayer.run`.

        Raises:
            NonFiniteError: the policy's actions are not finite, or every game was left out.
        """
        return Games(self).play()

    def unsound(self, actions: Any, guard: PlayGuard) -> Tensor:
        """(N,) bool: the rows whose ``actions``, just chosen, the policy did not compute from finite values."""
        return guard.non_finite_rows(actions)


class Games(library.BasePlayer):
    """The library's loop over the games of a client's player."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.env = client.env
        self.config: Any = SimpleNamespace(env_name=client.env_name)
        self.device = torch.device("cpu")
        self.is_deterministic = client.is_deterministic
        self.games_num = client.games_num * client.n_game_life
        self.max_steps = client.max_steps
        self.first_obs = client.env_reset(self.env)
        self.rows = client.get_batch_size(self.first_obs, 1)
        self._returns = torch.zeros(self.rows, dtype=torch.float64)
        self._lengths = torch.zeros(self.rows)

    def play(self) -> PlayResult:
        """Play and print. ``n_game_life`` episodes are one game."""
        result, lives = self.run(quiet=True), self.client.n_game_life
        say(f"{result.mean_reward * result.games}")
        if self.left_out:
            say(left_out_text(self.left_out))
        mean, std, steps = (value * lives for value in result[1:])
        say(f"av reward: {mean} av steps: {steps}")
        return PlayResult(result.games, mean, std, steps)

    @override
    def get_action(self, obs: Any, is_deterministic: bool = False) -> Tensor:
        return self.client.get_action(obs, is_deterministic)

    @override
    def choose(self, obs: Any) -> Tensor:
        for has, get in (("has_action_mask", "get_action_mask"), ("has_action_masks", "get_action_masks")):
            if hasattr(self.env, has) and getattr(self.env, has)():
                return self.client.get_masked_action(obs, getattr(self.env, get)(), self.is_deterministic)
        return self.client.get_action(obs, self.is_deterministic)

    @override
    def unsound(self, actions: Any, guard: PlayGuard) -> Tensor:
        return self.client.unsound(actions, guard)

    @override
    def reset(self) -> None:
        self.client.init_rnn()

    @override
    def forget(self, done: Tensor) -> None:
        if self.client.is_rnn:
            kept = (~done).float().unsqueeze(-1).to(self.client.device)
            self.client.states = [state * kept for state in self.client.states]

    @override
    def env_reset(self) -> Any:
        return self.first_obs

    @override
    def env_step(self, actions: Any) -> Step:
        obs, rewards, dones, _ = self.client.env_step(self.env, actions)
        rewards, dones = rewards.cpu(), dones.cpu().bool()
        self._render()
        self._report(rewards, dones)
        if self.rows == 1 and dones.any():  # a single environment does not reset itself
            obs = self.client.env_reset(self.env)
        return Step(obs, rewards, dones, torch.zeros_like(dones), None, {})

    def _report(self, rewards: Tensor, dones: Tensor) -> None:
        """Print a line about the games that end in this step."""
        self._returns += rewards
        self._lengths += 1
        counted = dones & self._returns.isfinite()
        if self.client.print_stats and counted.any():
            say(f"reward: {self._returns[counted].mean():.2f} steps: {self._lengths[counted].mean():.1f}")
        self._returns[dones], self._lengths[dones] = 0.0, 0.0

    def _render(self) -> None:
        if not self.client.render_env:
            return
        render = getattr(self.env, "render", None)
        if render is None:
            warn(f"player.render: {type(self.env).__name__} has no render(); playing continues without it")
            self.client.render_env = False
            return
        render(**({"mode": "human"} if "mode" in inspect.signature(render).parameters else {}))
        time.sleep(self.client.player_config.get("render_sleep", 0.002))
