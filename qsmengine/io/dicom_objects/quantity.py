"""A map as it is exported: voxels, geometry, coded quantity, unit and window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.io.dicom_objects.codes import Coded, ucum
from qsmengine.io.dicom_objects.planes import Planes

_TAILS = (1.0, 99.0)
"""Percentiles of the voxels with a value that limit a window."""
_SCALED = {
    "ppm": ("ppb", 1e3),
    "mm^2/s": ("um^2/s", 1e6),
    "1": ("1/1000", 1e3),
    "s": ("ms", 1e3),
}
"""Unit of files -> unit and factor of images with whole numbers, whose windows viewers expect wider than 1."""


@dataclass(frozen=True)
class Quantity:
    """Map of one quantity.

    Parameters
    ----------
    values
        Voxels (slice, row, column), float32, finite; 0 where the map has no value.
    planes
        Geometry.
    code, unit
        Quantity, and unit as in sidecars.
    title
        Description of the series.
    window
        Lowest and highest value shown, in `unit`; None: from the values.
    face
        Whether the map may show the patient's face.
    """

    values: npt.NDArray[np.float32]
    planes: Planes
    code: Coded
    unit: str
    title: str
    window: tuple[float, float] | None = None
    face: bool = True

    @property
    def ucum(self) -> Coded:
        """UCUM code of the unit."""
        return ucum(self.unit)

    @property
    def shown(self) -> tuple[float, float]:
        """Window for all slices: the given one, or the 1st to 99th percentile of the voxels other than 0."""
        if self.window is not None:
            return self.window
        found = self.values[self.values != 0]
        if not found.size:
            return 0.0, 1.0
        low, high = np.percentile(found, _TAILS).tolist()
        return (low, high) if high > low else (low - 0.5, low + 0.5)

    @property
    def whole_unit(self) -> tuple[str, float]:
        """Unit of images with whole numbers, and the factor from :attr:`unit`: ppb for ppm, and so on."""
        return _SCALED.get(self.unit, (self.unit, 1.0))


def check_finite(
    values: npt.NDArray[np.float32], notes: list[str], source: Path | None = None
) -> npt.NDArray[np.float32]:
    """Return the values with NaN replaced by 0, with a note that names `source`.

    Raises
    ------
    InputError
        For infinite values, and without a value other than 0.
    """
    unknown = np.isnan(values)
    count = int(np.count_nonzero(unknown))
    if np.isinf(values).any():
        raise InputError("contains infinite values; set them to NaN or 0")
    if count == values.size:
        raise InputError("contains no finite value")
    known = np.where(unknown, np.float32(0), values) if count else values
    if not known.any():
        raise InputError("is 0 everywhere: nothing to export")
    if count:
        notes.append(f"{'' if source is None else f'{source}: '}{count} NaN values exported as 0")
    return known
