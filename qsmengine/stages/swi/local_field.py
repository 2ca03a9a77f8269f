"""Susceptibility-weighted imaging from the unwrapped field.

The phase mask is made from the local field, after unwrapping, the fit over all echoes and background removal.
Therefore no wraps remain near air, and every echo contributes to the contrast:

    phase = 2 pi gamma B0 TE (field - G * field),

with G the Gaussian mean inside the mask (3-D). The image is the root of the sum of squared magnitudes
times (1 - phase / limit)^power where the phase is positive.

Reference: Eckstein et al. 2021, 10.1016/j.neuroimage.2021.118175 (CLEAR-SWI, which filters the unwrapped phase
of each echo).
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
from qsmengine.stages.swi.images import SwiParams, SwiResult, combined_magnitude, weighted_images
from qsmengine.units import rad_per_ppm


class LocalFieldParams(SwiParams):
    """Parameters of susceptibility weighting by the local field."""

    high_pass: Length = Field(
        10.0, ge=0, description="full width at half maximum of the subtracted Gaussian mean [mm]; 0: none"
    )


def local_field_swi(
    magnitude: Array,
    local_field: Array,
    mask: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: LocalFieldParams,
    *,
    device: Device,
) -> SwiResult:
    """Return the susceptibility-weighted image and projection (x, y, z) in the magnitude's unit.

    Both are 0 outside `mask`.
    `magnitude` (x, y, z, echo), `local_field` (x, y, z) [ppm], `echo_times` (echo,) [s].

    Raises
    ------
    InputError
        For shapes or echo times that do not match, an empty mask, a missing field strength.
    """
    times = check_series(grid, echo_times, magnitude=magnitude)
    inside = checked_mask(mask, grid, device) > 0
    field = device.xp.where(inside, device.asarray(local_field), np.float32(0))
    if params.high_pass > 0:
        field = field - GaussianMean(inside, grid, (params.high_pass / FWHM,) * 3, device)(field)
    factor = rad_per_ppm(grid.required_field_strength, params.echo_time or times[-1])
    combined = combined_magnitude(magnitude, device)
    return weighted_images(combined, field * np.float32(factor), inside, grid, params, device)


METHODS = (
    Method(
        stage="swi", name="local_field", run=local_field_swi, params=LocalFieldParams,
        inputs=("magnitude", "local_field", "mask", "echo_times"),
        outputs={"swi": "arbitrary", "minip": "arbitrary"},
        summary="susceptibility-weighted image from the local field, and its projection",
        doi="10.1016/j.neuroimage.2021.118175", bytes_per_voxel=100,
        reach=lambda params: 4.0 * params.high_pass / FWHM,
    ),
)  # fmt: skip
