"""Device memory: every array's bytes, their sum and its peak, the pool, and running out of it.

    from standin import memory

    memory.reset_peak()
    run_the_step()
    memory.peak_bytes()      # most bytes that were alive at a time, in the current device's pool

An array counts from its creation to its deletion, in units of 512 bytes like CuPy's pool; views share their
owner's bytes. cuFFT plans count their work areas. What a NumPy function allocates for itself while it stands
in for a CuPy function does not count.
"""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from standin import devices
from standin.counting import note

TOTAL = int(os.environ.get("GPU_STANDIN_MEMORY", str(80 << 30)))
"""Bytes that a device pretends to have."""

_UNIT = 512
LOCK = threading.RLock()
_THREAD = threading.local()


class OutOfMemoryError(MemoryError):
    """``cupy.cuda.memory.OutOfMemoryError``."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        text = f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes"
        super().__init__(text + (f", limit set to: {limit:,} bytes)." if limit else ")."))


OutOfMemoryError.__module__ = "cupy.cuda.memory"


@dataclass
class _State:
    """The pool of one device."""

    used: int = 0
    total: int = 0
    peak: int = 0
    limit: int = 0
    blocks: set[int] = field(default_factory=set)


_STATES = [_State() for _ in range(devices.COUNT)]
_OWNERS: dict[int, tuple[weakref.ref[np.ndarray], int, int]] = {}
"""Reference to the NumPy array that owns memory, device and bytes, by the array's identity."""


def state() -> _State:
    """The pool of the current device."""
    return _STATES[devices.current()]


def take(size: int, name: str = "array") -> int:
    """Take bytes from the current device's pool and return how many it gives.

    Raises
    ------
    OutOfMemoryError
        Beyond the pool's limit or the device's memory.
    CUDARuntimeError
        While the current stream is being captured.
    """
    from standin.streams import refuse_capture

    refuse_capture()
    rounded = -(-size // _UNIT) * _UNIT
    with LOCK:
        pool = state()
        total = max(pool.total, pool.used + rounded)
        most = min(pool.limit or TOTAL, TOTAL)
        if total > most:
            total = pool.used + rounded
        if total > most:
            raise OutOfMemoryError(rounded, pool.used, pool.limit)
        pool.used += rounded
        pool.total = total
        pool.peak = max(pool.peak, pool.used)
    note("alloc", name, rounded)
    for hook in list(hooks().values()):
        hook.malloc_postprocess(device_id=devices.current(), size=size, mem_size=rounded, mem_ptr=0, pmem_id=0)
    return rounded


def give_back(size: int, device: int) -> None:
    """Return bytes to a device's pool."""
    with LOCK:
        _STATES[device].used -= size
    for hook in list(hooks().values()):
        hook.free_postprocess(device_id=device, mem_size=size, mem_ptr=0, pmem_id=0)


def hooks() -> dict[str, Any]:
    """The hooks of this thread, by name."""
    found: dict[str, Any] = _THREAD.__dict__.setdefault("hooks", {})
    return found


def register(array: np.ndarray) -> int:
    """Device of the memory behind a NumPy array; memory that is new is taken from the current device."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    key = id(owner)
    with LOCK:
        known = _OWNERS.get(key)
        if known is not None and known[0]() is owner:
            return known[1]
        device, size = devices.current(), take(owner.nbytes)

        def free(dead: weakref.ref[np.ndarray]) -> None:
            with LOCK:
                if _OWNERS.get(key, (None,))[0] is dead:
                    del _OWNERS[key]
            give_back(size, device)

        _OWNERS[key] = (weakref.ref(owner, free), device, size)
    return device


class Memory:
    """A piece of device memory."""

    def __init__(self, size: int) -> None:
        self.buffer = np.empty(size, np.uint8)
        self.device_id = register(self.buffer)
        self.size = size
        self.ptr = self.buffer.ctypes.data


class MemoryPointer:
    """``cupy.cuda.MemoryPointer``: a place in device memory."""

    def __init__(self, mem: Memory, offset: int) -> None:
        self.mem, self.device_id, self.ptr = mem, mem.device_id, mem.ptr + offset
        self.offset = offset


def alloc(size: int) -> MemoryPointer:
    """Device memory from the pool."""
    return MemoryPointer(Memory(size), 0)


def peak_bytes() -> int:
    """Most bytes that were in use at a time since the last :func:`reset_peak`."""
    return state().peak


def reset_peak() -> int:
    """Start the peak at the bytes that are in use now, and return them."""
    with LOCK:
        pool = state()
        pool.peak = pool.used
        return pool.used


def mem_info() -> tuple[int, int]:
    """Free and total bytes of the current device, as the driver sees them."""
    return TOTAL - state().total, TOTAL
