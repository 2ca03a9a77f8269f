"""Weighted linear fit of the unwrapped phase over the echoes: total field and its noise.

    min over slope [, offset] of  sum_e m_e^2 (phase_e - offset - slope TE_e)^2

in closed form; field = slope / (2 pi gamma B0). The weights are those of maximum likelihood: the variance of
phase is that of the complex noise over the squared magnitude. If the offset has been removed (MCPC-3D-S) the
line passes through 0.

noise = sigma / sqrt(sum_e m_e^2 TE_e^2) / (2 pi gamma B0) is the standard deviation of the field, where
sigma, one number for the image, is estimated from the residuals of a fit with offset, so that a phase offset
that was not fully removed does not count as noise. That takes three echoes. With one or two sigma is estimated
from the differences of neighbouring voxels (:func:`noise_over_neighbours`); anatomy increases this estimate by
up to a tenth at long echo times, and noise that is correlated between voxels decreases it. If the mask is too
small for that the map is relative, with a median of 1.

Magnitudes below 1/1000 of the median in the mask are raised to it, so that voxels without signal stay finite.

References: Gilbert et al. 2012, 10.1002/mrm.23012; Conturo & Smith 1990, 10.1002/mrm.1910150308 (phase noise).
"""

from __future__ import annotations

from qsmengine.backend.device import Device
from qsmengine.backend.signatures.field_fit import WEIGHTED_FIELD_FIT
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params
from qsmengine.stages.phase.phase_fit import FieldResult, fit_phase


class WeightedFitParams(Params):
    """Parameters of the weighted fit."""

    offset: bool = Field(False, description="also fit the phase at echo time 0 (needs two echoes)")


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
    """Return the total field from unwrapped phase.

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
        For shapes or echo times that do not match, an empty mask, a magnitude that is 0 in most of it, a
        missing field strength, or a request to fit an offset to one echo.
    """
    return fit_phase(
        WEIGHTED_FIELD_FIT, unwrapped, magnitude, mask, echo_times, grid, offset=params.offset, device=device
    )


METHODS = (
    Method(
        stage="field", name="weighted_fit", run=weighted_fit, params=WeightedFitParams,
        inputs=("unwrapped", "magnitude", "mask", "echo_times"),
        outputs={"total_field": "ppm", "noise": "ppm"},
        summary="linear fit of phase over echo time, weighted by squared magnitude",
        doi="10.1002/mrm.23012", bytes_per_voxel=50, bytes_per_volume=8, within_mask=True,
    ),
)  # fmt: skip
