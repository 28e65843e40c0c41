"""What other libraries warn of arrives without their colours."""

import warnings

import gymnasium
import pytest

from manybody.envs.notices import plain_warnings


def test_colours_are_taken_out_and_categories_stay():
    with pytest.warns(UserWarning) as seen, plain_warnings():
        gymnasium.logger.warn("a %s", "thing")
        warnings.warn("as it was", FutureWarning, stacklevel=1)
    assert [str(one.message) for one in seen] == ["WARN: a thing", "as it was"]
    assert [one.category for one in seen] == [UserWarning, FutureWarning]


def test_warnings_before_an_error_are_told_too():
    with pytest.warns(UserWarning, match="^WARN: before$"), pytest.raises(KeyError), plain_warnings():
        gymnasium.logger.warn("before")
        raise KeyError
