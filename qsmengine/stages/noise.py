"""Noise of an image, estimated from the residuals of its fits, and weights from a noise map."""

from __future__ import annotations

import math

import numpy as np

from qsmengine.backend.device import array_module
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.ops.order_statistics import median

MAX_WEIGHT = 5.0
"""Largest weight of a voxel in units of the median voxel's."""


def noise_of_residuals(residual: Array, freedom: int) -> float:
    """Return the noise s for which `residual` / s^2 follows chi^2 with `freedom` degrees of freedom.

    It is taken from the median over the voxels, so voxels that the model does not describe matter little.
    """
    from scipy.special import gammaincinv

    chi_square_median = 2.0 * float(gammaincinv(freedom / 2, 0.5))
    return math.sqrt(median(residual) / chi_square_median)


def median_magnitude(magnitude: Array, inside: Array) -> float:
    """Return the median of the first echo in the mask.

    Raises
    ------
    InputError
        If it is not a positive number.
    """
    value = median(magnitude[inside > 0])
    if not value > 0 or not math.isfinite(value):
        raise InputError(f"the median of the first echo in the mask is {value}", field="magnitude")
    return value


def field_weight(noise: Array, mask: Array) -> Array:
    """Return the weight (x, y, z) [1] of a field: median noise / noise in `mask`, at most 5; 0 where unknown.

    Noise [ppm] that is not finite or not positive marks a voxel whose field is unknown.
    """
    xp = array_module(noise)
    known = mask & xp.isfinite(noise) & (noise > 0)
    if not bool(known.any()):
        raise InputError("the field's noise is unknown everywhere inside the mask", field="noise")
    weight = median(noise[known]) / xp.where(known, noise, 1.0)
    limited: Array = xp.where(known, xp.minimum(weight, MAX_WEIGHT), 0.0).astype(np.float32)
    return limited
