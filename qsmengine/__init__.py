"""qsmengine: quantitative susceptibility mapping, diffusion, perfusion and relaxometry on GPU and CPU.

Public names are imported on first use, so that ``import qsmengine`` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qsmengine.on_demand import names_on_demand
from qsmengine.version import __version__ as __version__

if TYPE_CHECKING:
    from qsmengine.api.anatomy import reconstruct_anatomy
    from qsmengine.api.denoising import denoise
    from qsmengine.api.derived import (
        estimate_uncertainty,
        reference_chi,
        separate_chi,
        susceptibility_intervals,
        susceptibility_weighted,
    )
    from qsmengine.api.perfusion import reconstruct_dsc
    from qsmengine.api.reconstruct import (
        fit_tensor,
        invert_dipole,
        reconstruct_qsm,
        remove_background,
        unwrap,
    )
    from qsmengine.api.registration import register
    from qsmengine.api.relaxometry import reconstruct_vfa
    from qsmengine.api.spin_echoes import reconstruct_mese
    from qsmengine.cohort.dicom_export.export import export_dicom
    from qsmengine.errors import DeviceError, InputError, QsmengineError, UsageError
    from qsmengine.grid import Grid
    from qsmengine.io.dwi import load_dwi
    from qsmengine.io.gre import load_gre
    from qsmengine.stats.regions.measure import region_table

__all__ = [
    "DeviceError",
    "Grid",
    "InputError",
    "QsmengineError",
    "UsageError",
    "denoise",
    "estimate_uncertainty",
    "export_dicom",
    "fit_tensor",
    "invert_dipole",
    "load_dwi",
    "load_gre",
    "reconstruct_anatomy",
    "reconstruct_dsc",
    "reconstruct_mese",
    "reconstruct_qsm",
    "reconstruct_vfa",
    "reference_chi",
    "region_table",
    "register",
    "remove_background",
    "separate_chi",
    "susceptibility_intervals",
    "susceptibility_weighted",
    "unwrap",
]

_HOMES = {
    "DeviceError": "errors",
    "Grid": "grid",
    "InputError": "errors",
    "QsmengineError": "errors",
    "UsageError": "errors",
    "denoise": "api.denoising",
    "estimate_uncertainty": "api.derived",
    "export_dicom": "cohort.dicom_export.export",
    "fit_tensor": "api.reconstruct",
    "invert_dipole": "api.reconstruct",
    "load_dwi": "io.dwi",
    "load_gre": "io.gre",
    "reconstruct_anatomy": "api.anatomy",
    "reconstruct_dsc": "api.perfusion",
    "reconstruct_mese": "api.spin_echoes",
    "reconstruct_qsm": "api.reconstruct",
    "reconstruct_vfa": "api.relaxometry",
    "reference_chi": "api.derived",
    "region_table": "stats.regions.measure",
    "register": "api.registration",
    "remove_background": "api.reconstruct",
    "separate_chi": "api.derived",
    "susceptibility_intervals": "api.derived",
    "susceptibility_weighted": "api.derived",
    "unwrap": "api.reconstruct",
}

__getattr__, __dir__ = names_on_demand(__name__, _HOMES)
