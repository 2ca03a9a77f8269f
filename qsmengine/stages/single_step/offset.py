"""The phase offset of a single echo: its bowl in the field, and how much of it the background must take.

The phase at echo time 0 comes from the radio-frequency field, which conducting tissue bends:

    laplace phi_0 = 2 mu_0 omega sigma,    omega = 2 pi gamma B0

with the conductivity sigma, 0.34 S/m in white matter, 0.6 in grey matter, 2 in CSF (transmission and reception
contribute equally). Two echoes show phi_0; with one it acts as a field
phi_0 / (2 pi gamma B0 TE) [ppm], whose Laplacian is not 0, so no background explains it:

    laplace (phi_0 / r) = 2 mu_0 sigma / TE,    r = 2 pi gamma B0 TE

This does not depend on B0. The mean of sigma makes a bowl, the solution q of laplace q = 1 that is 0 on the
boundary. Its height m is found by :func:`without_bowl`. What remains varies with sigma, and grows with 1 / TE.

References: Voigt et al. 2011, 10.1002/mrm.22832 (phase and conductivity); Gabriel et al. 1996,
10.1088/0031-9155/41/11/002 (conductivity of tissues).
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.single_step.boundary import boundary_values

REFERENCE_TIME = 0.02
"""Echo time at which the weight of the offset's Laplacian is defined [s]."""


def without_bowl(
    local: Array, mask: Array, inner: Array, grid: Grid, tolerance: float, device: Device
) -> Array:
    """Return the field `local` (x, y, z) [ppm], 0 on the boundary of `mask`, minus m q, so that its mean is 0.

    m = sum local / sum q over `inner` is the mean of laplace local with the weight q. Sources inside do not
    contribute to it in a sphere: sum q D chi = sum chi (1 / 3 - d^2 / dz^2) q = 0, and little in a head.

    Parameters
    ----------
    local, inner
        From :func:`~qsmengine.stages.single_step.boundary.boundary_values` for `mask` (x, y, z) bool.
    grid, tolerance, device
        Geometry, relative residual of q, and where to compute.
    """
    _, q = boundary_values(_paraboloid(mask, grid, device), mask, grid, tolerance, device)
    total = float(q[inner].sum(dtype=np.float64))
    if total == 0:
        return local
    height = float(local[inner].sum(dtype=np.float64)) / total
    flat: Array = local - np.float32(height) * q
    return flat


def weight_with_offset(beta: float, offset_beta: float, echo_time: float) -> float:
    """Return the weight of the squared Laplacian of the background that contains a phase offset.

    1 / beta + (20 ms / TE)^2 / offset_beta: weights are inverse variances, and those of the background
    and of the offset's field add.
    """
    return 1.0 / (1.0 / beta + (REFERENCE_TIME / echo_time) ** 2 / offset_beta)


def _paraboloid(mask: Array, grid: Grid, device: Device) -> Array:
    """Return r^2 / 6 (x, y, z), whose Laplacian is 1, around the middle of the grid."""
    nx, ny, nz = (
        ((np.arange(n) - 0.5 * (n - 1)) * h).astype(np.float32) ** 2
        for n, h in zip(mask.shape, grid.voxel_size, strict=True)
    )
    x, y, z = (device.asarray(axis) for axis in (nx, ny, nz))
    bowl: Array = (x[:, None, None] + y[None, :, None] + z[None, None, :]) / np.float32(6)
    return bowl
