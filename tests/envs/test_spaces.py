"""Which spaces learners take, and the way of numbers between NumPy and torch."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from manybody.envs.base import EnvError
from manybody.envs.spaces import (
    action_masks,
    check_spaces,
    environment_actions,
    gymnasium_space,
    head_sizes,
    observation_tensors,
)

BOX = spaces.Box(-1.0, 1.0, (2,))


@pytest.mark.parametrize(
    "space",
    [
        BOX,
        spaces.Discrete(3),
        spaces.MultiDiscrete([2, 3]),
        spaces.Tuple([spaces.Discrete(2), spaces.Discrete(3)]),
    ],
)
def test_action_spaces_that_learners_take(space):
    check_spaces("it", BOX, space)
    check_spaces("it", spaces.Dict({"a": BOX, "b": spaces.Box(0, 255, (4, 4), np.uint8)}), space)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1.0, 1.0, (2, 2)),
        spaces.MultiDiscrete([[2], [3]]),
        spaces.MultiBinary(3),
        spaces.Tuple([spaces.Discrete(2), BOX]),
    ],
)
def test_action_spaces_that_they_do_not(space):
    with pytest.raises(EnvError, match=r"(?s)action space of 'it': got .*; expected a Box or a MultiDiscrete with one"):
        check_spaces("it", BOX, space)


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.Tuple([BOX]), spaces.Dict({"a": spaces.Dict({})})])
def test_observation_spaces_that_they_do_not(space):
    with pytest.raises(EnvError, match=r"observation space of 'it': got .*; expected a Box or a Dict of Boxes"):
        check_spaces("it", space, BOX)


def test_head_sizes():
    assert head_sizes(spaces.Discrete(3, start=2)) == (3,)
    assert head_sizes(spaces.MultiDiscrete([2, 5])) == (2, 5)
    assert head_sizes(spaces.Tuple([spaces.Discrete(2), spaces.Discrete(5)])) == (2, 5)
    assert head_sizes(BOX) == ()


def test_observations_keep_uint8_and_their_own_memory():
    for kind in (np.float64, np.float32, np.int32, bool):
        array = np.ones((2, 2), kind)
        tensor = observation_tensors(spaces.Box(0, 1, (2,), kind), array)
        array[:] = 0
        assert tensor.dtype == torch.float32 and tensor.sum() == 4.0
    image = torch.full((2, 4), 7, dtype=torch.uint8)
    kept = observation_tensors(spaces.Box(0, 255, (4,), np.uint8), image)
    image.zero_()
    assert kept.dtype == torch.uint8 and kept.unique().tolist() == [7]


def test_actions_have_the_dtype_of_their_space():
    assert environment_actions(spaces.Discrete(3, dtype=np.int32), torch.tensor([2])).dtype == np.int32
    assert environment_actions(spaces.Box(-1, 1, (1,), np.float64), torch.zeros(1, 1)).dtype == np.float64


def test_masks_of_several_heads_may_come_in_pieces():
    row = (np.array([1, 0]), np.array([0, 1, 1]))
    pieces = np.empty(2, dtype=object)
    pieces[:] = [row, row]
    for masks in (pieces, [row, row], np.array([[1, 0, 0, 1, 1]] * 2, np.int8)):
        assert action_masks(masks).tolist() == [[True, False, False, True, True]] * 2


def legacy(kind, **fields):
    """A space of legacy gym, which is told by the name of its class."""
    return type(kind, (), fields)()


def test_spaces_of_legacy_gym():
    one = np.ones(2, np.float32)
    box = legacy("Box", low=-one, high=one, shape=(2,), dtype=np.dtype("float32"))
    assert gymnasium_space(box) == BOX
    assert gymnasium_space(legacy("Dict", spaces={"a": box})) == spaces.Dict({"a": BOX})
    two = legacy("Discrete", n=2)
    assert gymnasium_space(two) == spaces.Discrete(2)
    assert gymnasium_space(legacy("Tuple", spaces=[two])) == spaces.Tuple([spaces.Discrete(2)])
    assert gymnasium_space(legacy("MultiDiscrete", nvec=[2, 3])) == spaces.MultiDiscrete([2, 3])
    assert gymnasium_space(BOX) is BOX
    with pytest.raises(EnvError, match=r"space: got .*Graph.*; expected a Box"):
        gymnasium_space(legacy("Graph"))
