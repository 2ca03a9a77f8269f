"""``cupy.cuda``."""

from __future__ import annotations

from standin import runtime
from standin.allocators import alloc, get_allocator, using_allocator
from standin.devices import Device
from standin.memory import MemoryPointer
from standin.pools import MemoryHook, MemoryPool, PinnedMemoryPointer, PinnedMemoryPool, alloc_pinned_memory
from standin.streams import Event, Graph, Stream, get_elapsed_time
from standin.streams import current_stream as get_current_stream

from cupy.cuda import compiler, cublas, cufft, cusolver, memory, nvrtc

__all__ = [
    "Device",
    "Event",
    "Graph",
    "MemoryHook",
    "MemoryPointer",
    "MemoryPool",
    "PinnedMemoryPointer",
    "PinnedMemoryPool",
    "Stream",
    "alloc",
    "alloc_pinned_memory",
    "compiler",
    "cublas",
    "cufft",
    "cusolver",
    "get_allocator",
    "get_current_stream",
    "get_elapsed_time",
    "is_available",
    "memory",
    "nvrtc",
    "runtime",
    "using_allocator",
]


def is_available() -> bool:
    """Whether there is a GPU."""
    return runtime.getDeviceCount() > 0
