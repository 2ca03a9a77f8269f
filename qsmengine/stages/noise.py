"""The noise of an image, found from what its fits leave over."""

from __future__ import annotations

import math

import numpy as np

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError


def noise_of_residuals(residual: Array, freedom: int) -> float:
    """Noise whose square times chi^2 with `freedom` degrees of freedom is the sum of squares `residual`.

    The median over the voxels stands for all, so voxels that the model does not describe matter little.
    """
    from scipy.stats import chi2

    return math.sqrt(median(residual) / float(chi2.median(freedom)))


def median(values: Array) -> float:
    """Median of an array on either device."""
    return float(np.median(to_numpy(values)))


def median_magnitude(magnitude: Array, inside: Array) -> float:
    """Median in the mask of the first echo.

    Raises
    ------
    InputError
        Where it is not a positive number.
    """
    value = median(magnitude[inside > 0])
    if not value > 0 or not math.isfinite(value):
        raise InputError(f"the median of the first echo in the mask is {value}", field="magnitude")
    return value
