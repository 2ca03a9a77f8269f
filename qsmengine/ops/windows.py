"""Means over cubic windows, and values carried outwards from a mask."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import array_module
from qsmengine.data import Array


def box_sum(image: Array, radius: int) -> Array:
    """Sum (x, y, z) over the cube of 2 radius + 1 voxels around each voxel, cut at the faces; float64."""
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
    """Image (x, y, z) that is its own inside `mask`, then `rounds` layers of the means of what lies inside.

    A voxel of a layer is the mean of those of its 26 neighbours that have a value; 0 beyond the layers.
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
    """Sum over the 3 x 3 x 3 window, zero outside the image."""
    for axis in range(3):
        total = image.copy()
        ahead = (slice(None),) * axis
        total[(*ahead, slice(1, None))] += image[(*ahead, slice(None, -1))]
        total[(*ahead, slice(None, -1))] += image[(*ahead, slice(1, None))]
        image = total
    return image
