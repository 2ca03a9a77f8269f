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
_LOCK = threading.RLock()


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


def _state() -> _State:
    return _STATES[devices.current()]


def take(size: int, name: str = "array") -> int:
    """Take bytes from the current device's pool and return how many it gives.

    Raises
    ------
    OutOfMemoryError
        Beyond the pool's limit or the device's memory.
    """
    rounded = -(-size // _UNIT) * _UNIT
    with _LOCK:
        state = _state()
        total = max(state.total, state.used + rounded)
        most = min(state.limit or TOTAL, TOTAL)
        if total > most:
            total = state.used + rounded
        if total > most:
            raise OutOfMemoryError(rounded, state.used, state.limit)
        state.used += rounded
        state.total = total
        state.peak = max(state.peak, state.used)
    note("alloc", name, rounded)
    return rounded


def give_back(size: int, device: int) -> None:
    """Return bytes to a device's pool."""
    with _LOCK:
        _STATES[device].used -= size


def register(array: np.ndarray) -> int:
    """Device of the memory behind a NumPy array; memory that is new is taken from the current device."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    key = id(owner)
    with _LOCK:
        known = _OWNERS.get(key)
        if known is not None and known[0]() is owner:
            return known[1]
        device, size = devices.current(), take(owner.nbytes)

        def free(dead: weakref.ref[np.ndarray]) -> None:
            with _LOCK:
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
    return _state().peak


def reset_peak() -> int:
    """Start the peak at the bytes that are in use now, and return them."""
    with _LOCK:
        state = _state()
        state.peak = state.used
        return state.used


def mem_info() -> tuple[int, int]:
    """Free and total bytes of the current device, as the driver sees them."""
    return TOTAL - _state().total, TOTAL


class MemoryPool:
    """``cupy.cuda.MemoryPool``."""

    def used_bytes(self) -> int:
        """Bytes in use."""
        return _state().used

    def free_bytes(self) -> int:
        """Bytes that the pool holds unused."""
        return _state().total - _state().used

    def total_bytes(self) -> int:
        """Bytes that the pool holds."""
        return _state().total

    def n_free_blocks(self) -> int:
        """Whether anything is held unused."""
        return int(self.free_bytes() > 0)

    def free_all_blocks(self, stream: Any = None) -> None:
        """Give back what is held unused."""
        with _LOCK:
            _state().total = _state().used

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        """Bound the pool, by bytes or by a fraction of the device's memory; 0 is no bound."""
        if (size is None) == (fraction is None):
            raise ValueError("size and fraction cannot be specified at one time")
        limit = int(TOTAL * fraction) if fraction is not None else int(size or 0)
        if limit < 0:
            raise ValueError(f"limit size out of range: {limit}")
        _state().limit = limit

    def get_limit(self) -> int:
        """The bound in bytes; 0 is none."""
        return _state().limit


class PinnedMemoryPool:
    """``cupy.cuda.PinnedMemoryPool``."""

    def free_all_blocks(self) -> None:
        """Give back what is held unused: nothing."""

    def n_free_blocks(self) -> int:
        """Nothing is held."""
        return 0


class PinnedMemoryPointer(bytearray):
    """What ``cupy.cuda.alloc_pinned_memory`` gives: a buffer that the GPU can read while the host works."""

    def size(self) -> int:
        """Bytes."""
        return len(self)


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    """Page-locked host memory."""
    return PinnedMemoryPointer(size)


def is_pinned(array: np.ndarray) -> bool:
    """Whether a NumPy array lies in page-locked memory."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    return isinstance(owner, PinnedMemoryPointer)


DEFAULT_POOL = MemoryPool()
DEFAULT_PINNED_POOL = PinnedMemoryPool()
