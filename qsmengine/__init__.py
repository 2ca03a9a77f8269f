"""qsmengine: quantitative susceptibility mapping and diffusion reconstruction on GPU and CPU.

The public names are imported when first used, so ``import qsmengine`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qsmengine.errors import DeviceError, InputError, QsmengineError, UsageError
    from qsmengine.grid import Grid
    from qsmengine.io import load_dwi, load_gre
    from qsmengine.pipeline.api import (
        denoise,
        fit_tensor,
        invert_dipole,
        reconstruct_qsm,
        remove_background,
        unwrap,
    )
    from qsmengine.pipeline.api_derived import (
        estimate_uncertainty,
        reference_chi,
        separate_chi,
        susceptibility_weighted,
    )
    from qsmengine.stats.regions import region_table

__version__ = "0.1.0"

__all__ = [
    "DeviceError",
    "Grid",
    "InputError",
    "QsmengineError",
    "UsageError",
    "denoise",
    "estimate_uncertainty",
    "fit_tensor",
    "invert_dipole",
    "load_dwi",
    "load_gre",
    "reconstruct_qsm",
    "reference_chi",
    "region_table",
    "remove_background",
    "separate_chi",
    "susceptibility_weighted",
    "unwrap",
]

_HOMES = {
    "DeviceError": "errors",
    "Grid": "grid",
    "InputError": "errors",
    "QsmengineError": "errors",
    "UsageError": "errors",
    "denoise": "pipeline.api",
    "estimate_uncertainty": "pipeline.api_derived",
    "fit_tensor": "pipeline.api",
    "invert_dipole": "pipeline.api",
    "load_dwi": "io",
    "load_gre": "io",
    "reconstruct_qsm": "pipeline.api",
    "reference_chi": "pipeline.api_derived",
    "region_table": "stats.regions",
    "remove_background": "pipeline.api",
    "separate_chi": "pipeline.api_derived",
    "susceptibility_weighted": "pipeline.api_derived",
    "unwrap": "pipeline.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
