"""Time of every kernel in a chain, by events on the device's queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from qsmengine.backend import cuda, replay
from qsmengine.backend.device import Device
from qsmengine.backend.kernel import Kernel


@dataclass
class LaunchClock:
    """Pairs of events around the launches of each kernel, and the bytes that these had to move."""

    device: Device
    pairs: dict[str, list[tuple[Any, Any]]] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)

    def table(self) -> list[dict[str, Any]]:
        """Launches, milliseconds and bytes by kernel, the slowest first."""
        self.device.synchronize()
        elapsed = self.device.xp.cuda.get_elapsed_time
        rows = [
            {
                "kernel": name, "launches": len(pairs), "ms": sum(elapsed(a, b) for a, b in pairs),
                "bytes": self.moved[name],
            }
            for name, pairs in self.pairs.items()
        ]  # fmt: skip
        return sorted(rows, key=lambda row: -row["ms"])


@contextmanager
def clocked_launches(device: Device) -> Iterator[LaunchClock]:
    """Clock every launch inside the block, in which no graphs are captured."""
    clock, call, capture, cupy = LaunchClock(device), cuda.call, replay.capture, device.xp

    def refuse(*_arguments: object) -> NoReturn:
        raise replay.CaptureError("graphs are switched off while launches are clocked")

    def clocked(kernel: Kernel, where: Device, values: Mapping[str, Any]) -> None:
        stream = cupy.cuda.get_current_stream()
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record(stream)
        call(kernel, where, values)
        stop.record(stream)
        clock.pairs.setdefault(kernel.name, []).append((start, stop))
        clock.moved[kernel.name] = clock.moved.get(kernel.name, 0) + kernel.bytes_moved(values)

    cuda.call, replay.capture = clocked, refuse  # type: ignore[assignment]
    try:
        yield clock
    finally:
        cuda.call, replay.capture = call, capture
