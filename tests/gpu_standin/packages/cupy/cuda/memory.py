"""``cupy.cuda.memory``."""

from standin.memory import MemoryPool, OutOfMemoryError

__all__ = ["MemoryPool", "OutOfMemoryError"]
