"""What CuPy's memory pool gives to a piece of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qsmengine.backend.device import Device


@dataclass
class Use:
    """Bytes that are in use and were not before, and the most there were at a time."""

    now: int = 0
    peak: int = 0


@contextmanager
def pool_use(device: Device) -> Iterator[Use]:
    """Follow the pool of a GPU in this thread until the block ends."""
    use = Use()

    class Follow(device.xp.cuda.MemoryHook):  # type: ignore[misc, name-defined]
        name = "pool_use"

        def malloc_postprocess(self, *, mem_size: int, **_: Any) -> None:
            use.now += mem_size
            use.peak = max(use.peak, use.now)

        def free_postprocess(self, *, mem_size: int, **_: Any) -> None:
            use.now -= mem_size

    with Follow():
        yield use
