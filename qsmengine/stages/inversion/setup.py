"""Common parts of the inversions: division in k-space, and weights inside the mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from qsmengine.backend.device import Device, array_module
from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.domain import Domain

CONE = 1e-6
"""Largest |D| that is 0 up to rounding, so that its sign is meaningless."""


def divide_field(
    local_field: Array,
    mask: Array,
    grid: Grid,
    inverse: Callable[[Array, RealFFT], Array],
    *,
    margin: float,
    device: Device,
) -> Array:
    """Return chi (x, y, z) [ppm] = F^-1 inverse(D) F field inside `mask`, 0 outside.

    `local_field` (x, y, z) [ppm]; `inverse` maps the dipole's half spectrum, on the grid of the given
    transforms, to the filter; the mask's bounding box is padded with `margin` [mm] of zeros.
    """
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, margin, device)
    response = dipole_response(domain.shape, grid.voxel_size, grid.b0_direction, device)
    fft = RealFFT(domain.shape, device)
    chi = fft.filter(domain.insert(local_field, mask), inverse(response, fft))
    result: Array = device.xp.where(mask, domain.extract(chi), np.float32(0))
    return result


def thresholded_inverse(
    response: Array, fft: RealFFT, threshold: float, *, below: Literal["clip", "zero"], rescale: bool
) -> Array:
    """Return 1 / D where |D| > t, elsewhere sign(D) / t (`clip`; 0 on the cone D = 0) or 0 (`zero`); float32.

    With `rescale` it is divided by the gain of the filter, the mean of D times the filter over the spectrum.
    """
    xp = array_module(response)
    kept = abs(response) > threshold
    inverse = 1.0 / xp.where(kept, response, xp.sign(response) * threshold + (response == 0))
    inverse = xp.where(kept if below == "zero" else abs(response) > CONE, inverse, 0.0)
    if rescale:
        inverse /= fft.mean(response * inverse)
    result: Array = inverse.astype(np.float32)
    return result


def inside_weight(
    domain: Domain, mask: Array, weight: Array | None, *, scale: Literal["mean", "largest"] = "mean"
) -> Array:
    """Return the data weights on the solver's grid: the mask, or `weight` (x, y, z) inside it.

    Weights are divided by their mean over the mask or by their maximum, so their unit does not matter.
    """
    inside = domain.insert(mask if weight is None else weight, mask)
    if weight is not None:
        mean = inside.sum(dtype=np.float64) / mask.sum()
        inside /= (mean if scale == "mean" else inside.max()).astype(np.float32)
    return inside
