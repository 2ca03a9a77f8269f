"""Cerebrospinal fluid of the whole brain, from the decay of the magnitude.

Fluid decays several times more slowly than tissue. With m1 and m2 the sums of the magnitude over the first and
the second half of the echoes, the decay is d = log(m1 / m2); a voxel is fluid where d is less than a share of
its median in the mask, the relative decay less than that share. It depends neither on the echo times nor, much,
on the field strength.

Inflow, fat, and noise at the surface also look like slow decay, as scattered voxels and thin sheets. The
ventricles are wide: unless some fluid is far from other tissue, none is returned.

The susceptibility of fluid varies little within a brain, in the ventricles as in the sulci: Dimov et al. 2022,
10.1111/jon.12963.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Vector3
from qsmengine.ops.morphology import eroded
from qsmengine.ops.order_statistics import median

CORE_DEPTH = 2.0
"""Distance of the core of the fluid from other tissue [mm], at least a voxel."""
LEAST_CORE = 0.01
"""Smallest share of the fluid that must lie in its core; brains have 0.03 to 0.2, inflow and fat none."""


def relative_decay(magnitude: Array, inside: Array, device: Device) -> Array | None:
    """Return d (x, y, z) over its median in the mask; infinite outside and without signal.

    `magnitude` (x, y, z, echo), any unit; `inside` (x, y, z) bool. None with one echo, and without decay.
    """
    echoes = magnitude.shape[3]
    if echoes < 2:
        return None
    half = echoes // 2
    first, last = _sum(magnitude, range(half), device), _sum(magnitude, range(echoes - half, echoes), device)
    signal = inside & (first > 0) & (last > 0)
    d = device.xp.log(device.xp.where(signal, first, 1) / device.xp.where(signal, last, 1))
    typical = median(d[signal]) if bool(signal.any()) else 0.0
    if typical <= 0:
        return None
    share: Array = device.xp.where(signal, d / np.float32(typical), np.float32(np.inf))
    return share


def wide_fluid(decay: Array, limit: float, voxel_size: Vector3, device: Device) -> Array | None:
    """Return the fluid (x, y, z) bool, or None unless some of it is far from other tissue.

    Parameters
    ----------
    decay
        (x, y, z), of :func:`relative_decay`.
    limit
        Largest relative decay of fluid.
    voxel_size, device
        Voxel edges [mm], and the device of the result.
    """
    found: Array = decay < np.float32(limit)
    core = int(eroded(found, max(CORE_DEPTH, *voxel_size), voxel_size, device).sum())
    return found if core > 0 and core >= LEAST_CORE * int(found.sum()) else None


def _sum(magnitude: Array, echoes: range, device: Device) -> Array:
    total = device.zeros(magnitude.shape[:3])
    for echo in echoes:
        total += device.asarray(magnitude[..., echo])
    return total
