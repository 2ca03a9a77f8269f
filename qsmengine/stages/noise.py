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

    It is taken from the median over the voxels, so voxels that the model does not describe matter little. The
    order of `residual` changes.
    """
    return math.sqrt(median(residual, overwrite=True) / chi_square_median(freedom))


def chi_square_median(freedom: int) -> float:
    """Return the median of chi^2 with `freedom` >= 1 degrees of freedom.

    It is found by bisection of P(chi^2 <= 2 x) = x^a exp(-x) sum_n x^n / Gamma(a + n + 1), a = freedom / 2
    (Abramowitz & Stegun 6.5.29). SciPy's function would take a third of a second to import.
    """
    a = 0.5 * freedom

    def probability(x: float) -> float:
        term = math.exp(a * math.log(x) - x - math.lgamma(a + 1))
        total, n = term, 1
        while term > 1e-17 * total:
            term *= x / (a + n)
            total, n = total + term, n + 1
        return total

    low, high = 0.0, a  # the median lies below the mean
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if probability(middle) < 0.5 else (low, middle)
    return low + high


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
