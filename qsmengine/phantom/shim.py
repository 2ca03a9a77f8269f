"""Shimming: removal of harmonic polynomials from the field by the scanner's coils.

Fields of shim coils have no sources inside, so only solid harmonics can be removed: up to second order these
are 1, x, y, z, xy, yz, xz, x^2 - y^2 and 2 z^2 - x^2 - y^2. The local field of the brain is unaffected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qsmengine.grid import Vector3
from qsmengine.phantom.resample import FloatImage

TERMS = ("1", "x", "y", "z", "xy", "yz", "xz", "x2-y2", "2z2-x2-y2")
SCALE = 100.0
"""Unit of the coordinates [mm]; a coefficient is about the field [ppm] at that distance."""


@dataclass(frozen=True)
class Shim:
    """`coefficients` [ppm] of TERMS; coordinates along the array axes from `centre` [mm] in units of 100 mm."""

    coefficients: tuple[float, ...]
    centre: Vector3

    def field(self, shape: tuple[int, int, int], voxel_size: Vector3) -> FloatImage:
        """Return the contribution of the shim to the field (x, y, z) [ppm]."""
        x, y, z = _coordinates(shape, voxel_size, self.centre)
        c = self.coefficients
        return np.asarray(
            c[0] + c[1] * x + c[2] * y + c[3] * z + c[4] * (x * y) + c[5] * (y * z) + c[6] * (x * z)
            + (c[7] * (x * x - y * y) + c[8] * (2 * z * z - x * x - y * y)),
            dtype=np.float32,
        )  # fmt: skip


def fit_shim(field: FloatImage, mask: npt.NDArray[np.bool_], voxel_size: Vector3) -> Shim:
    """Return the shim that minimises the sum of squares of `field` (x, y, z) [ppm] inside `mask`."""
    indices = np.nonzero(mask)
    centre = tuple(float((i.mean() + 0.5) * h) for i, h in zip(indices, voxel_size, strict=True))
    x, y, z = (((i + 0.5) * h - c) / SCALE for i, h, c in zip(indices, voxel_size, centre, strict=True))
    design = np.stack([np.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 2 * z * z - x * x - y * y])
    values = field[indices].astype(np.float64)
    solution = np.linalg.lstsq(design @ design.T, design @ values, rcond=None)[0]
    return Shim(tuple((-solution).tolist()), (centre[0], centre[1], centre[2]))


def _coordinates(
    shape: tuple[int, int, int], voxel_size: Vector3, centre: Vector3
) -> tuple[FloatImage, FloatImage, FloatImage]:
    axes = [
        np.float32(((np.arange(n) + 0.5) * h - c) / SCALE)
        for n, h, c in zip(shape, voxel_size, centre, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    return x, y, z
