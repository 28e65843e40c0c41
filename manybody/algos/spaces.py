"""Observation spaces as shapes and storage fields."""

from typing import Any

from gymnasium import spaces

from manybody.algos.model import ObsShape
from manybody.data.rollout import Field, FieldTree
from manybody.data.tree import tree_map
from manybody.envs.spaces import observation_dtype


def _parts(space: Any) -> Any:
    """Turn a ``Dict`` space into a dictionary of its parts."""
    return {key: _parts(part) for key, part in space.spaces.items()} if isinstance(space, spaces.Dict) else space


def observation_shape(space: Any) -> ObsShape:
    """Return the shape of one observation, or shapes by key."""
    return tree_map(lambda part: part.shape, _parts(space))


def observation_fields(space: Any) -> FieldTree:
    """Return shape and type under which one observation is stored, or those of its parts by key."""
    return tree_map(lambda part: Field(part.shape, observation_dtype(part)), _parts(space))
