"""``cupy.fft``."""

from __future__ import annotations

from typing import Any

import numpy.fft as _library
from standin.submodule import lookup as _lookup

from cupy.fft import config

__all__ = ["config"]
_FOUND: dict[str, Any] = {}


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _FOUND[name] if name in _FOUND else _lookup(__name__, name, _library, _FOUND)
