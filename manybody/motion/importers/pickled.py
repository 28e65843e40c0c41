"""Reads pickles of NumPy arrays and plain containers only.

Python's unpickler calls functions that a file names. Here a class of this module replaces every allowed name and builds
an array, a number or bytes from validated parts; all other names are refused.
"""

import io
import math
import pickle
import pickletools
from typing import Any

import numpy as np
from typing_extensions import override

from manybody.motion.errors import MotionError

MAX_OPCODES = 20_000
"""A clip of 15 bodies has about 200. The limit also bounds the depth of nested containers."""


def _refused(given: str) -> MotionError:
    advice = "Only arrays and plain containers are read; nothing in the file was run."
    return MotionError("file", given, "an intact pickle", advice)


class _StandIn:
    """Base of classes that replace names in the pickle; ``__setstate__`` refuses to set attributes."""

    def __setstate__(self, state: object) -> None:
        raise _refused("a damaged pickle (a state without an array)")


class _Dtype(_StandIn):
    """Replaces ``numpy.dtype``: a code such as ``f4``, then its byte order."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or code[:1] not in "fiubUO" or not code[1:].isascii():
            raise _refused(f"an array of {code!r}")
        self.code, self.order = code, "="

    @override
    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if not isinstance(order, str) or order not in "<>=|":
            raise _refused("an array of a damaged type")
        self.order = order

    def numpy(self) -> np.dtype:
        try:
            return np.dtype(self.order.replace("|", "") + self.code)
        except TypeError:
            raise _refused(f"an array of {self.code!r}") from None


class _Array(np.ndarray):
    """Replaces ``numpy.ndarray``; empty until the pickle sets its state."""

    def __new__(cls, *_: object) -> "_Array":
        return super().__new__(cls, 0)

    def __setstate__(self, state: object) -> None:
        """Fill the array from ``(version, shape, dtype, Fortran order, bytes or list)``."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise _refused("a damaged array")
        _, shape, dtype, fortran, data = state
        if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
            raise _refused("an array of a damaged shape")
        kind = dtype.numpy()
        if kind.hasobject:
            if not isinstance(data, list) or len(data) != math.prod(shape):
                raise _refused("a damaged array of objects")
        else:
            data = _bytes_of(data)
            if kind.itemsize == 0 or len(data) != math.prod(shape) * kind.itemsize:
                raise _refused(f"an array whose bytes do not fill its shape {shape}")
        super().__setstate__((1, shape, kind, bool(fortran), data))  # type: ignore[arg-type]


class _Scalar(_StandIn):
    """Replaces NumPy's function for numbers."""

    def __new__(cls, dtype: _Dtype, data: object) -> Any:
        return np.frombuffer(_bytes_of(data), dtype.numpy(), count=1)[0].item()


class _Encoded(_StandIn):
    """Replaces ``_codecs.encode``, which creates bytes in the oldest protocols."""

    def __new__(cls, text: str, encoding: str) -> Any:
        return text.encode("latin1")


def _bytes_of(data: object) -> bytes:
    """Return the bytes of an array, which the oldest protocols store as text."""
    return data.encode("latin1") if isinstance(data, str) else bytes(memoryview(data))  # type: ignore[arg-type]


_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): dict,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Encoded,
    **{(module, "_reconstruct"): _Array for module in _NUMPY},
    **{(module, "scalar"): _Scalar for module in _NUMPY},
}


class _Unpickler(pickle.Unpickler):
    @override
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        stand_in = _NAMES.get((module_name, global_name))
        if stand_in is None:
            raise _refused(f"the name {f'{module_name}.{global_name}'[:80]!r}, which is not read")
        return stand_in


def read_pickle(data: bytes) -> Any:
    """Read a pickle of arrays, numbers, text, lists, tuples and dicts. No code in it runs.

    Raises:
        MotionError: the pickle is damaged or contains anything else.
    """
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            # The unpickler allocates its memo up to the largest index.
            if count >= MAX_OPCODES or (isinstance(argument, int) and "PUT" in opcode.name and argument > MAX_OPCODES):
                raise _refused(f"more than {MAX_OPCODES} opcodes")
        value = _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except MotionError:
        raise
    except Exception as error:  # an operation that finds the wrong values on the stack fails in many ways
        raise _refused(f"a damaged pickle ({type(error).__name__})") from None
    return value.item() if isinstance(value, np.ndarray) and value.shape == () else value
