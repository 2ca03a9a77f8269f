"""Counts of what a piece of code asks of the GPU.

    from standin.counting import record

    with record() as counts:
        run_the_step()
    counts.times("kernel"), counts.bytes("to host")
    counts.by_caller("sync")          # [("stages/mask/bet.py:88", 12, 48), ...], most frequent first
    counts.by_name("kernel")          # [("tv_gradient_step", 500, 31457280), ...]

Events have a kind, a name, the line of the package that caused them, and bytes:

============  =====================================================================================
kernel        a kernel of the project; bytes of its array arguments
operation     a kernel or a library call of CuPy (elementwise, reduction, sort...); bytes of its arrays
fft           a transform by cuFFT; bytes of input and output
to device     a copy from host memory
to host       a copy to host memory
sync          the host waits for the device: ``float(x)``, ``x.get()``, a boolean index, ``nonzero``...
alloc         device memory that was allocated
graph         a launch of a captured graph; its kernels are counted too, as ``kernel``
============  =====================================================================================

One call can be several events: ``x.get()`` is a copy and a wait. Recording costs time; without a recorder
nothing is counted.
"""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

KINDS = ("kernel", "operation", "fft", "to device", "to host", "sync", "alloc", "graph")

_OWN = str(Path(__file__).resolve().parents[1])
_LOCK = threading.Lock()
_RECORDERS: list[Counts] = []


class Counts:
    """Events by kind, name and caller."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])

    def times(self, kind: str) -> int:
        """How many events of this kind there were."""
        return sum(times for (k, _, _), (times, _) in self.events.items() if k == kind)

    def bytes(self, kind: str) -> int:
        """Bytes of the events of this kind."""
        return sum(size for (k, _, _), (_, size) in self.events.items() if k == kind)

    def by_name(self, kind: str) -> list[tuple[str, int, int]]:
        """Name, times and bytes, most frequent first."""
        return self._grouped(kind, 1)

    def by_caller(self, kind: str) -> list[tuple[str, int, int]]:
        """File and line, times and bytes, most frequent first."""
        return self._grouped(kind, 2)

    def _grouped(self, kind: str, part: int) -> list[tuple[str, int, int]]:
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for key, (times, size) in self.events.items():
            if key[0] == kind:
                sums[key[part]][0] += times
                sums[key[part]][1] += size
        rows = [(key, times, size) for key, (times, size) in sums.items()]
        return sorted(rows, key=lambda row: (-row[1], row[0]))


@contextmanager
def record() -> Iterator[Counts]:
    """Count the events of all threads until the block ends; recorders may be nested."""
    counts = Counts()
    with _LOCK:
        _RECORDERS.append(counts)
    try:
        yield counts
    finally:
        with _LOCK:
            _RECORDERS.remove(counts)


def note(kind: str, name: str, size: int | Callable[[], int] = 0) -> None:
    """Add one event to every recorder."""
    if not _RECORDERS:
        return
    caller = _caller()
    amount = size() if callable(size) else int(size)
    with _LOCK:
        for counts in _RECORDERS:
            entry = counts.events[kind, name, caller]
            entry[0] += 1
            entry[1] += amount


def _caller() -> str:
    """File and line of the package, else of whoever calls from outside the stand-in."""
    frame = sys._getframe(2)
    outside = ""
    while frame is not None:
        path = frame.f_code.co_filename
        if "/qsmengine/" in path and "/backend/" not in path:
            return f"{path.rpartition('/qsmengine/')[2]}:{frame.f_lineno}"
        if not outside and not path.startswith(_OWN):
            outside = f"{Path(path).name}:{frame.f_lineno}"
        frame = frame.f_back
    return outside
