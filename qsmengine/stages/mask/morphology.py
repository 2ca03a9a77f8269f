"""Shapes of masks: eroded, dilated, filled; distances in mm, on the host."""

from __future__ import annotations

import numpy as np

from qsmengine.grid import Vector3
from qsmengine.stages.mask.blocks import Mask


def eroded(mask: Mask, radius: float, voxel_size: Vector3) -> Mask:
    """Voxels further than `radius` [mm] from the outside; beyond the image nothing counts as outside."""
    from scipy.ndimage import distance_transform_edt

    if radius == 0 or mask.all():
        return mask
    return np.asarray(distance_transform_edt(mask, sampling=voxel_size) > radius, dtype=np.bool_)


def dilated(mask: Mask, radius: float, voxel_size: Vector3) -> Mask:
    """Voxels up to `radius` [mm] from the mask."""
    return ~eroded(~mask, radius, voxel_size)


def closed(mask: Mask, radius: float, voxel_size: Vector3) -> Mask:
    """The mask and gaps in it narrower than twice `radius` [mm]."""
    if radius == 0:
        return mask
    return eroded(dilated(mask, radius, voxel_size), radius, voxel_size) | mask


def filled(mask: Mask) -> Mask:
    """The mask and what it encloses on all sides."""
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(mask), dtype=np.bool_)


def largest_component(mask: Mask) -> Mask:
    """The largest part connected across faces; empty for an empty mask."""
    from scipy.ndimage import label

    labels, _ = label(mask)
    sizes = np.bincount(labels.ravel())
    return np.asarray(labels == int(sizes[1:].argmax()) + 1, dtype=np.bool_) if sizes.size > 1 else mask
