"""Resampling from the label grid to voxels of any size, by averages over the target voxel's box.

A property of a target voxel is the mean over its box, the sum of the labels' values weighted by their partial
volumes; the box may intersect source voxels. Labels are resampled by majority.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.grid import Grid, Vector3

FloatImage = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Resampler:
    """Box averages from `source` onto the grid of `voxel_size` [mm] that starts at the same corner.

    The target covers the source; the remainder is filled with 0.
    """

    source: Grid
    voxel_size: Vector3

    @property
    def ratios(self) -> tuple[float, ...]:
        """Target voxel edge in source voxels, per axis."""
        return tuple(v / s for v, s in zip(self.voxel_size, self.source.voxel_size, strict=True))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the target."""
        x, y, z = (math.ceil(n / r - 1e-6) for n, r in zip(self.source.shape, self.ratios, strict=True))
        return x, y, z

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """Affine of the target: axes of the source, corners of the first voxels coincide."""
        affine = self.source.affine.copy()
        affine[:3, :3] *= np.asarray(self.ratios)
        offset = (np.asarray(self.ratios) - 1.0) / 2.0
        affine[:3, 3] = (self.source.affine @ [*offset, 1.0])[:3]
        return affine

    @property
    def is_identity(self) -> bool:
        """Return True if target and source have the same grid."""
        return all(abs(r - 1.0) < 1e-9 for r in self.ratios)

    def average(self, image: FloatImage) -> FloatImage:
        """Return the mean of `image` over each target voxel's box."""
        if self.is_identity:
            return image
        for axis in range(3):
            image = self._average_axis(image, axis)
        return np.ascontiguousarray(image)

    def majority(self, index: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the most frequent value of `index` in each target voxel (the smallest in a tie).

        Along axes with smaller target voxels the value at the centre is used; outside the source it is 0.
        """
        if self.is_identity:
            return index
        shape = self.shape
        owners = []
        for axis, (ratio, n) in enumerate(zip(self.ratios, shape, strict=True)):
            if ratio < 1:
                centres = ((np.arange(n) + 0.5) * ratio).astype(np.intp)
                index = index.take(np.minimum(centres, index.shape[axis] - 1), axis=axis)
                owners.append(np.arange(n))
            else:
                owners.append(((np.arange(index.shape[axis]) + 0.5) / ratio).astype(np.intp))
        kinds = int(index.max()) + 1
        out = np.empty(shape, dtype=np.uint8)
        plane = owners[1][:, None] * shape[2] + owners[2][None, :]
        for x in range(shape[0]):
            slab = index[owners[0] == x]
            codes = plane[None] * kinds + slab
            counts = np.bincount(codes.ravel(), minlength=shape[1] * shape[2] * kinds)
            out[x] = counts.reshape(shape[1], shape[2], kinds).argmax(axis=2)
        return out

    def _average_axis(self, image: FloatImage, axis: int) -> FloatImage:
        from scipy.sparse import csr_matrix

        n, ratio, target = image.shape[axis], self.ratios[axis], self.shape[axis]
        rows, columns, weights = [], [], []
        for row in range(target):
            low, high = row * ratio, (row + 1) * ratio
            for column in range(math.floor(low + 1e-9), min(n, math.ceil(high - 1e-9))):
                rows.append(row)
                columns.append(column)
                weights.append((min(high, column + 1) - max(low, column)) / ratio)
        entries = np.asarray(weights, dtype=np.float32)
        matrix: Any = csr_matrix((entries, (np.asarray(rows), np.asarray(columns))), shape=(target, n))
        moved = np.moveaxis(image, axis, 0)
        flat: FloatImage = matrix @ moved.reshape(n, -1)
        return np.moveaxis(flat.reshape(target, *moved.shape[1:]), 0, axis)


def interpolate(
    coarse: FloatImage, shape: tuple[int, ...], ratios: tuple[float, ...], *, degree: int = 3
) -> FloatImage:
    """Interpolate `coarse` by splines at the voxel centres of a finer grid with the same first corner.

    Parameters
    ----------
    coarse
        (x, y, z).
    shape
        Shape of the finer grid.
    ratios
        Coarse voxel edge in fine voxels, per axis.
    degree
        Of the splines: 3 cubic, 1 linear.
    """
    for axis, (n, ratio) in enumerate(zip(shape, ratios, strict=True)):
        matrix = _spline_matrix(coarse.shape[axis], n, ratio, degree)
        coarse = np.moveaxis(np.tensordot(matrix, coarse, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(coarse)


def interpolate_adjoint(fine: FloatImage, shape: tuple[int, ...], ratios: tuple[float, ...]) -> FloatImage:
    """Return the adjoint of cubic :func:`interpolate`: `fine` summed on a coarse grid with the same weights.

    Parameters
    ----------
    fine
        (x, y, z).
    shape
        Shape of the coarse grid.
    ratios
        Coarse voxel edge in fine voxels, per axis.
    """
    for axis, (n, ratio) in enumerate(zip(shape, ratios, strict=True)):
        matrix = _spline_matrix(n, fine.shape[axis], ratio, 3)
        fine = np.moveaxis(np.tensordot(matrix.T, fine, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(fine)


def _spline_matrix(coarse: int, fine: int, ratio: float, degree: int) -> FloatImage:
    """Return the weights (fine, coarse) of coarse values in a spline at the centres of fine voxels."""
    from scipy.interpolate import make_interp_spline

    spline = make_interp_spline(np.arange(coarse), np.eye(coarse), k=min(degree, coarse - 1))
    return np.asarray(spline((np.arange(fine) + 0.5) / ratio - 0.5), dtype=np.float32)
