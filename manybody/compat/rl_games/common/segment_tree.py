"""Arrays that know the sum or the minimum of any part of themselves in logarithmic time."""

import operator
from collections.abc import Callable
from typing import Any


class SegmentTree:
    """``capacity`` elements in the leaves of a binary tree whose nodes combine their children.

    Args:
        capacity: a power of two.
        operation: combines two elements; associative.
        neutral_element: changes nothing, and is what every element is at first.

    Raises:
        ValueError: another capacity.
    """

    def __init__(self, capacity: int, operation: Callable[[Any, Any], Any], neutral_element: Any) -> None:
        if capacity < 1 or capacity & (capacity - 1):
            raise ValueError(f"capacity {capacity} given; expected a power of two")
        self._capacity = capacity
        self._operation = operation
        self._neutral = neutral_element
        self._value = [neutral_element] * (2 * capacity)

    def reduce(self, start: int = 0, end: int | None = None) -> Any:
        """Elements ``start`` to before ``end`` combined; both as in slices."""
        begin, stop, _ = slice(start, end).indices(self._capacity)
        left, right = self._neutral, self._neutral
        low, high = begin + self._capacity, max(begin, stop) + self._capacity
        while low < high:
            if low & 1:
                left = self._operation(left, self._value[low])
                low += 1
            if high & 1:
                high -= 1
                right = self._operation(self._value[high], right)
            low, high = low // 2, high // 2
        return self._operation(left, right)

    def __setitem__(self, idx: int, val: Any) -> None:
        node = idx + self._capacity
        self._value[node] = val
        while node > 1:
            node //= 2
            self._value[node] = self._operation(self._value[2 * node], self._value[2 * node + 1])

    def __getitem__(self, idx: int) -> Any:
        if not 0 <= idx < self._capacity:
            raise IndexError(f"element {idx} of {self._capacity}")
        return self._value[self._capacity + idx]


class SumSegmentTree(SegmentTree):
    """Numbers and their sums."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity, operator.add, 0.0)

    def sum(self, start: int = 0, end: int | None = None) -> float:
        """Of the elements ``start`` to before ``end``."""
        return float(self.reduce(start, end))

    def find_prefixsum_idx(self, prefixsum: float) -> int:
        """The first element up to which, it included, the elements (none negative) sum to more than ``prefixsum``."""
        node = 1
        while node < self._capacity:
            node *= 2
            if self._value[node] <= prefixsum:
                prefixsum -= self._value[node]
                node += 1
        return node - self._capacity


class MinSegmentTree(SegmentTree):
    """Numbers and their minima."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity, min, float("inf"))

    def min(self, start: int = 0, end: int | None = None) -> float:
        """Of the elements ``start`` to before ``end``."""
        return float(self.reduce(start, end))
