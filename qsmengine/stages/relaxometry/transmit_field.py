"""The transmit field B1 relative to its nominal value: from two images, or from R1 itself.

`minimum_entropy` needs no further image. Of all smooth fields B1 the one is chosen whose R1 has the histogram
with the sharpest peaks: with b = ln B1 as a sum of products of Legendre polynomials, it minimises the entropy
of the histogram of ln R1_nominal + 2 b (256 bins, smoothed by a Gaussian of 1 bin). The mean of b is not
determined by the data: the geometric mean of B1 in the mask is `mean`. Where it is wrong by 1 %, R1 is wrong by
2 % everywhere. Contrast between the middle and the rim of the brain that is as smooth as B1 is taken for B1.

`afi` (actual flip-angle imaging) takes two images of a sequence with alternating repetition times TR1 < TR2:
with r = S2 / S1 and n = TR2 / TR1, cos a = (r n - 1) / (n - r). `double_angle` takes images at the nominal
flip angles a and 2 a with complete relaxation: cos a = S(2 a) / (2 S(a)). Voxels that have no solution are 0.

References: Palma et al. 2015, 10.1371/journal.pone.0134963 (R1, R2, R2* and proton density of one protocol);
Yarnykh 2007, 10.1002/mrm.21120 (actual flip-angle imaging); Insko & Bolinger 1993, 10.1006/jmra.1993.1133
(double angle).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import FloatArray, Grid
from qsmengine.stages.echoes import checked_mask
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params
from qsmengine.stages.relaxometry.apparent_rate import RATES, ApparentRate

BINS, SMOOTHING = 256, 1.0
"""Bins of the histogram, and standard deviation of its Gaussian [bins]."""
TINY = 1e-12
LARGEST = 1.0
"""Largest coefficient of ln B1, without its sign, which no B1 reaches. Far beyond, all values fall into the two
outer bins of the histogram, whose entropy is small."""


class EntropyParams(Params):
    """Parameters of the field of minimum entropy."""

    order: int = Field(3, ge=1, le=6, description="largest total degree of the polynomials")
    mean: float = Field(1.0, ge=0.3, le=2, description="geometric mean of B1 in the mask")
    iterations: int = Field(80, ge=1, le=1000, description="steps of the search (L-BFGS), at most")


class AfiParams(Params):
    """Parameters of actual flip-angle imaging."""

    ratio: float = Field(5.0, gt=1, le=50, description="second repetition time over the first")
    flip_angle: float = Field(60.0, gt=0, lt=180, description="nominal flip angle [deg]")


class DoubleAngleParams(Params):
    """Parameters of the double-angle method."""

    flip_angle: float = Field(60.0, gt=0, lt=90, description="nominal flip angle of the first image [deg]")


def minimum_entropy(r1: Array, mask: Array, grid: Grid, params: EntropyParams, *, device: Device) -> Array:
    """Return B1 (x, y, z) from `r1` (x, y, z) [1/s] at nominal flip angles; 0 outside `mask`.

    Raises
    ------
    InputError
        For an empty mask, and for one with too few voxels for the polynomials.
    """
    from scipy.optimize import minimize

    rate = ApparentRate.of(r1, mask, grid, params.order, device)
    start: Any = np.zeros(len(rate.columns))
    with threadpool_limits(1, user_api="blas"):
        found = minimize(
            entropy, start, args=(rate.logarithm, rate.columns), jac=True, method="L-BFGS-B",
            bounds=[(-LARGEST, LARGEST)] * len(start),
            options={"maxiter": params.iterations, "ftol": 1e-9, "gtol": 1e-7},
        )  # fmt: skip
    return rate.b1(found.x, params.mean)


def entropy(coefficients: FloatArray, logarithm: FloatArray, columns: FloatArray) -> tuple[float, FloatArray]:
    """Return the entropy [nat] of the histogram of `logarithm` (voxel,) + 2 b, and its gradient (product,).

    b = `coefficients` (product,) times `columns` (product, voxel). Every value is divided between two bins.
    """
    from scipy.ndimage import gaussian_filter1d

    low, high = np.log(RATES[0]), np.log(RATES[1])
    scale = (BINS - 1) / (high - low)
    place = (logarithm + 2.0 * (coefficients @ columns) - low) * scale
    inside = (place > 0) & (place < BINS - 1)
    place = np.clip(place, 0.0, BINS - 1.001)
    below = place.astype(np.intp)
    part = place - below
    counts = np.bincount(below, 1.0 - part, BINS) + np.bincount(below + 1, part, BINS)
    share = gaussian_filter1d(counts, SMOOTHING, mode="constant") / logarithm.size
    logs = np.log(share + TINY)
    pull = gaussian_filter1d(logs + share / (share + TINY), SMOOTHING, mode="constant")
    slope = np.where(inside, pull[below + 1] - pull[below], 0.0) * (2.0 * scale / logarithm.size)
    return -float(share @ logs), -(columns @ slope)


def afi(
    afi_short: Array, afi_long: Array, mask: Array, grid: Grid, params: AfiParams, *, device: Device
) -> Array:
    """Return B1 (x, y, z) from the images (x, y, z) after the short and the long repetition time."""
    first, second = device.asarray(afi_short), device.asarray(afi_long)
    n = np.float32(params.ratio)
    ratio = second / device.xp.where(first > 0, first, np.float32(1))
    solvable = (first > 0) & (second > 0) & (ratio < n)
    cosine = (ratio * n - 1) / device.xp.where(solvable, n - ratio, np.float32(1))
    return _from_cosine(cosine, solvable, mask, grid, params.flip_angle, device)


def double_angle(
    angle_single: Array,
    angle_double: Array,
    mask: Array,
    grid: Grid,
    params: DoubleAngleParams,
    *,
    device: Device,
) -> Array:
    """Return B1 (x, y, z) from images (x, y, z) at a flip angle and at twice that angle."""
    first, second = device.asarray(angle_single), device.asarray(angle_double)
    ratio = second / (2 * device.xp.where(first > 0, first, np.float32(1)))
    return _from_cosine(ratio, first > 0, mask, grid, params.flip_angle, device)


def _from_cosine(
    cosine: Array, solvable: Array, mask: Array, grid: Grid, flip_angle: float, device: Device
) -> Array:
    """Return the ratio (x, y, z) of the angle of this cosine to the nominal one; 0 where there is no angle."""
    xp = device.xp
    good = (checked_mask(mask, grid, device) > 0) & solvable & (cosine > -1) & (cosine < 1)
    angle = xp.arccos(xp.where(good, cosine, np.float32(0)))
    b1: Array = xp.where(good, angle / np.float32(np.radians(flip_angle)), np.float32(0)).astype(np.float32)
    return b1


METHODS = (
    Method(
        stage="transmit-field", name="minimum_entropy", run=minimum_entropy, params=EntropyParams,
        inputs=("r1", "mask"), outputs={"b1": "1"},
        summary="smooth B1 that makes the histogram of R1 sharpest; its mean is a convention",
        doi="10.1371/journal.pone.0134963", bytes_per_voxel=260, within_mask=True,
    ),
    Method(
        stage="transmit-field", name="afi", run=afi, params=AfiParams,
        inputs=("afi_short", "afi_long", "mask"), outputs={"b1": "1"},
        summary="B1 by actual flip-angle imaging, from two repetition times",
        doi="10.1002/mrm.21120", bytes_per_voxel=48, within_mask=True,
    ),
    Method(
        stage="transmit-field", name="double_angle", run=double_angle, params=DoubleAngleParams,
        inputs=("angle_single", "angle_double", "mask"), outputs={"b1": "1"},
        summary="B1 by the double-angle method, from images at a flip angle and at twice that angle",
        doi="10.1006/jmra.1993.1133", bytes_per_voxel=48, within_mask=True,
    ),
)  # fmt: skip
