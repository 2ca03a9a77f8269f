"""Stand-in for ``cupyx``; see ``standin``."""

from __future__ import annotations

from typing import Any

import numpy as np
from standin.pools import alloc_pinned_memory as _alloc


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    """An array in page-locked host memory."""
    count = int(np.prod(shape, dtype=np.int64))
    buffer = _alloc(max(1, count * np.dtype(dtype).itemsize))
    return np.frombuffer(buffer, dtype, count).reshape(shape, order=order)


def zeros_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    """Zeros in page-locked host memory."""
    array = empty_pinned(shape, dtype, order)
    array[...] = 0
    return array


def empty_like_pinned(a: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> Any:
    """Page-locked host memory for an array like `a`."""
    return empty_pinned(shape or a.shape, dtype or a.dtype)
