"""SAC on the toy environment."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toy import ToyEnv
from toy_sac import sac_params

from manybody.algos.sac import SACAgent
from manybody.config import parse_params


@pytest.fixture
def make_sac() -> Callable[..., SACAgent]:
    """``make_sac(env, **config)``: an agent on eight toy environments that writes nothing."""

    def make(env: Any = None, network: dict[str, Any] | None = None, **config: Any) -> SACAgent:
        torch.manual_seed(0)
        return SACAgent("run", parse_params(sac_params(network, **config)), vec_env=env or ToyEnv())

    return make
