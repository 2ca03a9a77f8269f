"""Cerebrospinal fluid of the whole brain, from the decay of the magnitude.

Fluid decays several times more slowly than tissue. With m1 and m2 the sums of the magnitude over the first and
the second half of the echoes, the decay is d = log(m1 / m2); a voxel is fluid where d is less than a share of
its median in the mask. The share depends neither on the echo times nor on the field strength.

The susceptibility of fluid varies little within a brain, in the ventricles as in the sulci: Dimov et al. 2022,
10.1111/jon.12963.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.ops.order_statistics import median

LEAST_SHARE = 1e-3
"""Smallest share of the mask that counts as fluid; a smaller one is left to chance."""


def fluid_region(magnitude: Array, inside: Array, decay: float, device: Device) -> Array | None:
    """Return the fluid (x, y, z) bool in the mask, or None if there is none or only one echo.

    Parameters
    ----------
    magnitude
        (x, y, z, echo), any unit.
    inside
        (x, y, z) bool.
    decay
        Largest d of fluid as a share of the median d in the mask.
    device
        Device of the result.
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
    found: Array = signal & (d < np.float32(decay * typical))
    return found if int(found.sum()) >= LEAST_SHARE * int(inside.sum()) else None


def _sum(magnitude: Array, echoes: range, device: Device) -> Array:
    total = device.zeros(magnitude.shape[:3])
    for echo in echoes:
        total += device.asarray(magnitude[..., echo])
    return total
