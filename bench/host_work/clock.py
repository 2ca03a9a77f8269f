"""Time that a thread spends in the code of one folder, so that the rest can be told."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any


@dataclass
class InsideClock:
    """Time with a function of the watched folder on the stack of the thread that opened the clock.

    Parameters
    ----------
    seconds
        By the wall clock.
    cpu_seconds
        Of all threads of the process together.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@contextmanager
def inside(folder: Path) -> Iterator[InsideClock]:
    """Clock the calls of this thread into the Python files under `folder`.

    The clock is a profile function, so each call of a Python or C function outside the folder is slower by
    some tenths of a microsecond: what it calls outside time is an upper bound.
    """
    clock = InsideClock()
    before = sys.getprofile()
    sys.setprofile(_profile_function(clock, str(folder.resolve())))
    try:
        yield clock
    finally:
        sys.setprofile(before)


def _profile_function(clock: InsideClock, folder: str) -> Any:
    wall, cpu = time.perf_counter, time.process_time
    entered = worked = 0.0
    entry: FrameType | None = None

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal entered, worked, entry
        if entry is None:
            if event == "call" and frame.f_code.co_filename.startswith(folder):
                entry, entered, worked = frame, wall(), cpu()
        elif frame is entry and event == "return":
            entry = None
            clock.seconds += wall() - entered
            clock.cpu_seconds += cpu() - worked

    return profile
