"""Denoising of complex gradient-echo data with a low SNR.

    SNR = median of the first echo's magnitude / sigma        over the voxels whose magnitude exceeds 4 sigma

with sigma the noise of a real or imaginary part. Data with an SNR below `snr` are filtered by complex-mnlm,
others are returned unchanged. The measurements behind the threshold are in docs/denoising.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.order_statistics import median
from qsmengine.stages.denoise.complex_mnlm import (
    ComplexMnlmParams,
    complex_mnlm,
    turned_parts,
    with_noise,
)
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field

_FOREGROUND = 4.0


class LowSnrParams(ComplexMnlmParams):
    """Parameters of complex-mnlm, and the SNR below which it runs."""

    snr: float = Field(100.0, gt=0, description="SNR of the first echo from which data are left unchanged")


class CheckedSeries(NamedTuple):
    """Series, filtered or not, and the SNR that determined it."""

    magnitude: Array
    phase: Array
    snr: float


def low_snr(
    magnitude: Array,
    phase: Array,
    grid: Grid,
    params: LowSnrParams,
    *,
    device: Device,
    mask: Array | None = None,
    sigma: Array | None = None,
) -> CheckedSeries:
    """Return magnitude and phase [rad] (x, y, z, echo), filtered if the first echo's SNR is low, and the SNR.

    Arguments and errors are those of :func:`qsmengine.stages.denoise.complex_mnlm.complex_mnlm`. Both filtered
    and unfiltered series are 0 outside `mask`.
    """
    xp = device.xp
    inside = xp.ones(grid.shape, bool) if mask is None else device.asarray(mask, bool)
    first = device.asarray(magnitude[..., 0])
    if sigma is None:
        parts, _ = turned_parts(magnitude, phase, inside, params, device)
        params, sigma = with_noise(params, parts, inside, device, sigma)
        del parts
    noise: Any = params.sigma if sigma is None else device.asarray(sigma)
    if isinstance(noise, tuple):
        noise = noise[0]
    bright = inside & (first > _FOREGROUND * noise)
    if not bool(bright.any()):
        raise InputError("the first echo is nowhere above the noise level", field="magnitude")
    ratio = median((first / noise)[bright])
    if ratio < params.snr:
        filtered = complex_mnlm(magnitude, phase, grid, params, device=device, mask=inside, sigma=sigma)
        return CheckedSeries(filtered.magnitude, filtered.phase, ratio)
    size, angle = (xp.where(inside[..., None], device.asarray(a), np.float32(0)) for a in (magnitude, phase))
    return CheckedSeries(size, angle, ratio)


METHODS = (
    Method(
        stage="denoise", name="auto", run=low_snr, params=LowSnrParams,
        inputs=("magnitude", "phase", "mask?", "sigma?"),
        outputs={"magnitude": "arbitrary", "phase": "rad", "snr": "1"},
        summary="complex-mnlm if the first echo's SNR is low, else no change",
        doi="10.1371/journal.pone.0126835", bytes_per_voxel=140, bytes_per_volume=100,
    ),
)  # fmt: skip
