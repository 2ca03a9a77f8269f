"""Medians and percentiles of arrays on either device; only three order statistics are copied to the host."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

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


def median(values: Array) -> float:
    """Median of float values of any shape; NaN where a value is NaN, and for an empty array."""
    low, high = _pair(values, (values.size - 1) // 2, values.size // 2)
    return float(np.mean(np.stack([low, high])))


def _pair(
    values: Array, first: int, second: int, *, ordered: bool = False
) -> tuple[np.floating[Any], np.floating[Any]]:
    """Two order statistics, counted from 0; NaN where the values hold one."""
    if values.size == 0:
        nan = values.dtype.type(np.nan)
        return nan, nan
    places, flat = [first, second, values.size - 1], values.reshape(-1)
    low, high, last = to_numpy((flat if ordered else array_module(values).partition(flat, places))[places])
    return (last, last) if np.isnan(last) else (low, high)
