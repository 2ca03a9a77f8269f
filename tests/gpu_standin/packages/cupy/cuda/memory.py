"""``cupy.cuda.memory``."""

from standin.memory import MemoryPointer, OutOfMemoryError, alloc
from standin.pools import MemoryPool

__all__ = ["MemoryPointer", "MemoryPool", "OutOfMemoryError", "alloc"]
