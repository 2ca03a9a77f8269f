"""The rim of the mask: data that are wrong where the field is steep, and susceptibility that is not brain's.

Near bone and air the measured field has errors beyond its noise: the ringing of truncated k-space, the mean
over voxels that contain bone, dephasing. All of them grow with the change of the field from voxel to voxel, so
a share of it is counted as a further error.

Bone and air in the voxels of the rim are sources of the field like any other. An inversion finds them, but they
are not susceptibility of brain.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device, array_module
from qsmengine.backend.pieces import in_pieces
from qsmengine.data import Array
from qsmengine.grid import Vector3
from qsmengine.io.in_parallel import in_parallel
from qsmengine.ops.gaussian import gaussian_filter
from qsmengine.ops.morphology import eroded, without_layer
from qsmengine.ops.order_statistics import median


def weight_of_steepness(weight: Array, field: Array, inside: Array, noise: float, share: float) -> Array:
    """Return `weight` lowered where the field is steep: 1 / sqrt(1 / w^2 + (share g / noise)^2).

    Parameters
    ----------
    weight
        (x, y, z) >= 0, any unit, best 1 / noise of the field; w is `weight` over its median.
    field
        (x, y, z) [ppm]; g is its change per voxel (:func:`steepness`).
    inside
        (x, y, z) bool, voxels in which the field is known.
    noise
        Standard deviation of the field in a typical voxel [ppm]; 0: unknown, the error of the typical g.
    share
        Error of the field as a share of g.
    """
    xp = array_module(weight)
    known = inside & (weight > 0)
    if share == 0 or not bool(known.any()):
        return weight
    error = np.float32(share) * steepness(field, inside)
    scale = noise if noise > 0 else median(error[known])
    if not scale > 0:
        return weight
    w = weight * np.float32(1.0 / median(weight[known]))
    lowered: Array = xp.where(known, w / xp.sqrt(1 + (w * error * np.float32(1.0 / scale)) ** 2), np.float32(0))
    return lowered


def steepness(field: Array, inside: Array) -> Array:
    """Return the change of `field` (x, y, z) per voxel, in its unit: the root of the sum of squares over axes.

    On every axis the larger one of the differences to both neighbours in the mask counts.
    """
    xp = array_module(field)

    def square(axis: int) -> Array:
        values, known = field.swapaxes(0, axis), inside.swapaxes(0, axis)
        step = xp.where(known[1:] & known[:-1], abs(values[1:] - values[:-1]), np.float32(0))
        largest: Array = xp.zeros(values.shape, np.float32)
        largest[1:] = step
        largest[:-1] = xp.maximum(largest[:-1], step)
        largest *= largest
        return largest.swapaxes(0, axis)

    first, second, third = in_parallel(square, range(3)) if xp is np else map(square, range(3))
    root: Array = xp.sqrt(first + second + third)
    return root


def trust(weight: Array, inside: Array) -> Array:
    """Return `weight` (x, y, z) over its median in the mask `inside`, at most 1."""
    xp = array_module(weight)
    known = inside & (weight > 0)
    if not bool(known.any()):
        nothing: Array = xp.zeros_like(weight)
        return nothing
    share: Array = xp.minimum(weight * np.float32(1.0 / median(weight[known])), np.float32(1))
    return share


def limit_rim(
    chi: Array, mask: Array, depth: float, limit: Array, voxel_size: Vector3, device: Device
) -> Array:
    """Return `chi` (x, y, z) [ppm] within +- `limit` of the mean of deeper voxels in the rim of `mask`.

    `limit` (x, y, z) [ppm]. The rim is the outermost layer and all voxels within `depth` [mm] of a voxel
    outside `mask` (x, y, z) bool. The mean is that of the voxels beneath, weighted by a Gaussian of standard
    deviation `depth`; without any in its reach it is 0.
    """
    xp = device.xp
    inner = (slice(1, -1),) * 3
    padded = xp.pad(mask, 1)  # voxels beyond the array are outside
    deep = eroded(padded, depth, voxel_size, device)[inner] & without_layer(mask)
    sigma = max(depth, *voxel_size)
    share = gaussian_filter(deep.astype(np.float32), voxel_size, sigma, device, mirror=False)
    mean = gaussian_filter(xp.where(deep, chi, np.float32(0)), voxel_size, sigma, device, mirror=False)
    limited = device.empty(chi.shape)

    def clip(limited: Array, chi: Array, mask: Array, deep: Array, limit: Array, *sums: Array) -> None:
        share, mean = sums
        mean = xp.where(share > 1e-4, mean / xp.maximum(share, np.float32(1e-4)), np.float32(0))
        limited[...] = xp.where(mask & ~deep, xp.clip(chi, mean - limit, mean + limit), chi)

    in_pieces(clip, (limited, chi, mask, deep, limit, share, mean), device)
    return limited
