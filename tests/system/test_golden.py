"""Stored traces: the parameters after three epochs equal the recorded ones.

A refactoring must not change them. A change that is meant to do so records new traces and says so in its commit:

    python tests/system/test_golden.py

The file stores the sum and the norm of each parameter instead of a hash, because the last digits of a matrix product
depend on the processor. A change of a formula, a default or the order of random numbers changes them by far more.
"""

import json
import math
from pathlib import Path

import pytest
import torch
from toy_cases import CASES

from manybody.runner import build_runner

FILE = Path(__file__).with_name("golden.json")
EPOCHS = 3


def trace(case):
    """Return sum and norm of every parameter and statistic of the model by name."""
    make, params = CASES[case]
    runner = build_runner()
    runner.load({"params": {**params, "torch_threads": 1, "config": {**params["config"], "max_epochs": EPOCHS}}})
    agent = runner.algo_factory.create(params["algo"]["name"], base_name="run", params=runner.params, vec_env=make())
    agent.train()
    state = {name: value.double() for name, value in agent.model.state_dict().items()}
    return {name: [float(value.sum()), float(value.norm())] for name, value in sorted(state.items())}


def changed(stored, now):
    """Return the names whose sum or norm differs by more than 2e-6 of the norm, or 2e-6 if the norm is below 1."""
    return [
        name
        for name in stored.keys() | now.keys()
        if name not in stored
        or name not in now
        or any(
            not math.isclose(a, b, rel_tol=0, abs_tol=2e-6 * max(stored[name][1], 1))
            for a, b in zip(stored[name], now[name], strict=True)
        )
    ]


@pytest.mark.parametrize("case", CASES)
def test_three_epochs_equal_the_stored_trace(case):
    assert changed(json.loads(FILE.read_text())[case], trace(case)) == []


def test_another_learning_rate_changes_the_trace():
    """The traces are sensitive enough to detect a learning rate that is 1 % higher."""
    make, params = CASES["continuous"]
    higher = {**params, "config": {**params["config"], "learning_rate": 1.01e-3, "lr_schedule": "constant"}}
    steady = {**params, "config": {**params["config"], "lr_schedule": "constant"}}
    CASES["higher"], CASES["steady"] = (make, higher), (make, steady)
    try:
        assert {"a2c_network.mu.weight", "a2c_network.value.weight"} <= set(changed(trace("steady"), trace("higher")))
    finally:
        del CASES["higher"], CASES["steady"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    FILE.write_text(json.dumps({case: trace(case) for case in CASES}, indent=1) + "\n")
