"""Reads pickles of NumPy arrays and plain containers, and of nothing else.

Python's own unpickler calls what a file tells it to. Here the opcodes of the pickle protocol are walked one by one
(the standard library's ``pickletools`` documents them), and those few are carried out that make numbers, text, lists,
dicts with text keys, tuples and arrays. A name in the file stays a name: nothing on the stack could be called.
"""

import math
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

_MAX_OPCODES = 100_000
"""A clip of a skeleton of 15 bodies has some 200."""

_LITERALS = {
    *("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "BINFLOAT", "FLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "STRING", "BINSTRING", "SHORT_BINSTRING"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_RECONSTRUCT = {f"{module} _reconstruct" for module in _MODULES}
_SCALAR = {f"{module} scalar" for module in _MODULES}
_NAMES = {"collections OrderedDict", "numpy ndarray", "numpy dtype", "_codecs encode"} | _RECONSTRUCT | _SCALAR


class UnpickledError(Exception):
    """What stands in the way of reading a pickle; in words that follow 'found'."""


class _Name(str):
    """The name of something callable, which is never looked up."""


class _Mark:
    """Where a list or tuple begins on the stack."""


class _Dtype:
    """Type of an array's elements: a code such as ``f4``, then its byte order."""

    def __init__(self, code: Any) -> None:
        if not isinstance(code, str) or code[:1] not in "fiubUO" or not code[1:].isascii():
            raise UnpickledError(f"an array of {code!r}")
        self.code, self.order = code, "="

    def build(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if not isinstance(order, str) or order not in "<>=|":
            raise UnpickledError("a broken type of an array")
        self.order = order

    def numpy(self) -> np.dtype:
        try:
            return np.dtype(self.order.replace("|", "") + self.code)
        except TypeError:
            raise UnpickledError(f"an array of {self.code!r}") from None


class _Array:
    """An array that is not filled yet."""

    value: Any = None

    def build(self, state: Any) -> None:
        """Fill it from ``(version, shape, dtype, Fortran order, bytes or list)``."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise UnpickledError("a broken array")
        _, shape, dtype, fortran, data = state
        if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
            raise UnpickledError("an array of a broken shape")
        if dtype.code.startswith("O"):
            if not isinstance(data, list) or len(data) != math.prod(shape):
                raise UnpickledError("a broken array of objects")
            self.value = data[0] if shape == () else data
            return
        self.value = _numbers(data, dtype.numpy(), shape, bool(fortran))


def _numbers(data: Any, dtype: np.dtype, shape: tuple[int, ...], fortran: bool = False) -> np.ndarray:
    """An array of its bytes; text stands for bytes in the oldest protocols."""
    if isinstance(data, str):
        try:
            data = data.encode("latin1")
        except UnicodeEncodeError:
            raise UnpickledError("an array whose bytes are text") from None
    if not isinstance(data, bytes) or dtype.itemsize == 0 or len(data) != math.prod(shape) * dtype.itemsize:
        raise UnpickledError(f"an array whose bytes do not fill its shape {shape}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def read_pickle(data: bytes) -> Any:
    """What a pickle of arrays, numbers, text, lists, tuples and dicts with text keys holds. No code runs.

    An array of objects becomes the list of them, one without dimensions the object itself.

    Raises:
        UnpickledError: the pickle is damaged or holds anything else.
    """
    try:
        return _finished(_Machine().run(data))
    except UnpickledError:
        raise
    except Exception as error:  # an operation that finds the wrong things on the stack fails in many ways
        raise UnpickledError(f"a damaged pickle ({type(error).__name__})") from None


def _finished(value: Any) -> Any:
    """``value``, unless it is only a step on the way to one."""
    if isinstance(value, _Array):
        value = value.value
    if isinstance(value, _Name | _Mark | _Dtype) or value is None:
        raise UnpickledError("a pickle without content")
    return value


class _Machine:
    """The stack that the opcodes work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count >= _MAX_OPCODES:
                raise UnpickledError(f"more than {_MAX_OPCODES} opcodes")
            if opcode.name == "STOP":
                (result,) = self.stack
                return result
            self.step(opcode.name, argument)
        raise UnpickledError("a pickle without an end")

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in ("PROTO", "FRAME"):
            return
        if name == "MARK":
            stack.append(_Mark())
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name in _TUPLES:
            stack.append(tuple(self.pop(_TUPLES[name])))
        elif name == "TUPLE":
            stack.append(tuple(self.pop_to_mark()))
        elif name == "LIST":
            stack.append(self.pop_to_mark())
        elif name == "DICT":
            stack.append(self.fill({}, self.pop_to_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = self.pop(1) if name == "APPEND" else self.pop_to_mark()
            self.top(list).extend(map(self.content, items))
        elif name in ("SETITEM", "SETITEMS"):
            items = self.pop(2) if name == "SETITEM" else self.pop_to_mark()
            self.fill(self.top(dict), items)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(self.name(argument if name == "GLOBAL" else " ".join(self.pop(2))))
        elif name == "REDUCE":
            stack.append(self.reduce(*self.pop(2)))
        elif name == "BUILD":
            (state,) = self.pop(1)
            target = self.top(_Array if isinstance(stack[-1], _Array) else _Dtype)
            target.build(state)
        else:
            raise UnpickledError(f"the opcode {name}, which no array or plain container needs")

    def pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise UnpickledError("a damaged pickle (nothing on the stack)")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while not isinstance(item := self.stack.pop(), _Mark):
            items.append(item)
        return items[::-1]

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise UnpickledError("a damaged pickle (another kind of object on the stack)")
        return self.stack[-1]

    @staticmethod
    def content(item: Any) -> Any:
        return item.value if isinstance(item, _Array) else item

    def fill(self, target: dict[str, Any], items: list[Any]) -> dict[str, Any]:
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str:
                raise UnpickledError(f"a key that is no text but {type(key).__name__}")
            target[key] = self.content(value)
        return target

    @staticmethod
    def name(name: str) -> _Name:
        if name not in _NAMES:
            raise UnpickledError(f"the name {name.replace(' ', '.')[:80]!r}, which is not read")
        return _Name(name)

    def reduce(self, name: Any, arguments: Any) -> Any:
        """What a call of ``name`` stands for: an empty dict, an array to fill, a type, a number, bytes."""
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise UnpickledError("a call of something that is no name")
        if name == "collections OrderedDict":
            pairs = arguments[0] if arguments else []
            return self.fill({}, [item for pair in pairs for item in pair])
        if name in _RECONSTRUCT:
            return _Array()
        if name == "numpy dtype":
            return _Dtype(arguments[0])
        if name in _SCALAR:
            dtype, data = arguments
            return _numbers(data, dtype.numpy(), ()).item()
        if name == "_codecs encode" and arguments[1] == "latin1":
            return arguments[0].encode("latin1")
        raise UnpickledError(f"a call of {name.replace(' ', '.')!r}, which is not read")
