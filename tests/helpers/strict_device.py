"""A second device for tests without a GPU: it computes on the CPU, refuses to mix devices and counts reads to the host.

``torch.device('strict')`` is PyTorch's ``PrivateUse1``. Only the factories are implemented here; they return a wrapper
subclass whose ``__torch_dispatch__`` runs every other operator on the wrapped CPU tensor. CUDA is less strict: it
accepts CPU scalars (0-dimensional tensors) as operands. Not covered: generators of the device, autocast,
``torch.compile``.
"""

import collections
import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "strict"
PACKAGE = str(Path(__file__).parents[2] / "manybody")
aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default, aten._copy_from.default}
"""Operators that accept tensors of both devices."""
READS = {
    *(aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default),
    *(aten.equal.default, aten._unique2.default, aten.is_nonzero.default),
}
"""Operators that copy a value or a size from the device to the host."""

reads: collections.Counter[str] = collections.Counter()
"""Number of reads to the host by the calling line of the library, such as ``engine/metrics.py:77``."""


class Strict(Tensor):
    """A tensor on the strict device; ``host`` is the CPU tensor that holds its values."""

    host: Tensor
    __slots__ = ("host",)

    @staticmethod
    def __new__(cls, host: Tensor) -> "Strict":
        result = Tensor._make_wrapper_subclass(
            cls,
            host.size(),
            strides=host.stride(),
            storage_offset=host.storage_offset(),
            dtype=host.dtype,
            device=torch.device(NAME, 0),
            requires_grad=host.requires_grad,
        )
        result.host = host
        return result

    def __repr__(self, **_: Any) -> str:
        return f"strict({self.host!r})"

    def tolist(self) -> Any:
        """Count the read; ``Tensor.tolist`` does not support such subclasses."""
        _count()
        return self.host.detach().tolist()

    def numpy(self, **_: Any) -> Any:
        """Raise, as on any device other than the CPU."""
        raise TypeError("a strict tensor has to be copied to the CPU first")

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        flat, _ = tree_flatten((args, kwargs))
        host = [x for x in flat if isinstance(x, Tensor) and not isinstance(x, Strict)]
        if host and op not in COPIES:
            shapes = ", ".join(str(tuple(x.shape)) for x in host)
            raise RuntimeError(f"{op} mixes devices: CPU tensors of shape {shapes} among strict ones ({_site()})")
        to_host = _leaves(op, args, kwargs)
        if op in READS or to_host or _picks_by_mask(op, args):
            _count()
        unwrapped = tree_map(lambda x: x.host if isinstance(x, Strict) else x, args)
        options = {
            key: torch.device("cpu") if isinstance(x, torch.device) else x.host if isinstance(x, Strict) else x
            for key, x in kwargs.items()
        }
        result = EMULATED.get(op, op)(*unwrapped, **options)
        if to_host:
            return args[0] if op is aten.copy_.default else result
        result = tree_map(lambda x: Strict(x) if isinstance(x, Tensor) else x, result)
        return return_and_correct_aliasing(op, args, kwargs, result)


# --- recurrent cells that PyTorch fuses on every device except the CPU ------------------------------------------------


def _lstm_cell(
    from_input: Tensor, from_state: Tensor, cx: Tensor, bias: Tensor | None = None, other: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    gates = from_input + from_state + (0 if bias is None else bias) + (0 if other is None else other)
    i, f, g, o = gates.chunk(4, dim=1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    cy = f * cx + i * g
    return o * cy.tanh(), cy, torch.cat([i, f, g, o], dim=1)


def _lstm_cell_backward(
    grad_hy: Tensor | None, grad_cy: Tensor | None, cx: Tensor, cy: Tensor, gates: Tensor, has_bias: bool
) -> tuple[Tensor, Tensor, Tensor]:
    i, f, g, o = gates.chunk(4, dim=1)
    hy = torch.zeros_like(cy) if grad_hy is None else grad_hy
    c = (0 if grad_cy is None else grad_cy) + hy * o * (1 - cy.tanh().square())
    grads = [
        c * g * i * (1 - i),
        c * cx * f * (1 - f),
        c * i * (1 - g.square()),
        hy * cy.tanh() * o * (1 - o),
    ]
    whole = torch.cat(grads, dim=1)
    return whole, c * f, whole.sum(dim=0)


def _gru_cell(
    from_input: Tensor, from_state: Tensor, hx: Tensor, bias: Tensor | None = None, other: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    ir, iz, i_new = (from_input + (0 if bias is None else bias)).chunk(3, dim=1)
    hr, hz, h_new = (from_state + (0 if other is None else other)).chunk(3, dim=1)
    r, z = (ir + hr).sigmoid(), (iz + hz).sigmoid()
    new = (i_new + r * h_new).tanh()
    return new + z * (hx - new), torch.cat([r, z, new, h_new, hx], dim=1)


def _gru_cell_backward(grad: Tensor, saved: Tensor, has_bias: bool) -> tuple[Tensor, ...]:
    r, z, new, h_new, hx = saved.chunk(5, dim=1)
    at_new = grad * (1 - z) * (1 - new.square())
    at_r, at_z = at_new * h_new * r * (1 - r), grad * (hx - new) * z * (1 - z)
    from_input, from_state = torch.cat([at_r, at_z, at_new], dim=1), torch.cat([at_r, at_z, at_new * r], dim=1)
    return from_input, from_state, grad * z, from_input.sum(dim=0), from_state.sum(dim=0)


EMULATED = {
    aten._thnn_fused_lstm_cell.default: _lstm_cell,
    aten._thnn_fused_lstm_cell_backward_impl.default: _lstm_cell_backward,
    aten._thnn_fused_gru_cell.default: _gru_cell,
    aten._thnn_fused_gru_cell_backward.default: _gru_cell_backward,
}


def _leaves(op: Any, args: Any, kwargs: Any) -> bool:
    """Return whether ``op`` copies from the strict device to the CPU."""
    if op is aten._to_copy.default:
        device = kwargs.get("device")
        return device is not None and torch.device(device).type == "cpu"
    if op is aten.copy_.default:
        return not isinstance(args[0], Strict)
    return op is aten._copy_from.default and not isinstance(args[1], Strict)


def _picks_by_mask(op: Any, args: Any) -> bool:
    """Return whether the size of the result depends on the values of a mask; filling by a mask does not."""
    if op in (aten.index.Tensor, aten.index_put_.default, aten.index_put.default):
        masks = [x for x in args[1] if isinstance(x, Tensor) and x.dtype in (torch.bool, torch.uint8)]
        filled = op is not aten.index.Tensor and args[2].numel() == 1
        return bool(masks) and not filled
    return False


def _site() -> str:
    """Return the innermost line of the library on the stack."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            return f"{frame.f_code.co_filename.removeprefix(PACKAGE + '/')}:{frame.f_lineno}"
        frame = frame.f_back
    return "outside the library"


def _count() -> None:
    reads[_site()] += 1


def _factories() -> Iterator[Any]:
    """Yield every overload that takes a device and no tensor."""
    for name in dir(aten):
        packet = getattr(aten, name)
        for overload in getattr(packet, "overloads", list)():
            schema = getattr(packet, overload)._schema
            names = {argument.name for argument in schema.arguments}
            tensors = any("Tensor" in str(argument.type) for argument in schema.arguments)
            if "device" in names and not tensors:
                yield getattr(packet, overload)


_library: Any = None


def install() -> None:
    """Register ``device='strict'`` with PyTorch, once per process."""
    global _library
    if _library is not None:
        return
    _setup_privateuseone_for_python_backend(NAME)
    _library = torch.library.Library("aten", "IMPL")

    def factory(op: Any) -> Any:
        def make(*args: Any, **kwargs: Any) -> Tensor:
            return Strict(
                op(
                    *args,
                    **{**kwargs, "device": "cpu", "pin_memory": None}
                    if "pin_memory" in kwargs
                    else {**kwargs, "device": "cpu"},
                )
            )

        return make

    def copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
        inner = [x.host if isinstance(x, Strict) else x for x in (source, target)]
        if not isinstance(target, Strict):
            _count()
        inner[1].copy_(inner[0])
        return target

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for op in _factories():
            with contextlib.suppress(RuntimeError):
                _library.impl(op, factory(op), "PrivateUse1")
        _library.impl("_copy_from", copy_from, "PrivateUse1")
