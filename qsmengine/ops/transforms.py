"""Spatial transforms in scanner coordinates, and images and labels resampled by them.

A transform maps a point x of the fixed image to the corresponding point of the moving image, y = A (x + u(x)),
with a matrix A and an optional displacement u. Both points are in scanner coordinates (RAS+) [mm].
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.grid import FloatArray, Grid
from qsmengine.records import record

SLAB = 8
"""Planes that are resampled together."""
POINTS = 3
"""Points per voxel and axis at which a voxel is divided among labels."""

Volume = npt.NDArray[np.float32]


@record
class Warp:
    """Displacement field (x, y, z, 3) [mm] along the scanner's axes, on its grid; 0 outside."""

    field: Volume
    grid: Grid

    def at(self, points: FloatArray) -> FloatArray:
        """Return the displacement (..., 3) [mm] at `points` (..., 3), interpolated linearly."""
        from scipy.ndimage import map_coordinates

        inverse = np.linalg.inv(self.grid.affine)
        where = np.moveaxis(points @ inverse[:3, :3].T + inverse[:3, 3], -1, 0)
        parts = [map_coordinates(self.field[..., axis], where, order=1) for axis in range(3)]
        return np.asarray(np.stack(parts, axis=-1), dtype=np.float64)


@record
class Transform:
    """Transform from the fixed to the moving image.

    Parameters
    ----------
    matrix
        (4, 4) [mm].
    warp
        Displacement before the matrix is applied; None: affine.
    inverse_warp
        Displacement of the way back, after the inverse matrix.
    """

    matrix: FloatArray
    warp: Warp | None = None
    inverse_warp: Warp | None = None

    def __call__(self, points: FloatArray) -> FloatArray:
        """Return the points (..., 3) [mm] of the moving image that correspond to `points` of the fixed one."""
        moved = points if self.warp is None else points + self.warp.at(points)
        return np.asarray(moved @ self.matrix[:3, :3].T + self.matrix[:3, 3], dtype=np.float64)

    def back(self, points: FloatArray) -> FloatArray:
        """Return the points (..., 3) [mm] of the fixed image that correspond to `points` of the moving one."""
        inverse = np.linalg.inv(self.matrix)
        moved = np.asarray(points @ inverse[:3, :3].T + inverse[:3, 3], dtype=np.float64)
        return moved if self.inverse_warp is None else moved + self.inverse_warp.at(moved)


def bring(array: Volume, grid: Grid, target: Grid, transform: Transform, *, order: Literal[1, 3] = 1) -> Volume:
    """Resample `array` (x, y, z) of the moving image onto `target`, a grid of the fixed image.

    Parameters
    ----------
    array, grid
        Image and its grid.
    target
        Grid of the result.
    transform
        From fixed to moving.
    order
        Of the splines: 1 linear, 3 cubic; cubic results are limited to the range of the image and 0.

    Returns
    -------
    Volume
        (x, y, z); 0 outside the moving image.
    """
    from scipy.ndimage import affine_transform, map_coordinates, spline_filter

    source = np.ascontiguousarray(array, dtype=np.float32)
    prepared = spline_filter(source, order=order, output=np.float32) if order > 1 else source
    out = np.empty(target.shape, np.float32)
    how: dict[str, Any] = {"order": order, "mode": "nearest", "prefilter": False}
    if transform.warp is None:
        step = _step(target, grid, transform.matrix)
        affine_transform(prepared, step[:3, :3], step[:3, 3], target.shape, output=out, **how)
    for planes, where in _places(target, grid, transform):
        if transform.warp is not None:
            map_coordinates(prepared, where, output=out[planes], **how)
        out[planes][~_inside(where, array.shape)] = 0
    return np.clip(out, min(0.0, float(source.min())), max(0.0, float(source.max())), out=out)


def covered(grid: Grid, target: Grid, transform: Transform) -> npt.NDArray[np.bool_]:
    """Return the voxels (x, y, z) of `target` whose centre lies inside the moving image."""
    out = np.empty(target.shape, bool)
    for planes, where in _places(target, grid, transform):
        out[planes] = _inside(where, grid.shape)
    return out


def label_fractions(
    labels: npt.NDArray[np.integer], grid: Grid, target: Grid, transform: Transform, numbers: Sequence[int]
) -> Volume:
    """Return the fraction of every voxel of `target` that each label covers, (x, y, z, label) [1].

    A voxel is divided into `POINTS` parts per axis, each of which has the label nearest to its centre.

    Parameters
    ----------
    labels, grid
        Labels (x, y, z) of the moving image and their grid.
    target
        Grid of the fixed image.
    transform
        From fixed to moving.
    numbers
        Labels, in the order of the result.
    """
    lookup = np.full(max([int(labels.max()), *numbers]) + 1, len(numbers), np.int64)
    lookup[np.asarray(numbers, dtype=np.int64)] = np.arange(len(numbers))
    index = lookup[np.maximum(labels, 0)]
    out = np.zeros((*target.shape, len(numbers) + 1), np.float32)
    steps = (np.arange(POINTS) + 0.5) / POINTS - 0.5
    for step in itertools.product(steps, repeat=3):
        for planes, where in _places(target, grid, transform, step):
            inside = _inside(where, labels.shape)
            x, y, z = (
                np.clip(np.rint(w).astype(np.intp), 0, n - 1) for w, n in zip(where, labels.shape, strict=True)
            )
            found = np.where(inside, index[x, y, z], len(numbers))[..., None]
            counts = np.take_along_axis(out[planes], found, axis=3)
            np.put_along_axis(out[planes], found, counts + 1, axis=3)
    return out[..., :-1] / np.float32(POINTS**3)


def most_of(fractions: Volume, numbers: Sequence[int]) -> npt.NDArray[np.int32]:
    """Return the label (x, y, z) that covers most of each voxel, 0 where the rest of the voxel is larger.

    `fractions` (x, y, z, label) [1] are those of the labels `numbers`.
    """
    rest = 1 - fractions.sum(axis=3)
    largest = fractions.max(axis=3)
    found = np.asarray(numbers, dtype=np.int32)[fractions.argmax(axis=3)]
    return np.where(largest >= np.maximum(rest, 1e-6), found, 0).astype(np.int32)


class Part(NamedTuple):
    """Fractions (x, y, z, label) of the labels in the smallest box of a grid that contains them."""

    fractions: Volume
    box: tuple[slice, slice, slice]


def boxed_fractions(
    labels: npt.NDArray[np.integer], grid: Grid, target: Grid, transform: Transform, numbers: Sequence[int]
) -> Part:
    """Return :func:`label_fractions` in the smallest box of `target` that contains all labels."""
    index = np.argwhere(np.isin(labels, numbers))
    if not len(index):
        return Part(np.zeros((0, 0, 0, len(numbers)), np.float32), (slice(0, 0),) * 3)
    ends = np.stack([index.min(axis=0) - 1, index.max(axis=0) + 1])
    corners = np.array(list(itertools.product(*ends.T)), dtype=np.float64)
    points = transform.back(corners @ grid.affine[:3, :3].T + grid.affine[:3, 3])
    inverse = np.linalg.inv(target.affine)
    voxels = points @ inverse[:3, :3].T + inverse[:3, 3]
    low = np.clip(np.floor(voxels.min(axis=0)).astype(int) - 1, 0, np.asarray(target.shape) - 1)
    high = np.clip(np.ceil(voxels.max(axis=0)).astype(int) + 2, low + 1, target.shape)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    part = target.part((x, y, z))
    return Part(label_fractions(labels, grid, part, transform, numbers), (x, y, z))


def _places(
    target: Grid, grid: Grid, transform: Transform, step: Sequence[float] = (0.0, 0.0, 0.0)
) -> Iterator[tuple[slice, FloatArray]]:
    """Yield slabs along x of `target`, and the voxel coordinates (3, x, y, z) of their points in `grid`."""
    to_voxels = np.linalg.inv(grid.affine)
    straight = _step(target, grid, transform.matrix)
    for start in range(0, target.shape[0], SLAB):
        planes = slice(start, min(start + SLAB, target.shape[0]))
        ends = np.arange(planes.start, planes.stop), *(np.arange(n) for n in target.shape[1:])
        axes = np.ix_(*(a + s for a, s in zip(ends, step, strict=True)))
        if transform.warp is None:
            yield planes, np.stack([sum(map(np.multiply, row, axes), row[3]) for row in straight[:3]])
            continue
        index = np.stack(np.broadcast_arrays(*axes), axis=-1)
        points = index @ target.affine[:3, :3].T + target.affine[:3, 3]
        yield planes, np.moveaxis(transform(points) @ to_voxels[:3, :3].T + to_voxels[:3, 3], -1, 0)


def _step(target: Grid, grid: Grid, matrix: FloatArray) -> FloatArray:
    """Return the matrix (4, 4) from voxel indices in `target` to those in `grid`."""
    return np.asarray(np.linalg.solve(grid.affine, matrix @ target.affine), dtype=np.float64)


def _inside(where: FloatArray, shape: Sequence[int]) -> npt.NDArray[np.bool_]:
    ends = np.asarray(shape).reshape(3, 1, 1, 1) - 0.5
    return np.asarray(((where > -0.5) & (where < ends)).all(axis=0))
