"""Means over cubic windows, and extrapolation from a mask."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import array_module
from qsmengine.data import Array


def box_sum(image: Array, radius: int) -> Array:
    """Return the sum (x, y, z) over the cube of 2 radius + 1 voxels around each voxel, truncated; float64."""
    xp = array_module(image)
    result = image.astype(np.float64)
    for axis in range(3):
        size = image.shape[axis]
        running = xp.cumsum(result, axis=axis)
        high = np.minimum(np.arange(size) + radius, size - 1)
        low = np.arange(size) - radius - 1
        upper = xp.take(running, xp.asarray(high), axis=axis)
        lower = xp.take(running, xp.asarray(np.maximum(low, 0)), axis=axis)
        shape = [1, 1, 1]
        shape[axis] = size
        result = upper - lower * xp.asarray((low >= 0).astype(np.float64).reshape(shape))
    return result


def fill_outwards(image: Array, mask: Array, rounds: int) -> Array:
    """Extrapolate an image (x, y, z) from `mask` by `rounds` layers of voxels.

    A voxel of a layer is the mean of those of its 26 neighbours that have a value; voxels further away are 0.
    """
    xp = array_module(image)
    result = xp.where(mask, image, np.float32(0))
    known = mask
    for _ in range(rounds):
        if bool(known.all()):
            break
        sums, counts = _sum_neighbours(result), _sum_neighbours(known.astype(np.float32))
        fresh = ~known & (counts > 0)
        result = xp.where(fresh, sums / xp.maximum(counts, np.float32(1)), result)
        known = known | fresh
    filled: Array = result
    return filled


def _sum_neighbours(image: Array) -> Array:
    """Return the sum over the 3 x 3 x 3 window, with zeros outside the image."""
    for axis in range(3):
        total = image.copy()
        ahead = (slice(None),) * axis
        total[(*ahead, slice(1, None))] += image[(*ahead, slice(None, -1))]
        total[(*ahead, slice(None, -1))] += image[(*ahead, slice(1, None))]
        image = total
    return image
