"""Speed and devices: torch.compile, autocast, threads, memory, determinism."""

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F, how: bool | str) -> F:
    """Compile a pure function of tensors as ``torch_compile`` says: False, True, or a mode such as ``max-autotune``."""
    if not how:
        return function
    return torch.compile(function, dynamic=False, mode=how if isinstance(how, str) else None)  # type: ignore[return-value]


def autocast(device: torch.device | str, enabled: bool) -> AbstractContextManager[object]:
    """bf16 matrix products inside the context when ``enabled``; fp32 elsewhere."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16) if enabled else nullcontext()


def keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of returning every block above 32 MiB to the kernel.

    A layer's activations in Ant's update are 33.6 MB: mapped, zeroed page by page and unmapped again for every
    operation, which took up to three quarters of the operation's time. Measured on two cores: the update takes 0.78 s
    instead of 1.05 s. Without glibc nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3), as malloc.h numbers them."""


def set_threads(wanted: int | str) -> None:
    """Set ``torch_threads``: a number, ``auto`` (one per usable core, at most 8), or 0 for PyTorch's default."""
    if wanted == "auto":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(min(cores, 8))
    elif wanted:
        torch.set_num_threads(int(wanted))


def has_device(device: str) -> bool:
    """Whether PyTorch can use ``device`` (``cuda:0``) on this machine."""
    wanted = torch.device(device)
    if wanted.type == "cpu":
        return True
    backend: Any = getattr(torch, wanted.type)
    return backend.is_available() and (wanted.index or 0) < backend.device_count()


def set_deterministic(wanted: bool) -> None:
    """Raise on operations whose result varies between runs, if ``wanted``."""
    if wanted:
        torch.use_deterministic_algorithms(True)


@contextmanager
def eval_mode(module: torch.nn.Module) -> Iterator[None]:
    """Put the module in eval mode inside the context."""
    was_training = module.training
    if was_training:
        module.eval()
    try:
        yield
    finally:
        if was_training:
            module.train()
