"""Checks shared by the containers of images."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.grid import Grid

Array: TypeAlias = npt.NDArray[Any]
"""NumPy or CuPy array; both have the same interface."""


def check_not_empty(mask: Array, source: Path | None = None) -> None:
    """Raise InputError, naming the file `source` if given, for a mask without a voxel."""
    if not bool(mask.any()):
        raise InputError("the mask is empty", field="mask", source=source)


SHORTEST_ECHO_TIME = 2e-5
"""Shorter echo times [s] than those of ultra-short sequences are taken for another unit in advice."""

LEAST_LONGEST = 1e-4
"""Least value of the longest echo time [s]; below it the field hardly changes the phase."""


def check_echo_times(echo_times: tuple[float, ...]) -> tuple[float, ...]:
    """Return echo times as floats [s]; raises InputError unless positive, ascending, of plausible length."""
    times = tuple(float(t) for t in echo_times)
    if not times:
        raise InputError("no echo time", field="EchoTime")
    if not all(np.isfinite(times)) or min(times) <= 0:
        raise InputError(f"{times} are not positive numbers of seconds", field="EchoTime")
    if max(times) > 1.0:
        raise InputError(
            f"{times} exceeds 1 s: echo times are in seconds{_in_seconds(times)}", field="EchoTime"
        )
    if max(times) < LEAST_LONGEST:
        raise InputError(
            f"{times} are below {LEAST_LONGEST:g} s, too short for a phase to form: echo times are in seconds",
            field="EchoTime",
        )
    if any(b <= a for a, b in pairwise(times)):
        raise InputError(f"{times} are not ascending and distinct", field="EchoTime")
    return times


def _in_seconds(times: tuple[float, ...]) -> str:
    """Suggest the seconds that times in smaller units are; nothing if no unit makes all of them plausible."""
    for unit, factor in (("milliseconds", 1e3), ("microseconds", 1e6)):
        if min(times) / factor >= SHORTEST_ECHO_TIME and max(times) / factor <= 1.0:
            return f"; if these are {unit}, use {' '.join(f'{t / factor:g}' for t in times)}"
    return ""


def check_shape(name: str, array: Array, grid: Grid, ndim: int) -> None:
    """Raise InputError, naming the array, unless it has `ndim` axes, the first three those of the grid."""
    if array.ndim != ndim or tuple(array.shape[:3]) != grid.shape:
        raise InputError(f"{name} has shape {tuple(array.shape)}, its grid has {grid.shape}", field="shape")
