"""The pools of device memory and of page-locked host memory, and hooks that follow the first."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np

from standin import memory


class MemoryPool:
    """``cupy.cuda.MemoryPool``."""

    def used_bytes(self) -> int:
        """Bytes in use."""
        return memory.state().used

    def free_bytes(self) -> int:
        """Bytes that the pool holds unused."""
        return memory.state().total - memory.state().used

    def total_bytes(self) -> int:
        """Bytes that the pool holds."""
        return memory.state().total

    def n_free_blocks(self) -> int:
        """Whether anything is held unused."""
        return int(self.free_bytes() > 0)

    def free_all_blocks(self, stream: Any = None) -> None:
        """Give back what is held unused."""
        with memory.LOCK:
            memory.state().total = memory.state().used

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        """Bound the pool, by bytes or by a fraction of the device's memory; 0 is no bound."""
        if (size is None) == (fraction is None):
            raise ValueError("size and fraction cannot be specified at one time")
        limit = int(memory.TOTAL * fraction) if fraction is not None else int(size or 0)
        if limit < 0:
            raise ValueError(f"limit size out of range: {limit}")
        memory.state().limit = limit

    def get_limit(self) -> int:
        """The bound in bytes; 0 is none."""
        return memory.state().limit


class MemoryHook:
    """``cupy.cuda.MemoryHook``: called when the pool gives memory or takes it back."""

    name = "MemoryHook"

    def __enter__(self) -> MemoryHook:
        if memory.hooks().setdefault(self.name, self) is not self:
            raise KeyError(f"memory hook {self.name} already exists")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        del memory.hooks()[self.name]

    def malloc_postprocess(self, **kwargs: Any) -> None:
        """After the pool has given memory."""

    def free_postprocess(self, **kwargs: Any) -> None:
        """After the pool has taken memory back."""


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
