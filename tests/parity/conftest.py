"""Fixtures that create agents of RL Games 1.6.5 and of manybody with the same configuration, weights and data."""

import contextlib
import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from rl_games_agents import RlGamesEnv, create, rl_games_params
from toy import ToyEnv, toy_params


@pytest.fixture(scope="session", autouse=True)
def _rl_games() -> None:
    """Import RL Games once and restore torch's print options, which the import changes."""
    options = copy.copy(torch._tensor_str.PRINT_OPTS)
    with contextlib.redirect_stdout(io.StringIO()):
        import rl_games.torch_runner  # noqa: F401
    torch._tensor_str.PRINT_OPTS = options


@pytest.fixture
def make_reference(tmp_path: Any) -> Callable[..., Any]:
    """``make_reference(**config)``: RL Games' ``A2CAgent`` on eight toy environments."""

    def make(env: ToyEnv | None = None, network: dict[str, Any] | None = None, **config: Any) -> Any:
        from rl_games.algos_torch.a2c_continuous import A2CAgent

        params = toy_params(**config)
        params["network"] |= network or {}
        return create(A2CAgent, rl_games_params(params, RlGamesEnv(env or ToyEnv()), tmp_path))

    return make


@pytest.fixture
def make_both(make_agent: Callable[..., Any], make_reference: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """``ours, reference = make_both(**config)``: both agents with equal weights and reset environments."""

    def make(env: Callable[[], ToyEnv] = ToyEnv, **config: Any) -> tuple[Any, Any]:
        ours, reference = make_agent(env=env(), **config), make_reference(env=env(), **config)
        reference.model.load_state_dict(ours.model.state_dict())
        for agent in (ours, reference):
            agent.init_tensors()
            agent.obs = agent.env_reset()
        return ours, reference

    return make


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
