"""Weighted linear fit of the unwrapped phase over the echoes: total field and its noise.

    min over slope [, offset] of  sum_e m_e^2 (phase_e - offset - slope TE_e)^2

in closed form; field = slope / (2 pi gamma B0). The weights are those of maximum likelihood: the variance of
phase is that of the complex noise over the squared magnitude. With the offset removed beforehand
(MCPC-3D-S) the line goes through 0.

noise = sigma / sqrt(sum_e m_e^2 TE_e^2) / (2 pi gamma B0) is the standard deviation of the field, where
sigma is one number for the image, found from the residuals of the fit. That takes three echoes; with one
or two the noise map is relative, scaled to a median of 1 in the mask.

Magnitudes below 1/1000 of the median in the mask count as that, so voxels without signal stay finite.

References: Gilbert et al. 2012, 10.1002/mrm.23012; Conturo & Smith 1990, 10.1002/mrm.1910150308 (phase noise).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import Field

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.field_fit import WEIGHTED_FIELD_FIT
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.echoes import check_series, checked_mask, echo_first
from qsmengine.stages.method import Method
from qsmengine.stages.noise import median, median_magnitude, noise_of_residuals
from qsmengine.stages.params import Params
from qsmengine.units import ppm_per_rad

MAGNITUDE_FLOOR = 1e-3
"""Smallest magnitude that counts, relative to the median in the mask."""
MILLISECONDS = 1e3
"""Times are [ms] in the fits."""


class WeightedFitParams(Params):
    """Parameters of the weighted fit."""

    offset: bool = Field(False, description="fit a phase at echo time 0 too (two echoes or more)")


class FieldResult(NamedTuple):
    """Total field (x, y, z) [ppm] and its noise (x, y, z) [ppm] (relative below three echoes)."""

    total_field: Array
    noise: Array


def weighted_fit(
    unwrapped: Array,
    magnitude: Array,
    mask: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: WeightedFitParams,
    *,
    device: Device,
) -> FieldResult:
    """Total field from unwrapped phase.

    Parameters
    ----------
    unwrapped
        (x, y, z, echo) [rad], unwrapped consistently along the echoes.
    magnitude
        (x, y, z, echo), any unit.
    mask
        (x, y, z).
    echo_times
        (echo,) [s].
    grid
        Geometry with the field strength.
    params
        Parameters.
    device
        Where to compute.

    Returns
    -------
    FieldResult
        Field and noise, 0 outside the mask.

    Raises
    ------
    InputError
        For shapes or echo times that do not fit, an empty mask, a magnitude that is 0 in most of it, a
        missing field strength, or an offset asked for with one echo.
    """
    times = check_series(grid, echo_times, unwrapped=unwrapped, magnitude=magnitude)
    if params.offset and len(times) == 1:
        raise InputError("one echo does not tell a phase offset: fit without it", field="EchoTime")
    unit = ppm_per_rad(grid.required_field_strength, 1.0 / MILLISECONDS)
    phase, weights = echo_first(unwrapped, device), echo_first(magnitude, device)
    inside = checked_mask(mask, grid, device)
    shape = tuple(inside.shape)
    slope, information, residual = (device.empty(shape) for _ in range(3))
    launch(
        WEIGHTED_FIELD_FIT,
        device,
        phase=phase.reshape(len(times), -1),
        magnitude=weights.reshape(len(times), -1),
        mask=inside.reshape(-1),
        times=device.asarray(np.asarray(times) * MILLISECONDS),
        slope=slope.reshape(-1),
        information=information.reshape(-1),
        residual=residual.reshape(-1),
        scale=1.0 / median_magnitude(weights[0], inside),
        floor=MAGNITUDE_FLOOR,
        with_offset=int(params.offset),
    )
    slope *= np.float32(unit)
    freedom = len(times) - 1 - int(params.offset)
    noise = field_noise(information, residual, inside, freedom, unit if len(times) >= 3 else None)
    return FieldResult(slope, noise)


def field_noise(information: Array, residual: Array, inside: Array, freedom: int, unit: float | None) -> Array:
    """Standard deviation of the field in the unit of `unit` [per rad/ms]; None: relative, median 1.

    `information` (whose memory is used for the result) and `residual` are those of the fits' kernels.
    """
    selected = inside > 0
    noise = information
    noise[selected] = np.float32(1) / information[selected] ** np.float32(0.5)
    if unit is None:
        noise *= np.float32(1.0 / median(noise[selected]))
    else:
        noise *= np.float32(unit * noise_of_residuals(residual[selected], freedom))
    return noise


METHODS = (
    Method(
        stage="field", name="weighted_fit", run=weighted_fit, params=WeightedFitParams,
        inputs=("unwrapped", "magnitude", "mask", "echo_times"),
        outputs={"total_field": "ppm", "noise": "ppm"},
        summary="linear fit of phase over echo time, weighted by squared magnitude",
        doi="10.1002/mrm.23012", bytes_per_voxel=50, bytes_per_volume=8,
    ),
)  # fmt: skip
