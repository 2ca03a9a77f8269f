"""``cupy.cuda.memory``."""

from standin.memory import MemoryPointer, MemoryPool, OutOfMemoryError, alloc

__all__ = ["MemoryPointer", "MemoryPool", "OutOfMemoryError", "alloc"]
