"""Units and values that a coded quantity can have: an archive keeps what it is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.io.dicom_objects import codes
from qsmengine.io.dicom_objects.codes import Coded

_BASE = {"ppb": 1e-3, "ms": 1e-3, "um^2/s": 1e-6, "%": 1e-2, "1/1000": 1e-3}
"""Unit -> factor to the unit in which limits are stated; 1 for all others."""
_PARTS, _TIMES = ("ppm", "ppb"), ("s", "ms")
_RATIOS, _DIFFUSIVITIES = ("1", "%", "1/1000"), ("mm^2/s", "um^2/s")
_NO_LIMIT = (0.0, np.inf)
_RELAXING = (0.0, 20.0)
_DIFFUSING = (0.0, 4e-3)
_KNOWN = {
    codes.SUSCEPTIBILITY: (_PARTS, (0.0, 10.0)),
    codes.R1: (("1/s",), _NO_LIMIT),
    codes.R2: (("1/s",), (0.2, np.inf)),
    codes.R2_STAR: (("1/s",), (0.2, np.inf)),
    codes.T1: (_TIMES, _RELAXING),
    codes.T2: (_TIMES, _RELAXING),
    codes.T2_STAR: (_TIMES, _RELAXING),
    codes.FRACTIONAL_ANISOTROPY: (_RATIOS, (0.0, 1.0)),
    codes.MEAN_DIFFUSIVITY: (_DIFFUSIVITIES, _DIFFUSING),
    codes.RADIAL_DIFFUSIVITY: (_DIFFUSIVITIES, _DIFFUSING),
    codes.AXIAL_DIFFUSIVITY: (_DIFFUSIVITIES, _DIFFUSING),
    codes.MEAN_TRANSIT_TIME: (_TIMES, _NO_LIMIT),
    codes.TMAX: (_TIMES, _NO_LIMIT),
    codes.TIME_TO_PEAK: (_TIMES, _NO_LIMIT),
}
"""Quantity -> its units, and limits of the median magnitude in ppm, 1/s, s, 1 or mm^2/s."""


def check_unit(quantity: Coded, unit: str, path: Path) -> None:
    """Raise InputError for a unit in which a quantity is not measured."""
    units = _known(quantity)[0]
    if units and unit not in units:
        raise InputError(
            f"{unit!r}, but {quantity.meaning} is measured in {' or '.join(units)}: correct the sidecar, or "
            "state the quantity (--quantity)",
            source=path,
            field="Units",
        )


def check_range(quantity: Coded, unit: str, values: npt.NDArray[np.float32]) -> None:
    """Raise InputError if the median magnitude of the values other than 0 is not one of this quantity."""
    low, high = _known(quantity)[1]
    found = float(np.median(np.abs(values[values != 0])))
    if not low <= found * _BASE.get(unit, 1.0) <= high:
        raise InputError(
            f"the median magnitude is {found:.3g} {unit}, which {quantity.meaning} does not have: the values "
            "are in another unit than the sidecar or --unit states",
            field="Units",
        )


def _known(quantity: Coded) -> tuple[tuple[str, ...], tuple[float, float]]:
    """Return the units of a quantity and its limits; none for quantities that are not known."""
    found = (entry for code, entry in _KNOWN.items() if code[:2] == quantity[:2])
    return next(found, ((), _NO_LIMIT))
