"""Comparison of a stored map with a recomputed one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import check_same_grid
from qsmengine.io.nifti import Image, read_stored, scale_stored
from qsmengine.io.sidecars import read_json
from qsmengine.pipeline.outputs.maps import sidecar_of

SPREAD = (5.0, 95.0)
"""Percentiles of a map whose distance is its spread."""
VOXELS = "voxels"
"""Unit of the differences of masks and labels."""
LEAST_SPREAD = 0.01
"""Least spread, as a fraction of the median magnitude: a constant map has none."""


@dataclass(frozen=True)
class Difference:
    """Difference between a stored map and the recomputed one.

    Parameters
    ----------
    name
        File name.
    largest
        max abs(stored - recomputed) over the voxels where both are finite and neither is zero, in `unit`;
        infinite if a voxel is finite in one image only. For masks and labels, the number of voxels that differ.
    unit
        Unit in the map's sidecar; "voxels" for masks and labels.
    relative
        `largest` divided by the spread of the stored map: the distance of the 5th and 95th percentiles of its
        voxels that are not zero, or 1 % of their median magnitude if that is larger. For masks and labels, the
        fraction of the voxels that are not zero in either image.
    unshared
        Fraction of these voxels that are zero or not finite in one image only: where they are zero, the masks
        differ.
    """

    name: str
    largest: float
    unit: str
    relative: float
    unshared: float = 0.0

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        largest = f"{self.largest:.0f}" if self.unit == VOXELS else f"{self.largest:.2g}"
        text = f"{largest}{unit}, relative {self.relative:.2g}"
        return text + (f", {100 * self.unshared:.2g} % of voxels in one only" if self.unshared else "")

    @property
    def worst(self) -> float:
        """Number that a tolerance limits: the larger of `relative` and `unshared`."""
        return max(self.relative, self.unshared)


def compare_maps(stored: Path, recomputed: Path) -> Difference:
    """Compare two images.

    Raises
    ------
    InputError
        If an image cannot be read, or the shapes or grids differ.
    """
    first, second = read_stored(stored), read_stored(recomputed)
    if first.array.shape != second.array.shape:
        raise InputError(f"shape {first.array.shape}, recomputed {second.array.shape}", source=stored)
    check_same_grid(first.grid, second.grid, stored, "the recomputed map")
    if first.array.dtype.kind in "iu" and second.array.dtype.kind in "iu":
        return _of_labels(stored.name, first.array, second.array)
    return _of_values(stored.name, _values(first), _values(second), _unit(stored))


def _values(image: Image) -> Array:
    return scale_stored(image.array, image.header.slope, image.header.intercept)


def _of_labels(name: str, stored: Array, recomputed: Array) -> Difference:
    count = int(np.count_nonzero(stored != recomputed))
    region = int(np.count_nonzero((stored != 0) | (recomputed != 0)))
    return Difference(name, float(count), VOXELS, count / region if region else 0.0)


def _of_values(name: str, stored: Array, recomputed: Array, unit: str) -> Difference:
    first, second = np.isfinite(stored) & (stored != 0), np.isfinite(recomputed) & (recomputed != 0)
    both, either = first & second, int(np.count_nonzero(first | second))
    unshared = int(np.count_nonzero(first != second)) / either if either else 0.0
    if bool((np.isfinite(stored) != np.isfinite(recomputed)).any()):
        return Difference(name, np.inf, unit, np.inf, unshared)
    if not both.any():
        return Difference(name, 0.0, unit, 0.0, unshared)
    largest = float(np.abs(stored[both].astype(np.float64) - recomputed[both]).max())
    return Difference(name, largest, unit, largest / _spread(stored[first]), unshared)


def _spread(values: Array) -> float:
    """Return the spread of values, none of which is zero."""
    low, high = np.percentile(values.astype(np.float64), SPREAD)
    return max(float(high - low), LEAST_SPREAD * float(np.median(np.abs(values))))


def _unit(image: Path) -> str:
    sidecar = sidecar_of(image)
    unit = read_json(sidecar).get("Units") if sidecar.is_file() else None
    return unit if isinstance(unit, str) else ""
