"""Weighted linear fit of the unwrapped phase over the echoes: total field and its noise.

    min over slope [, offset] of  sum_e m_e^2 (phase_e - offset - slope TE_e)^2

in closed form; field = slope / (2 pi gamma B0). The weights are those of maximum likelihood: the variance of
phase is that of the complex noise over the squared magnitude. With the offset removed beforehand
(MCPC-3D-S) the line goes through 0.

noise = sigma / sqrt(sum_e m_e^2 TE_e^2) / (2 pi gamma B0) is the standard deviation of the field, where
sigma is one number for the image, found from what a fit with an offset leaves over: an offset that was not
removed fully is the same at every echo, hence no noise. That takes three echoes; with one or two it is found
from the differences of neighbouring voxels (:func:`noise_over_neighbours`), which anatomy raises by up to a
tenth at long echo times and noise correlated between voxels lowers. Where the mask is too small for that the
map is relative, with a median of 1.

Magnitudes below 1/1000 of the median in the mask count as that, so voxels without signal stay finite.

References: Gilbert et al. 2012, 10.1002/mrm.23012; Conturo & Smith 1990, 10.1002/mrm.1910150308 (phase noise).
"""

from __future__ import annotations

from pydantic import Field

from qsmengine.backend.device import Device
from qsmengine.backend.signatures.field_fit import WEIGHTED_FIELD_FIT
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params
from qsmengine.stages.phase.phase_fit import FieldResult, fit_phase


class WeightedFitParams(Params):
    """Parameters of the weighted fit."""

    offset: bool = Field(False, description="fit a phase at echo time 0 too (two echoes or more)")


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
    return fit_phase(
        WEIGHTED_FIELD_FIT, unwrapped, magnitude, mask, echo_times, grid, offset=params.offset, device=device
    )


METHODS = (
    Method(
        stage="field", name="weighted_fit", run=weighted_fit, params=WeightedFitParams,
        inputs=("unwrapped", "magnitude", "mask", "echo_times"),
        outputs={"total_field": "ppm", "noise": "ppm"},
        summary="linear fit of phase over echo time, weighted by squared magnitude",
        doi="10.1002/mrm.23012", bytes_per_voxel=50, bytes_per_volume=8,
    ),
)  # fmt: skip
