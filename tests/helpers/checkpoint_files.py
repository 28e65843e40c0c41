"""A small checkpoint, and a check that a bad one is refused."""

import resource
import time

import pytest
import torch

from manybody.engine.checkpoint import CheckpointError, load_checkpoint


def small_state(epoch=3):
    return {"model": {"a2c_network.mu.weight": torch.arange(6.0).reshape(2, 3)}, "epoch": epoch, "lr": 3e-4}


def same(state):
    weight = state["model"]["a2c_network.mu.weight"]
    return torch.equal(weight, torch.arange(6.0).reshape(2, 3)) and (state["epoch"], state["lr"]) == (3, 3e-4)


def refused(path):
    """Return the error that loading ``path`` raises; assert that it takes little time and memory."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert time.perf_counter() - start < 1.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB
    assert str(path) in str(caught.value)
    return caught.value
