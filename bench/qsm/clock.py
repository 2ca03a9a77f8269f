"""Counting and timing the transforms that a method calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qsmengine.backend import fft
from qsmengine.backend.device import Device
from qsmengine.backend.trigonometric import TrigonometricTransform


@dataclass
class FftClock:
    """Seconds spent in transforms, and how many there were."""

    device: Device
    seconds: float = 0.0
    count: int = 0

    def time(self, transform: Callable[..., Any], *arguments: Any) -> Any:
        """Call `transform` and add its time."""
        self.device.synchronize()
        start = time.perf_counter()
        result = transform(*arguments)
        self.device.synchronize()
        self.seconds += time.perf_counter() - start
        self.count += 1
        return result


class _TimedEngine:
    """An FFT engine whose calls are timed."""

    def __init__(self, engine: Any, clock: FftClock) -> None:
        self._engine, self._clock = engine, clock

    def forward(self, x: Any, out: Any) -> None:
        self._clock.time(self._engine.forward, x, out)

    def inverse(self, spectrum: Any, out: Any) -> None:
        self._clock.time(self._engine.inverse, spectrum, out)


@contextmanager
def timed_ffts(device: Device) -> Iterator[FftClock]:
    """Count and time all real FFTs and trigonometric transforms that are planned inside the block."""
    clock = FftClock(device)
    make = fft.make_engine
    cosine = TrigonometricTransform.forward, TrigonometricTransform.inverse

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        return lambda transform, x: clock.time(method, transform, x)

    fft.make_engine = lambda *arguments: _TimedEngine(make(*arguments), clock)
    TrigonometricTransform.forward, TrigonometricTransform.inverse = map(timed, cosine)  # type: ignore[method-assign]
    try:
        yield clock
    finally:
        fft.make_engine = make
        TrigonometricTransform.forward, TrigonometricTransform.inverse = cosine  # type: ignore[method-assign]
