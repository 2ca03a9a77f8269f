"""Who allocates device memory in a thread: CuPy's pool, or what ``cupy.cuda.using_allocator`` names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from standin import memory
from standin.memory import MemoryPointer

Allocator = Callable[[int], MemoryPointer]

_THREAD = threading.local()


def get_allocator() -> Allocator:
    """The allocator of this thread."""
    allocator: Allocator | None = getattr(_THREAD, "allocator", None)
    return memory.alloc if allocator is None else allocator


@contextmanager
def using_allocator(allocator: Allocator | None = None) -> Iterator[None]:
    """Allocate with `allocator` in this thread until the block ends."""
    before = getattr(_THREAD, "allocator", None)
    _THREAD.allocator = allocator
    try:
        yield
    finally:
        _THREAD.allocator = before


def alloc(size: int) -> MemoryPointer:
    """Device memory from the allocator of this thread."""
    return get_allocator()(size)
