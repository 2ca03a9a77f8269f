"""Erosion, dilation and closing of masks by a ball, on CPU and GPU.

A voxel is eroded if a voxel outside the mask is within the radius [mm], measured between centres: the result is
that of an exact Euclidean distance transform. The ball is represented by a table of widths, axis by axis, so
voxels may be anisotropic. The surroundings of the image do not count as outside.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.ball import BALL_GAPS, BALL_KEEP, BALL_PLANES
from qsmengine.data import Array
from qsmengine.errors import UsageError
from qsmengine.grid import Vector3

MAX_REACH = 254
"""Largest radius [voxels]: distances are bytes."""


def eroded(mask: Array, radius: float, voxel_size: Vector3, device: Device) -> Array:
    """Return the voxels of `mask` (x, y, z) bool farther than `radius` [mm] from every voxel outside it.

    Raises
    ------
    UsageError
        For a radius of more than 254 voxels.
    """
    if radius == 0:
        return mask
    inside = device.asarray(mask, bool).view(np.uint8)
    widths = _ball(radius, voxel_size, tuple(inside.shape))
    first, second = (device.empty(tuple(inside.shape), np.uint8) for _ in range(2))
    launch(BALL_GAPS, device, mask=inside, gap=first, reach=int(widths[0, 0]) - 1)
    launch(BALL_PLANES, device, gap=first, width=device.asarray(widths, np.uint8), taken=second)
    launch(BALL_KEEP, device, taken=second, kept=first, reach=widths.shape[1] - 1)
    return first.view(bool)


def dilated(mask: Array, radius: float, voxel_size: Vector3, device: Device) -> Array:
    """Return the voxels within `radius` [mm] of a voxel of `mask` (x, y, z) bool."""
    result: Array = ~eroded(~mask, radius, voxel_size, device)
    return result


def closed(mask: Array, radius: float, voxel_size: Vector3, device: Device) -> Array:
    """Return `mask` (x, y, z) bool with gaps narrower than twice `radius` [mm] closed."""
    if radius == 0:
        return mask
    return eroded(dilated(mask, radius, voxel_size, device), radius, voxel_size, device) | mask


def without_layer(mask: Array) -> Array:
    """Return the voxels of `mask` (x, y, z) whose six face neighbours lie in it."""
    return _within(mask, 0) & _within(mask, 1) & _within(mask, 2)


def without_boundary(mask: Array) -> Array:
    """Return the voxels of `mask` (x, y, z) whose neighbours across faces and edges lie in it."""
    x, y = _within(mask, 0), _within(mask, 1)
    return _within(x, 1) & _within(x, 2) & _within(y, 2)


def _ball(radius: float, voxel_size: Vector3, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Return the number of offsets dz = 0, 1, .. in the ball, for offsets (dy, dx) >= 0 [voxels]."""
    reach = [min(math.floor(radius / h + 1e-6), n - 1) for h, n in zip(voxel_size, shape, strict=True)]
    if max(reach) > MAX_REACH:
        raise UsageError(f"a radius of {radius:g} mm is more than {MAX_REACH} voxels")
    x, y, z = ((np.arange(n + 1) * h) ** 2 for n, h in zip(reach, voxel_size, strict=True))
    distance = np.sqrt((x[None, :, None] + y[:, None, None]) + z[None, None, :])
    return np.asarray((distance <= radius * (1 + 1e-6)).sum(axis=2), dtype=np.uint8)


def _within(mask: Array, axis: int) -> Array:
    """Return the voxels set in `mask` with both neighbours along `axis`; beyond the array nothing is set."""
    inner: Array = mask.copy()
    target, source = inner.swapaxes(0, axis), mask.swapaxes(0, axis)
    target[0] = False
    target[-1] = False
    target[1:] &= source[:-1]
    target[:-1] &= source[1:]
    return inner
