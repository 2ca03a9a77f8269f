"""Nearest known voxel of each voxel in a gap, on CPU and GPU."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.nearest import NEAREST_ALONG
from qsmengine.data import Array


def nearest_known(known: Array, gap: Array, device: Device) -> Array:
    """Return the index (x, y, z) int32 in C order of the voxel of `known` nearest to each voxel of `gap`.

    Both masks are bool (x, y, z); distances are in voxels. A known voxel has its own index, other voxels
    outside the gaps have -1. The gaps must be enclosed by known voxels: a line along any axis leaves a gap
    through a known voxel or the border of the image. In a tie the voxel with the lowest z, then y, then x is
    chosen.
    """
    shape = tuple(known.shape)
    indices = device.xp.arange(known.size, dtype=np.int32).reshape(shape)
    source: Array = device.xp.where(known, indices, np.int32(-1))
    square = device.zeros(shape, np.int32)
    inside = device.asarray(gap, bool).view(np.uint8)
    for axis in range(3):
        found, distance = device.empty(shape, np.int32), device.empty(shape, np.int32)
        launch(
            NEAREST_ALONG, device, gap=inside, source=source, square=square, found=found, distance=distance,
            axis=axis,
        )  # fmt: skip
        source, square = found, distance
    return source
