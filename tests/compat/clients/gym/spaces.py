"""Box and Dict of their own: equal to gymnasium's by name and attributes, by type to nothing."""

from collections import OrderedDict

import numpy as np


class Box:
    """All arrays of ``shape`` between ``low`` and ``high``."""

    def __init__(self, low, high, shape=None, dtype=np.float32):
        self.shape = tuple(np.shape(low)) if shape is None else tuple(shape)
        self.dtype = np.dtype(dtype)
        self.low = np.broadcast_to(low, self.shape).astype(self.dtype)
        self.high = np.broadcast_to(high, self.shape).astype(self.dtype)


class Dict:
    """A space for each key."""

    def __init__(self, spaces):
        self.spaces = OrderedDict(sorted(spaces.items()))
        self.shape = None
        self.dtype = None

    def __getitem__(self, key):
        return self.spaces[key]

    def keys(self):
        return self.spaces.keys()

    def items(self):
        return self.spaces.items()
