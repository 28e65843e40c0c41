"""What every test may use."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toy import ToyEnv, toy_params


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tests share the machine; a ``Runner`` sets the number of threads for its whole process."""
    torch.set_num_threads(1)


@pytest.fixture
def make_agent() -> Callable[..., Any]:
    """``make_agent(**config)``: an ``A2CAgent`` on eight toy environments that writes nothing."""

    def make(
        env: ToyEnv | None = None,
        network: dict[str, Any] | None = None,
        agent_class: Any = None,
        **config: Any,
    ) -> Any:
        from manybody.algos.a2c import A2CAgent
        from manybody.config import parse_params

        mapping = toy_params(**config)
        mapping["network"] |= network or {}
        torch.manual_seed(0)
        return (agent_class or A2CAgent)("run", parse_params(mapping), vec_env=env or ToyEnv())

    return make
