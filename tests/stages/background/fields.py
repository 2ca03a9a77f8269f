"""Fields of sources in and around an ellipsoid."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage

from qsmengine.grid import Grid
from qsmengine.phantom.field import FieldModel

SHAPE = (34, 32, 28)
GRID = Grid.from_voxel_size(SHAPE, (1.0, 1.0, 1.0), field_strength=3.0)
FLAT = Grid.from_voxel_size((34, 32, 18), (1.0, 1.0, 1.6), field_strength=3.0)


def positions(grid: Grid) -> np.ndarray:
    """Coordinates (3, x, y, z) [mm] from the middle of the image."""
    axes = [(np.arange(n) - (n - 1) / 2) * h for n, h in zip(grid.shape, grid.voxel_size, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def ellipsoid(grid: Grid) -> np.ndarray:
    radii = np.array([14.0, 13.0, 11.0])[:, None, None, None]
    return ((positions(grid) / radii) ** 2).sum(0) < 1


def dipole_field(grid: Grid, position, moment: float) -> np.ndarray:
    r = positions(grid) - np.asarray(position)[:, None, None, None]
    r2 = (r**2).sum(0)
    along = np.tensordot(grid.b0_direction, r, axes=1)
    return moment * (3 * along**2 / r2 - 1) / r2**1.5


def outside_field(grid: Grid) -> np.ndarray:
    """Two dipoles about 8 mm away from the ellipsoid, of 0.01 to 0.1 inside."""
    return dipole_field(grid, (0.3, 3.2, 19.1), 40.0) + dipole_field(grid, (-22.3, 5.1, 0.2), -60.0)


@cache
def inside_field(grid: Grid) -> np.ndarray:
    """Field of smooth random susceptibility of zero mean up to 7 mm from the middle."""
    noise = ndimage.gaussian_filter(np.random.default_rng(6).normal(size=grid.shape), 1.0)
    tissue = np.linalg.norm(positions(grid), axis=0) < 7
    chi = np.where(tissue, noise - noise[tissue].mean(), 0) / noise.std() * 0.05
    model = FieldModel.on_cpu(grid.shape, grid.voxel_size, grid.b0_direction)
    return model.field(chi.astype(np.float32))


def shim_field(grid: Grid) -> np.ndarray:
    x, y, z = positions(grid) / 14.0
    return 0.05 + 0.1 * x - 0.2 * z + 0.1 * (x * y) + 0.15 * (x * x - y * y) - 0.1 * (2 * z * z - x * x - y * y)
