"""Fixtures of the engine's tests."""

import pytest
from checkpoint_files import small_state

from manybody.engine.checkpoint import save_checkpoint


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.pth"
    save_checkpoint(path, small_state())
    return path
