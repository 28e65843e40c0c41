"""Run each function eagerly and through torch.compile's tracer, which must produce one graph."""

from collections.abc import Callable
from typing import Any

import pytest
import torch


@pytest.fixture(params=["eager", "compiled"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """``run(function, *arguments)``."""

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        if request.param == "eager":
            return function(*arguments)
        torch.compiler.reset()
        return torch.compile(function, backend="eager", fullgraph=True)(*arguments)

    return call
