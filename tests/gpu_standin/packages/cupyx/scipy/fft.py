"""``cupyx.scipy.fft``."""

from __future__ import annotations

from typing import Any

import scipy.fft as _library
from standin import cufft as _cufft
from standin.submodule import lookup as _lookup
from standin.transforms import get_fft_plan
from standin.transforms import transform as _transform
from standin.transforms import trigonometric as _trigonometric

__all__ = ["dctn", "dstn", "fftn", "get_fft_plan", "idctn", "idstn", "ifftn", "irfftn", "rfftn"]
_FOUND: dict[str, Any] = {}


def _many(kind: str, direction: int) -> Any:
    def call(
        x: Any,
        s: Any = None,
        axes: Any = None,
        norm: Any = None,
        overwrite_x: bool = False,
        *,
        plan: Any = None,
    ) -> Any:
        return _transform(x, s, axes, norm, direction, kind, overwrite=overwrite_x, plan=plan)

    return call


rfftn = _many("R2C", _cufft.CUFFT_FORWARD)
irfftn = _many("C2R", _cufft.CUFFT_INVERSE)
fftn = _many("C2C", _cufft.CUFFT_FORWARD)
ifftn = _many("C2C", _cufft.CUFFT_INVERSE)


dctn, idctn, dstn, idstn = (_trigonometric(name) for name in ("dctn", "idctn", "dstn", "idstn"))


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _FOUND[name] if name in _FOUND else _lookup(__name__, name, _library, _FOUND)
