"""Fixtures that create agents of RL Games 1.6.5 and of manybody with the same configuration, weights and data."""

import contextlib
import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from toy import ToyEnv, toy_params


@pytest.fixture(scope="session", autouse=True)
def _rl_games() -> None:
    """Import RL Games once and restore torch's print options, which the import changes."""
    options = copy.copy(torch._tensor_str.PRINT_OPTS)
    with contextlib.redirect_stdout(io.StringIO()):
        import rl_games.torch_runner  # noqa: F401
    torch._tensor_str.PRINT_OPTS = options


class RlGamesToy:
    """The toy environment as RL Games' ``IVecEnv``: ``step`` returns four values with time-outs in the infos."""

    def __init__(self, env: ToyEnv) -> None:
        self.env = env

    def reset(self) -> torch.Tensor:
        return self.env.reset()["obs"]

    def step(self, actions: torch.Tensor) -> tuple[Any, ...]:
        step = self.env.step(actions)
        return step.obs["obs"], step.reward, step.done.byte(), {"time_outs": step.truncated}

    def get_env_info(self) -> dict[str, Any]:
        return self.env.get_env_info()

    def get_env_state(self) -> None:
        return None

    def set_env_state(self, state: Any) -> None:
        pass

    def set_train_info(self, frame: int, agent: Any) -> None:
        pass


@pytest.fixture
def rl_games_toy() -> type[RlGamesToy]:
    """The class ``RlGamesToy``."""
    return RlGamesToy


def rl_games_network(network: dict[str, Any]) -> dict[str, Any]:
    """Return the section with the keys that RL Games requires."""
    return {"normalization": None, **copy.deepcopy(network)}


@pytest.fixture
def make_theirs(tmp_path: Any) -> Callable[..., Any]:
    """``make_theirs(**config)``: RL Games' ``A2CAgent`` on eight toy environments."""

    def make(env: ToyEnv | None = None, network: dict[str, Any] | None = None, **config: Any) -> Any:
        from rl_games.algos_torch.a2c_continuous import A2CAgent
        from rl_games.common.algo_observer import DefaultAlgoObserver
        from rl_games.common.tr_helpers import DefaultRewardsShaper

        params = copy.deepcopy(toy_params(**config))
        params["network"] = rl_games_network(params["network"] | (network or {}))
        vec_env = RlGamesToy(env or ToyEnv())
        params["config"] |= {
            "reward_shaper": DefaultRewardsShaper(**params["config"]["reward_shaper"]),
            "features": {"observer": DefaultAlgoObserver()},
            "env_info": vec_env.get_env_info(),
            "vec_env": vec_env,
            "train_dir": str(tmp_path),
        }
        torch.manual_seed(0)
        with contextlib.redirect_stdout(io.StringIO()):
            return A2CAgent("run", params)

    return make


@pytest.fixture
def make_both(make_agent: Callable[..., Any], make_theirs: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """``ours, theirs = make_both(**config)``: both agents with equal weights and reset environments."""

    def make(env: Callable[[], ToyEnv] = ToyEnv, **config: Any) -> tuple[Any, Any]:
        ours, theirs = make_agent(env=env(), **config), make_theirs(env=env(), **config)
        theirs.model.load_state_dict(ours.model.state_dict())
        for agent in (ours, theirs):
            agent.init_tensors()
            agent.obs = agent.env_reset()
        return ours, theirs

    return make


@pytest.fixture
def largest_difference() -> Callable[[Any, Any], float]:
    """``largest_difference(ours, theirs)``: the largest difference of any parameter or statistic of two models."""

    def measure(ours: torch.nn.Module, theirs: torch.nn.Module) -> float:
        state, other = ours.state_dict(), theirs.state_dict()
        assert sorted(state) == sorted(other)
        return max((state[name] - other[name]).abs().max().item() for name in state)

    return measure


@pytest.fixture
def random_batch() -> Callable[..., dict[str, Any]]:
    """``random_batch(agent)``: a random rollout of 64 samples, like the result of ``play_steps`` of either agent."""

    def make(agent: Any, seed: int = 0) -> dict[str, Any]:
        draw = torch.Generator().manual_seed(seed)
        rows = agent.batch_size
        values, returns = torch.randn(2, rows, 1, generator=draw)
        mus, actions = torch.randn(2, rows, 2, generator=draw)
        sigmas = torch.exp(0.2 * torch.randn(rows, 2, generator=draw))
        neglogp = (0.5 * ((actions - mus) / sigmas) ** 2 + sigmas.log()).sum(dim=1) + np.log(2 * np.pi)
        return {
            "obses": 2.0 + 3.0 * torch.randn(rows, 3, generator=draw),
            "actions": actions,
            "neglogpacs": neglogp,
            "values": 5.0 * values,
            "returns": 5.0 * returns + 1.0,
            "mus": mus,
            "sigmas": sigmas,
            "dones": torch.zeros(rows, dtype=torch.uint8),
            "played_frames": rows,
            "step_time": 1.0,
        }

    return make
