"""Stand-in for CuPy on a machine without a GPU; see ``standin``."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from standin import api as _api
from standin import pools as _pools
from standin.methods import ndarray
from standin.raw import RawKernel, RawModule
from standin.submodule import lookup as _lookup
from standin.ufuncs import ufunc

from cupy import cuda, fft, linalg, random

__all__ = ["RawKernel", "RawModule", "cuda", "fft", "linalg", "ndarray", "random", "ufunc"]
__version__ = _api.VERSION
_FOUND: dict[str, Any] = {}


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> Any:
    """Copy to the host."""
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    return np.asarray(a, order=order)


def get_array_module(*args: Any) -> Any:
    """This module where an argument is one of its arrays, else NumPy."""
    return sys.modules[__name__] if any(isinstance(a, ndarray) for a in args) else np


def get_default_memory_pool() -> _pools.MemoryPool:
    """The pool of device memory."""
    return _pools.DEFAULT_POOL


def get_default_pinned_memory_pool() -> _pools.PinnedMemoryPool:
    """The pool of pinned memory."""
    return _pools.DEFAULT_PINNED_POOL


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name in _FOUND:
        return _FOUND[name]
    if _api.require("cupy", name).startswith("u") and isinstance(getattr(np, name, None), np.ufunc):
        _FOUND[name] = ufunc(name)
        return _FOUND[name]
    return _lookup("cupy", name, np, _FOUND)
