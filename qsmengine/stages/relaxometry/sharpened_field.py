"""The transmit field B1 without a map, by sharpening the histogram of R1 as N4 does for bias fields.

ln R1 at nominal flip angles is v = u + f with f = -2 ln B1. The field blurs the histogram of u like a Gaussian
of `width` (full width at half maximum). Every round removes the present field, deconvolves the histogram of
v - f with this Gaussian by a Wiener filter, takes the expected value E[u | v - f], and fits the smooth field to
v - E[u | v - f]. The mean of ln B1 is not determined: the geometric mean of B1 in the mask is `mean`.

References: Tustison et al. 2010, 10.1109/TMI.2010.2046908 (N4); Weiskopf et al. 2011,
10.1016/j.neuroimage.2010.10.023 (UNICORT, the same idea with SPM's bias field).
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import FloatArray, Grid
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params
from qsmengine.stages.relaxometry.apparent_rate import ApparentRate

BINS = 200
"""Bins of the histogram."""
WIDTHS = 2.3548
"""Full width at half maximum of a Gaussian of unit standard deviation."""
WIENER = 0.01
"""Noise of the Wiener filter relative to the signal."""
SETTLED = 1e-4
"""Change of ln B1, standard deviation, at which the rounds end."""


class SharpeningParams(Params):
    """Parameters of the field that sharpens the histogram."""

    order: int = Field(3, ge=1, le=6, description="largest total degree of the polynomials")
    mean: float = Field(1.0, ge=0.3, le=2, description="geometric mean of B1 in the mask")
    width: float = Field(0.15, gt=0, le=2, description="full width at half maximum of the blur of ln R1")
    rounds: int = Field(60, ge=1, le=1000, description="rounds, at most")


def sharpening(r1: Array, mask: Array, grid: Grid, params: SharpeningParams, *, device: Device) -> Array:
    """Return B1 (x, y, z) from `r1` (x, y, z) [1/s] at nominal flip angles; 0 outside `mask`.

    Raises
    ------
    InputError
        For an empty mask, and for one with too few voxels for the polynomials.
    """
    rate = ApparentRate.of(r1, mask, grid, params.order, device)
    field = np.zeros_like(rate.logarithm)
    with threadpool_limits(1, user_api="blas"):
        normal = rate.columns @ rate.columns.T
        for _ in range(params.rounds):
            expected = expected_values(rate.logarithm - field, params.width / WIDTHS)
            right = rate.columns @ (rate.logarithm - expected)
            coefficients = np.asarray(np.linalg.solve(normal, right), dtype=np.float64)
            changed = coefficients @ rate.columns
            change, field = float((changed - field).std()), changed
            if 0.5 * change <= SETTLED:
                break
    return rate.b1(-0.5 * coefficients, params.mean)


def expected_values(values: FloatArray, sigma: float) -> FloatArray:
    """Return E[u | v] (voxel,) from the histogram of v = `values` = u + noise of standard deviation `sigma`."""
    low = float(values.min())
    width = max(float(values.max()) - low, 1e-9) / (BINS - 1)
    place = np.minimum((values - low) / width, BINS - 1.001)
    below = place.astype(np.intp)
    part = place - below
    size = 4 * BINS
    start = (size - BINS) // 2
    counts = np.zeros(size)
    counts[start : start + BINS] = np.bincount(below, 1 - part, BINS) + np.bincount(below + 1, part, BINS)
    index = np.arange(size)
    blur = np.exp(-0.5 * np.square(np.minimum(index, size - index) * width / sigma))
    transfer = np.fft.rfft(blur / blur.sum())
    filtered = np.fft.rfft(counts) * transfer.conj() / (np.abs(transfer) ** 2 + WIENER)
    sharp = np.maximum(np.fft.irfft(filtered, size), 0.0)
    centres = low + (index - start) * width
    weighted, total = (np.fft.irfft(np.fft.rfft(image) * transfer, size) for image in (centres * sharp, sharp))
    mean = weighted / np.maximum(total, 1e-9 * total.max())
    found: FloatArray = np.interp(values, centres[start : start + BINS], mean[start : start + BINS])
    return found


METHODS = (
    Method(
        stage="transmit-field", name="sharpening", run=sharpening, params=SharpeningParams,
        inputs=("r1", "mask"), outputs={"b1": "1"},
        summary="smooth B1 by the histogram sharpening of N4; its mean is a convention",
        doi="10.1109/TMI.2010.2046908", bytes_per_voxel=260, within_mask=True,
    ),
)  # fmt: skip
