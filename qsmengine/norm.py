"""Euclidean norm of large arrays, which shows in one pass whether every element is finite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

PIECE = 1 << 21
"""Number of elements from which an array is divided among threads."""
THREADS = 2
"""One core does not use the whole bandwidth of the memory."""


def euclidean_norm(array: npt.NDArray[Any]) -> float:
    """Return the root of the sum of squares of a real array without gaps between its elements.

    NaN or infinite if an element is, or if squares overflow: a finite norm bounds every element.

    Parameters
    ----------
    array
        NumPy or CuPy array of floats, contiguous in any order of its axes.
    """
    values = array.ravel(order="K")  # a view
    if not isinstance(values, np.ndarray) or values.size < 2 * PIECE:
        return math.sqrt(_square(values))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(THREADS) as pool:
        return math.sqrt(sum(pool.map(_square, np.array_split(values, -(-values.size // PIECE)))))


def _square(values: npt.NDArray[Any]) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(values.dot(values))
