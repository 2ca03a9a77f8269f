"""Overlap of a map and an acquired volume, and the test whether one grid serves both."""

from __future__ import annotations

import numpy as np

from qsmengine.grid import FloatArray, Grid
from qsmengine.io.dicom_objects.planes import image_planes

_SAMPLES = 20_000
"""About as many voxels of the map are looked at."""


def same_grid(grid: Grid, acquired: Grid) -> bool:
    """Return whether a map, its axes in the order of the acquired volume's, lies on that volume's grid."""
    return image_planes(grid, acquired.axes).grid.matches(acquired)


def overlap(grid: Grid, inside: FloatArray, acquired: Grid) -> float:
    """Return the fraction of the map inside the acquired volume, or of that inside the map, if larger."""
    sample = inside[:: max(1, len(inside) // _SAMPLES)]
    everywhere = np.stack(np.meshgrid(*(np.linspace(0, n - 1, 12) for n in acquired.shape)), axis=-1)
    pairs: tuple[tuple[FloatArray, Grid, Grid], ...] = (
        (sample, grid, acquired),
        (everywhere.reshape(-1, 3), acquired, grid),
    )
    return max(_share(*pair) for pair in pairs)


def _share(indices: FloatArray, of: Grid, within: Grid) -> float:
    """Return the fraction of voxel indices of one grid that lie within another."""
    if not len(indices):
        return 0.0
    to: FloatArray = np.linalg.inv(within.affine) @ of.affine
    there = indices @ to[:3, :3].T + to[:3, 3]
    limits = np.asarray(within.shape) - 0.5
    return float(np.mean(((there > -0.5) & (there < limits)).all(axis=1)))
