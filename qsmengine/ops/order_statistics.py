"""Medians and percentiles of arrays on either device; only three order statistics are copied to the host.

NumPy's own import masked arrays, which takes longer than most medians.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import array_module, to_numpy
from qsmengine.data import Array


def percentile(values: Array, q: float, *, ordered: bool = False) -> float:
    """`q`-th percentile of float values of any shape, as numpy.percentile: linear between order statistics.

    NaN where a value is NaN, and for an empty array. `ordered` values are sorted already.
    """
    place = max(values.size - 1, 0) * (q / 100)
    below = math.floor(place)
    low, high = _pair(values, below, min(below + 1, values.size - 1), ordered=ordered)
    step, part = float(high - low), place - below
    value = float(low) + step * part if part < 0.5 else float(high) - step * (1 - part)
    return float(low.dtype.type(value))


def median(values: Array, *, overwrite: bool = False) -> float:
    """Median of float values of any shape; NaN where a value is NaN, and for an empty array.

    `overwrite` allows to change the order of the values, which saves a copy.
    """
    low, high = _pair(values, (values.size - 1) // 2, values.size // 2, overwrite=overwrite)
    return float(np.mean(np.stack([low, high])))


def medians(values: npt.NDArray[np.floating], axis: int) -> npt.NDArray[np.floating]:
    """Medians of float values on the host along an axis, as numpy.median; NaN where a value is NaN."""
    moved = np.moveaxis(values, axis, 0)
    middle = len(moved) // 2
    parted = np.partition(moved, middle, axis=0)
    high = parted[middle]
    found = high if len(moved) % 2 else np.stack([parted[:middle].max(axis=0), high]).mean(axis=0)
    return np.asarray(np.where(np.isnan(moved).any(axis=0), found.dtype.type(np.nan), found))


def _pair(
    values: Array, first: int, second: int, *, ordered: bool = False, overwrite: bool = False
) -> tuple[np.floating[Any], np.floating[Any]]:
    """An order statistic, counted from 0, and the same or the next one; NaN where the values hold one.

    NumPy selects a single place far faster than several at once.
    """
    if values.size == 0:
        nan = values.dtype.type(np.nan)
        return nan, nan
    xp, flat = array_module(values), values.ravel(order="K")
    if overwrite and not ordered:
        flat.partition(first)
    parted = flat if ordered or overwrite else xp.partition(flat, first)
    above = parted[first:]  # NaN comes last
    next_one = above[second - first] if ordered or second == first else above[1:].min()
    low, high, last = to_numpy(xp.stack([above[0], next_one, above.max()]))
    return (last, last) if np.isnan(last) else (low, high)
