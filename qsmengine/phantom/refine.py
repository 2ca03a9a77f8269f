"""Label maps on a finer grid, with smooth boundaries.

Each region's mask is convolved with a Gaussian and sampled at the centres of the finer voxels; the region of
the largest value wins. Staircases of the label grid become slopes, and sheets of one voxel survive as
long as the Gaussian's standard deviation stays below about 0.6 voxels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.phantom.labels import HeadIndex
from qsmengine.phantom.resample import FloatImage

SMOOTHING = 0.6
"""Default standard deviation of the Gaussian [voxels of the label map]."""
BLOCK = 16
"""Label voxels per axis that are smoothed together."""
MARGIN = 3
"""Label voxels around them, at least 4 standard deviations."""

Index = npt.NDArray[np.uint8]


def refined_grid(grid: Grid, subdivision: int) -> Grid:
    """Return the grid that divides every voxel of `grid` into `subdivision` per axis."""
    x, y, z = (n * subdivision for n in grid.shape)
    affine = grid.affine.copy()
    affine[:3, :3] /= subdivision
    affine[:3, 3] = (grid.affine @ [*((1.0 / subdivision - 1.0) / 2.0,) * 3, 1.0])[:3]
    return Grid((x, y, z), affine, grid.field_strength)


def coarser_grid(grid: Grid, parts: int) -> Grid:
    """Return the grid of which :func:`refined_grid` with `parts` made `grid`."""
    x, y, z = (n // parts for n in grid.shape)
    affine = grid.affine.copy()
    affine[:3, :3] *= parts
    affine[:3, 3] = (grid.affine @ [*((parts - 1.0) / 2.0,) * 3, 1.0])[:3]
    return Grid((x, y, z), affine, grid.field_strength)


def refine_head(head: HeadIndex, subdivision: int, smoothing: float = SMOOTHING) -> HeadIndex:
    """Return `head` on a grid that divides its voxels, with smoothed boundaries.

    Parameters
    ----------
    head
        Label map.
    subdivision
        Fine voxels per voxel and axis.
    smoothing
        Standard deviation of the Gaussian [voxels of `head`], 0 to 0.7; 0 repeats the labels.

    Raises
    ------
    UsageError
        For a subdivision below 1 or a smoothing out of range.
    """
    if subdivision < 1:
        raise UsageError(f"subdivision: {subdivision} is below 1")
    if not 0 <= smoothing <= 0.7:
        raise UsageError(f"smoothing: {smoothing} lies outside 0 .. 0.7 voxels")
    if smoothing == 0:
        index = head.index
        for axis in range(3):
            index = index.repeat(subdivision, axis=axis)
    else:
        index = _smooth_index(head.index, subdivision, smoothing)
    return replace(head, index=index, grid=refined_grid(head.grid, subdivision))


def _smooth_index(index: Index, subdivision: int, smoothing: float) -> Index:
    """Return the region with the largest smoothed mask at every fine voxel (the first in a tie)."""
    x, y, z = index.shape
    winner = np.empty((x * subdivision, y * subdivision, z * subdivision), np.uint8)
    weights = [_axis_weights(n, subdivision, smoothing) for n in index.shape]
    for corner in itertools.product(*(range(0, n, BLOCK) for n in index.shape)):
        source = tuple(slice(max(0, c - MARGIN), c + BLOCK + MARGIN) for c in corner)
        target = tuple(slice(c * subdivision, (c + BLOCK) * subdivision) for c in corner)
        matrices = [w[t, s] for w, t, s in zip(weights, target, source, strict=True)]
        winner[target] = _largest(index[source], matrices)
    return winner


def _largest(block: Index, matrices: Sequence[FloatImage]) -> Index:
    """Return the region of the largest product of the matrices with its mask, for one block."""
    x, y, z = (len(m) for m in matrices)
    regions = np.unique(block)
    winner = np.full((x, y, z), regions[0], np.uint8)
    if len(regions) == 1:
        return winner
    best = np.zeros((x, y, z), np.float32)
    for region in regions:
        share = (block == region).astype(np.float32) @ matrices[2].T
        share = np.tensordot(matrices[0], matrices[1] @ share, axes=1)
        winner[share > best] = region
        np.maximum(best, share, out=best)
    return winner


def _axis_weights(n: int, subdivision: int, smoothing: float) -> FloatImage:
    """Return the weights (fine, n) of voxels, convolved with a Gaussian, at the centres of the fine voxels.

    The first and last voxel continue outwards.
    """
    from scipy.special import ndtr

    centres = (np.arange(n * subdivision) + 0.5) / subdivision
    edges = np.arange(n + 1.0)
    edges[0], edges[-1] = -np.inf, np.inf
    below = ndtr((edges - centres[:, None]) / smoothing)
    return np.asarray(np.diff(below, axis=1), dtype=np.float32)
