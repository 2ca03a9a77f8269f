"""Agreement of two aligned images of different contrast: mutual information, overlap and edges.

Both images are compared on one isotropic grid, after smoothing. Where at least one of them shows the head:

- normalised mutual information NMI = (H(a) + H(b)) / H(a, b) of 32 ranks each; Studholme et al. 1999,
  10.1016/S0031-3203(98)00091-0;
- overlap |A and B| / min(|A|, |B|) of the heads A and B, found by Otsu's threshold;
- edges: mean of cos^2 of the angle between the gradients, in the inner part of both heads, where both gradients
  are among the steepest 30 %; Haber and Modersitzki 2006, 10.1007/11866763_89. 1/3 is chance.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.transforms import Transform, Volume, bring, covered

STEP = 3.0
"""Voxel edge of the common grid [mm]."""
BLUR = 3.0
"""Standard deviation of the Gaussian before gradients are taken [mm]."""
DEPTH = 15.0
"""Distance of the inner part from the surface [mm], where skin and bone do not decide."""
RANKS = 32
STEEP = 0.7
"""Quantile of the gradient above which a voxel lies on an edge."""
FEWEST = 200
"""Least number of voxels that are compared."""

Mask = npt.NDArray[np.bool_]


class Agreement(NamedTuple):
    """Agreement of two aligned images.

    Parameters
    ----------
    information
        Normalised mutual information, 1 (none) to 2.
    overlap
        Fraction of the smaller head inside the larger one.
    edges
        Agreement of the directions of edges, 1/3 (chance) to 1.
    """

    information: float
    overlap: float
    edges: float


def agreement(
    fixed: Volume, fixed_grid: Grid, moving: Volume, moving_grid: Grid, transform: Transform
) -> Agreement:
    """Return the agreement of two images under a transform from fixed to moving.

    Raises
    ------
    InputError
        If the images have too few voxels in common to compare.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    common = working_grid(fixed_grid, STEP)
    a = bring(smoothed(fixed, fixed_grid, STEP), fixed_grid, common, Transform(np.eye(4)))
    b = bring(smoothed(moving, moving_grid, STEP), moving_grid, common, transform)
    seen = covered(moving_grid, common, transform)
    soft = [gaussian_filter(image, BLUR / STEP) for image in (a, b)]
    heads = [head_mask(image) & seen for image in soft]
    both = heads[0] & heads[1]
    if both.sum() < FEWEST:
        raise InputError(f"the images share {int(both.sum())} voxels of {STEP:g} mm, too few to compare")
    either = heads[0] | heads[1]
    inner = distance_transform_edt(both, sampling=STEP) > DEPTH
    where = inner if inner.sum() >= FEWEST else both
    return Agreement(
        _information(a[either], b[either]),
        float(both.sum() / min(heads[0].sum(), heads[1].sum())),
        _edges(soft[0], soft[1], where),
    )


def working_grid(grid: Grid, edge: float) -> Grid:
    """Return a grid of the same field of view with edges of about `edge` [mm], never finer than `grid`."""
    sizes = np.asarray(grid.voxel_edges)
    counts = np.maximum(np.floor(np.asarray(grid.shape) * sizes / np.maximum(sizes, edge) + 1e-6), 1).astype(
        int
    )
    ratios = np.asarray(grid.shape) / counts
    affine = grid.affine.copy()
    affine[:3, :3] = grid.affine[:3, :3] * ratios
    affine[:3, 3] = (grid.affine @ [*((ratios - 1) / 2), 1.0])[:3]
    x, y, z = counts.tolist()
    return Grid((x, y, z), affine)


def smoothed(image: Volume, grid: Grid, edge: float) -> Volume:
    """Smooth `image` (x, y, z) so that it can be sampled at voxels of `edge` [mm] without aliasing."""
    from scipy.ndimage import gaussian_filter

    sizes = np.asarray(grid.voxel_edges)
    widths = np.sqrt(np.maximum(edge**2 - sizes**2, 0)) / sizes / math.sqrt(8 * math.log(2)) * 1.2
    return np.asarray(gaussian_filter(np.asarray(image, dtype=np.float32), widths), dtype=np.float32)


def head_mask(image: Volume) -> Mask:
    """Return the voxels (x, y, z) above half of Otsu's threshold of the positive values, with holes filled."""
    from scipy.ndimage import binary_fill_holes

    positive = image[image > 0]
    if not positive.size:
        return np.zeros(image.shape, bool)
    counts, edges = np.histogram(positive, 256)
    centres = (edges[1:] + edges[:-1]) / 2
    weight, first = np.cumsum(counts), np.cumsum(counts * centres)
    below, above = weight[:-1], weight[-1] - weight[:-1]
    apart = first[-1] * below / weight[-1] - first[:-1]
    between = np.divide(apart**2, below * above, out=np.zeros(len(below)), where=(below > 0) & (above > 0))
    return np.asarray(binary_fill_holes(image > 0.5 * centres[int(between.argmax())]))


def _information(a: Volume, b: Volume) -> float:
    counts = np.bincount(_ranks(a) * RANKS + _ranks(b), minlength=RANKS**2).reshape(RANKS, RANKS)
    joint = counts / counts.sum()
    return (_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))) / max(_entropy(joint), 1e-12)


def _ranks(values: Volume) -> npt.NDArray[np.int64]:
    limits = np.quantile(values, np.linspace(0, 1, RANKS + 1)[1:-1])
    return np.digitize(values, limits).astype(np.int64)


def _entropy(shares: npt.NDArray[np.floating]) -> float:
    found = shares[shares > 0]
    return float(-(found * np.log(found)).sum())


def _edges(a: Volume, b: Volume, where: Mask) -> float:
    first, second = (np.stack([np.gradient(image, axis=axis) for axis in range(3)]) for image in (a, b))
    sizes = [np.sqrt((gradient**2).sum(axis=0)) for gradient in (first, second)]
    steep = where.copy()
    for size in sizes:
        steep &= size >= np.quantile(size[where], STEEP)
        steep &= size > 0
    if not steep.any():
        return 0.0
    cosine = (first * second).sum(axis=0)[steep] / (sizes[0][steep] * sizes[1][steep])
    return float((cosine.astype(np.float64) ** 2).mean())
