"""Susceptibility-weighted imaging by homodyne filtering.

The complex image S of an echo, divided by its low-pass, keeps the phase of small structures:

    phase_e = angle(S_e conj(G * S_e)),

with G a Gaussian in the slice plane. No unwrapping is needed where the low-pass follows the phase. Near sinuses
it does not, and wraps remain; the method `local_field` has none. The phases of the echoes are combined to the
phase at one echo time, weighted by the precision of their field, m_e^2 TE_e^2:

    phase = TE sum_e m_e^2 TE_e phase_e / sum_e m_e^2 TE_e^2.

The image is the root of the sum of squared magnitudes times (1 - phase / pi)^4 where the phase is positive.
Here phase increases with the field, so the mask darkens veins, which are paramagnetic.

Reference: Haacke et al. 2004, 10.1002/mrm.20198.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.gaussian import FWHM, GaussianMean
from qsmengine.stages.echoes import check_series, checked_mask
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Length
from qsmengine.stages.swi.images import SwiParams, SwiResult, combined_magnitude, slice_axis, weighted_images


class HomodyneParams(SwiParams):
    """Parameters of homodyne susceptibility weighting."""

    low_pass: Length = Field(8.0, gt=0, description="full width at half maximum of the low-pass [mm]")


def homodyne(
    magnitude: Array,
    phase: Array,
    mask: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: HomodyneParams,
    *,
    device: Device,
) -> SwiResult:
    """Return the susceptibility-weighted image and projection (x, y, z) in the magnitude's unit.

    Both are 0 outside `mask`.
    `magnitude` and wrapped `phase` [rad] are (x, y, z, echo), `echo_times` (echo,) [s].

    Raises
    ------
    InputError
        For shapes or echo times that do not match, and an empty mask.
    """
    times = check_series(grid, echo_times, magnitude=magnitude, phase=phase)
    inside = checked_mask(mask, grid, device) > 0
    slices = slice_axis(grid, params.slice_axis)
    x, y, z = (0.0 if axis == slices else params.low_pass / FWHM for axis in range(3))
    mean = GaussianMean(inside, grid, (x, y, z), device)
    xp = device.xp
    above, below = device.zeros(grid.shape), device.zeros(grid.shape)
    last = times[-1]
    for echo, time in enumerate(times):
        size = xp.where(inside, device.asarray(magnitude[..., echo]), np.float32(0))
        angle = xp.where(inside, device.asarray(phase[..., echo]), np.float32(0))
        real, imag = size * xp.cos(angle), size * xp.sin(angle)
        low_real, low_imag = mean.sum(real), mean.sum(imag)
        filtered = xp.arctan2(imag * low_real - real * low_imag, real * low_real + imag * low_imag)
        size *= size
        above += size * filtered * np.float32(time / last)
        below += size * np.float32((time / last) ** 2)
    joined = xp.where(below > 0, above / xp.where(below > 0, below, np.float32(1)), np.float32(0))
    joined *= np.float32((params.echo_time or last) / last)
    return weighted_images(combined_magnitude(magnitude, device), joined, inside, grid, params, device)


METHODS = (
    Method(
        stage="swi", name="homodyne", run=homodyne, params=HomodyneParams,
        inputs=("magnitude", "phase", "mask", "echo_times"),
        outputs={"swi": "arbitrary", "minip": "arbitrary"},
        summary="susceptibility-weighted image by homodyne high-pass, and its projection",
        doi="10.1002/mrm.20198", bytes_per_voxel=100, reach=lambda params: 4.0 * params.low_pass / FWHM,
    ),
)  # fmt: skip
