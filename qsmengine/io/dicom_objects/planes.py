"""Image planes of a volume: which array axes run along columns, rows and slices of DICOM images.

Arrays are permuted and flipped, never resampled. DICOM coordinates are (left, posterior, superior), those of
grids (right, anterior, superior): the first two change sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import LPS, FloatArray, Grid

ALONG = 0.999
"""Smallest cosine between axes that count as parallel (2.6 degrees)."""
_USUAL = {0: ((0, -1, 0), (0, 0, -1)), 1: ((-1, 0, 0), (0, 0, -1)), 2: ((-1, 0, 0), (0, -1, 0))}
"""Axis nearest to the normal (right, anterior, superior) -> directions of increasing column and row index.

Sagittal images show anterior on the left, others the patient's right; superior or anterior is up.
"""


@dataclass(frozen=True)
class Planes:
    """A volume as image planes.

    Parameters
    ----------
    grid
        Geometry of the array (column, row, slice); its axes form a right-handed system.
    order, flipped
        Axes of the original array along columns, rows and slices, and whether each is reversed.
    """

    grid: Grid
    order: tuple[int, int, int] = (0, 1, 2)
    flipped: tuple[bool, bool, bool] = (False, False, False)

    def frames(self, array: Array) -> npt.NDArray[Any]:
        """Return an array of the original axes (x, y, z) as (slice, row, column)."""
        turned = np.transpose(array, self.order)
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return np.ascontiguousarray(turned[steps].transpose(2, 1, 0))

    @property
    def orientation(self) -> list[float]:
        """ImageOrientationPatient: directions of increasing column and row index."""
        axes = LPS[:3, :3] @ self.grid.axes
        return [float(value) + 0.0 for value in (*axes[:, 0], *axes[:, 1])]

    def position(self, index: int) -> list[float]:
        """ImagePositionPatient [mm] of a slice: centre of its first voxel."""
        corner = LPS @ self.grid.affine @ [0, 0, index, 1]
        return [float(value) + 0.0 for value in corner[:3]]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance [mm] between slices, rows and columns."""
        x, y, z = self.grid.voxel_edges
        return z, y, x

    @property
    def volume_affine(self) -> FloatArray:
        """Affine from (slice, row, column) to DICOM coordinates [mm]."""
        affine: FloatArray = (LPS @ self.grid.affine)[:, [2, 1, 0, 3]]
        return affine


def image_planes(grid: Grid, like: FloatArray | None = None) -> Planes:
    """Return the image planes of a volume.

    Parameters
    ----------
    grid
        Geometry of the array.
    like
        Directions (3, 3) whose columns are those of the columns, rows and slices of an acquisition. If the axes
        of the grid are parallel to them, the planes are those of the acquisition. Otherwise slices follow the
        third axis of the array, and images appear as radiologists view them.

    Raises
    ------
    InputError
        If the axes of the grid are not perpendicular.
    """
    _check_perpendicular(grid)
    axes = grid.axes
    found = None if like is None else _parallel(axes, like)
    if found is not None and like is not None:
        order, column, row = found, like[:, 0], like[:, 1]
    else:
        usual = _USUAL[int(np.argmax(np.abs(axes[:, 2])))]
        column, row = (np.array(direction, dtype=np.float64) for direction in usual)
        order = (0, 1, 2) if abs(axes[:, 0] @ column) >= abs(axes[:, 1] @ column) else (1, 0, 2)
    signs = [np.sign(axes[:, order[0]] @ column) or 1.0, np.sign(axes[:, order[1]] @ row) or 1.0]
    normal = np.cross(signs[0] * axes[:, order[0]], signs[1] * axes[:, order[1]])
    signs.append(float(np.sign(axes[:, order[2]] @ normal)))
    flipped = (bool(signs[0] < 0), bool(signs[1] < 0), bool(signs[2] < 0))
    return Planes(_turned(grid, order, flipped), order, flipped)


def _turned(grid: Grid, order: tuple[int, int, int], flipped: tuple[bool, bool, bool]) -> Grid:
    """Return the geometry of an array with its axes permuted and some of them reversed."""
    shape = tuple(grid.shape[axis] for axis in order)
    affine = grid.affine[:, [*order, 3]].copy()
    for axis, flip in enumerate(flipped):
        if flip:
            affine[:3, 3] += (shape[axis] - 1) * affine[:3, axis]
            affine[:3, axis] *= -1
    return Grid((shape[0], shape[1], shape[2]), affine)


def _parallel(axes: FloatArray, like: FloatArray) -> tuple[int, int, int] | None:
    """Return the array axes parallel to three directions, None if there are none."""
    cosines = np.abs(axes.T @ like)
    for a, b, c in permutations(range(3)):
        if min(cosines[a, 0], cosines[b, 1], cosines[c, 2]) >= ALONG:
            return a, b, c
    return None


def _check_perpendicular(grid: Grid) -> None:
    """Raise InputError if voxels are sheared: DICOM planes have perpendicular rows, columns and normals."""
    columns = grid.affine[:3, :3]
    u, _, vt = np.linalg.svd(grid.axes)
    ideal = grid.affine.copy()
    ideal[:3, :3] = (u @ vt) * np.linalg.norm(columns, axis=0)
    moved = grid.distance(Grid(grid.shape, ideal))
    if moved > grid.tolerance:
        raise InputError(
            f"axes are not perpendicular (voxels lie up to {moved:.3g} mm away from a rectangular grid, "
            f"{grid.tolerance:.2g} mm allowed); resample the map onto such a grid",
            field="affine",
        )
