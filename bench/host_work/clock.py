"""Time that a thread spends in the code of one folder, so that the rest can be separated."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

CALIBRATION = 100_000
"""Calls that measure the cost of the clock."""

_Profile = Callable[[FrameType, str, object], None]


@dataclass
class InsideClock:
    """Time with a function of the watched folder on the stack of the thread that opened the clock.

    Parameters
    ----------
    seconds
        By the wall clock.
    cpu_seconds
        Of all threads of the process together.
    events
        Calls and returns outside the folder, each of which the clock slows.
    event_seconds
        CPU seconds that one of them costs.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    events: int = 0
    event_seconds: float = 0.0

    @property
    def own_seconds(self) -> float:
        """CPU seconds that the clock itself took outside the folder."""
        return self.events * self.event_seconds


@contextmanager
def inside(folder: Path) -> Iterator[InsideClock]:
    """Clock the calls of this thread into the Python files under `folder`.

    The clock is a profile function: Python calls it at each call and return of any function.
    """
    clock = InsideClock(event_seconds=_event_seconds(str(folder.resolve())))
    before = sys.getprofile()
    sys.setprofile(_profile_function(clock, str(folder.resolve())))
    try:
        yield clock
    finally:
        sys.setprofile(before)


def _event_seconds(folder: str) -> float:
    """Return the cost of an event outside the folder: calls of an empty function with the clock and without."""

    def nothing() -> None:
        pass

    before, used = sys.getprofile(), []
    for profile in (None, _profile_function(InsideClock(), folder)):
        sys.setprofile(profile)
        start = time.process_time()
        for _ in range(CALIBRATION):
            nothing()
        used.append(time.process_time() - start)
        sys.setprofile(before)
    return max(0.0, used[1] - used[0]) / (2 * CALIBRATION)


def _profile_function(clock: InsideClock, folder: str) -> _Profile:
    wall, cpu = time.perf_counter, time.process_time
    entered = worked = 0.0
    entry: FrameType | None = None

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal entered, worked, entry
        if entry is None:
            clock.events += 1
            if event == "call" and frame.f_code.co_filename.startswith(folder):
                entry, entered, worked = frame, wall(), cpu()
        elif frame is entry and event == "return":
            entry = None
            clock.seconds += wall() - entered
            clock.cpu_seconds += cpu() - worked

    return profile
