"""Speed and devices: torch.compile, autocast, threads, memory, determinism."""

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F, mode: bool | str) -> F:
    """Compile a pure function of tensors; ``mode`` is ``torch_compile``: False, True or a name (``max-autotune``)."""
    if not mode:
        return function
    return torch.compile(function, dynamic=False, mode=mode if isinstance(mode, str) else None)  # type: ignore[return-value]


def autocast(device: torch.device | str, enabled: bool) -> AbstractContextManager[object]:
    """Return a context in which matrix products run in bf16 if ``enabled``, else in fp32."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16) if enabled else nullcontext()


def keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of returning every block above 32 MiB to the kernel.

    Otherwise the kernel maps, zeroes and unmaps the 33.6 MB activations of a layer in Ant's update for every operation,
    which takes up to three quarters of its time. On two cores the update takes 0.78 s instead of 1.05 s. Without glibc
    this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3), from malloc.h."""


def set_threads(wanted: int | str) -> None:
    """Set ``torch_threads``: a number, ``auto`` (one per usable core, at most 8), or 0 for PyTorch's default."""
    if wanted == "auto":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(min(cores, 8))
    elif wanted:
        torch.set_num_threads(int(wanted))


def has_device(device: str) -> bool:
    """Return whether PyTorch can use ``device`` (``cuda:0``) on this machine."""
    wanted = torch.device(device)
    if wanted.type == "cpu":
        return True
    backend: Any = getattr(torch, wanted.type)
    return backend.is_available() and (wanted.index or 0) < backend.device_count()


def set_deterministic(wanted: bool) -> None:
    """Make PyTorch raise on operations whose result varies between runs, if ``wanted``."""
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
