"""``cupyx.scipy.special``."""

from __future__ import annotations

from typing import Any

import scipy.special as _library
from standin.submodule import lookup as _lookup

_FOUND: dict[str, Any] = {}


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _FOUND[name] if name in _FOUND else _lookup(__name__, name, _library, _FOUND)
