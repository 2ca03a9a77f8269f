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
        equal = "; give the echoes of one run, and correct the sidecar if two of them have the same time"
        raise InputError(
            f"{times} are not ascending and distinct{equal if len(set(times)) < len(times) else ''}",
            field="EchoTime",
        )
    return times


def _in_seconds(times: tuple[float, ...]) -> str:
    """Suggest the seconds that times in smaller units are; nothing if no unit makes all of them plausible."""
    for unit, factor in (("milliseconds", 1e3), ("microseconds", 1e6)):
        if min(times) / factor >= SHORTEST_ECHO_TIME and max(times) / factor <= 1.0:
            return f"; if these are {unit}, use {' '.join(f'{t / factor:g}' for t in times)}"
    return ""


LARGEST_PHASE = 2.002 * np.pi
"""Largest wrapped phase [rad], from -pi or from 0, with rounding."""


NORMALISED = ((-1.0, 1.0, "half turns: multiply it by pi"), (-0.5, 0.5, "turns: multiply it by 2 pi"),
              (0.0, 1.0, "turns: multiply it by 2 pi"))  # fmt: skip
"""Lowest and highest value of a wrapped phase in other units than radians, and their meaning."""
FILLED = 5e-4
"""Part of such a range by which the values of an image may miss its ends."""


def check_real(name: str, array: Any) -> None:
    """Raise InputError, naming the argument, unless it is an array of real numbers without masked elements."""
    kind = getattr(getattr(array, "dtype", None), "kind", None)
    if kind is None:
        raise InputError(f"{name} is a {type(array).__name__}; an array is needed", field=name)
    if kind == "c":
        raise InputError(f"{name} is complex; its modulus (np.abs) or phase (np.angle) is needed", field=name)
    if kind not in "fiub":
        raise InputError(f"{name} has the type {array.dtype}; numbers are needed", field=name)
    if type(array) is not np.ndarray and isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise InputError(f"{name} has masked elements, which would count: fill them", field=name)


def check_phase(name: str, array: Array, source: Path | None = None) -> None:
    """Raise InputError for a phase in other units than radians, or in whole numbers; NaN is not looked at.

    A wrapped phase fills its range. One that ends at -1 and 1, or at another pair of `NORMALISED`, is therefore
    not in radians.
    """
    check_real(name, array)
    if array.dtype.kind != "f":
        raise InputError(f"whole numbers ({array.dtype}), not radians", field=name, source=source)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if max(-low, high) > LARGEST_PHASE:
        raise InputError(
            f"values span {low:g} .. {high:g}; radians, wrapped to -pi .. pi, are needed: np.angle(np.exp(1j * "
            "phase)) wraps radians, `qsmengine qsm` recognises the units of stored phase",
            source=source,
            field=name,
        )
    for lowest, highest, meaning in NORMALISED:
        slack = FILLED * (highest - lowest)
        if abs(low - lowest) <= slack and abs(high - highest) <= slack:
            raise InputError(
                f"values span {low:g} .. {high:g}: this is probably a phase in {meaning}, to have radians",
                source=source,
                field=name,
            )


def check_mask(name: str, mask: Any, grid: Grid) -> Array:
    """Return a mask (x, y, z) as bool, True where it is not 0.

    Raises
    ------
    InputError
        For another shape, values below 0 or between 0 and 1, which need a threshold, and values that are not
        finite.
    """
    check_shape(name, mask, grid, 3)
    if mask.dtype.kind == "b":
        return mask  # type: ignore[no-any-return]
    low, high = float(mask.min()), float(mask.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0:
        raise InputError(f"{name} has values that are negative or not finite: give 0 and 1", field=name)
    if mask.dtype.kind == "f" and bool(((mask > 0) & (mask < 1)).any()):
        raise InputError(f"{name} has values between 0 and 1: choose a threshold, such as > 0.5", field=name)
    inside: Array = mask != 0
    return inside


def check_shape(name: str, array: Array, grid: Grid, ndim: int) -> None:
    """Raise InputError, naming the array, unless it is real and has `ndim` axes, the first three the grid's."""
    check_real(name, array)
    if array.ndim != ndim or tuple(array.shape[:3]) != grid.shape:
        raise InputError(f"{name} has shape {tuple(array.shape)}, its grid has {grid.shape}", field="shape")
