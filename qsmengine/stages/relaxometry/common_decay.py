"""R2* common to all flip angles of a series of spoiled gradient echoes (ESTATICS).

The logarithms of all echoes are fitted by lines over the echo time with one slope and an intercept for each
flip angle a:

    log s(a, TE) = log S(a) - R2* TE,

with weights s^2, the inverse variances of log s. Every flip angle adds to the precision of R2*. R2* is clamped
to 0 .. r2star_max. Its standard deviation, noise / sqrt(sum w (TE - mean TE)^2) with the mean of each flip
angle, is a first-order estimate. The noise, the standard deviation of the real part, is given or estimated from
the residuals of the fits as one number for the image. Voxels without signal and those outside the mask are 0.

Reference: Weiskopf et al. 2014, 10.3389/fnins.2014.00278.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.pieces import in_pieces
from qsmengine.backend.signatures.spoiled import SPOILED_DECAY
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.noise import noise_of_residuals
from qsmengine.stages.params import Field, Params
from qsmengine.stages.relaxometry.flip_angles import TINY, Protocol, laid_out


class EstaticsParams(Params):
    """Parameters of the common decay."""

    noise: float | None = Field(
        None, gt=0, description="noise of the real part [unit of the signal]; none: from the residuals"
    )
    r2star_max: float = Field(2000.0, gt=0, description="upper bound of R2* [1/s]")


class CommonDecay(NamedTuple):
    """R2* and its standard deviation [1/s], each (x, y, z)."""

    r2star: Array
    r2star_sd: Array


def estatics(
    spoiled: Array,
    mask: Array,
    flip_angles: tuple[float, ...],
    repetition_times: tuple[float, ...],
    spoiled_times: tuple[float, ...],
    grid: Grid,
    params: EstaticsParams,
    *,
    device: Device,
) -> CommonDecay:
    """Return the R2* common to the flip angles of a series.

    Parameters
    ----------
    spoiled
        (x, y, z, volume), any unit.
    mask
        (x, y, z).
    flip_angles
        (volume,) [deg].
    repetition_times, spoiled_times
        (volume,) repetition and echo times [s].
    grid, params, device
        Geometry, parameters and compute device.

    Raises
    ------
    InputError
        For a series in which no flip angle has two echoes, tables that do not match, and an empty mask.
    """
    protocol = Protocol(tuple(flip_angles), tuple(repetition_times), tuple(spoiled_times))
    if not protocol.has_decay:
        raise InputError("R2* needs two echoes at one flip angle or more", field="EchoTime")
    volumes = laid_out(spoiled, mask, protocol, grid, device)
    shape = tuple(volumes.mask.shape)
    maps = {name: device.empty(shape) for name in ("r2star", "information", "residual")}
    launch(SPOILED_DECAY, device, **volumes.tables, **maps, largest=params.r2star_max)
    information, residual = maps["information"], maps["residual"]
    freedom = len(protocol.flip_angles) - len(protocol.acquisitions) - 1
    if params.noise is not None:
        noise = params.noise * volumes.scale
    elif freedom < 1:
        raise InputError(
            "two echoes at a single flip angle leave no residual from which to estimate the noise: give noise",
            field="EchoTime",
        )
    else:
        misfit = residual[information > 0]
        noise = noise_of_residuals(misfit, freedom) if misfit.size else 0.0

    def to_deviation(information: Array) -> None:
        seen = information > 0
        device.xp.maximum(information, np.float32(TINY), out=information)
        device.xp.sqrt(information, out=information)
        device.xp.divide(np.float32(noise), information, out=information)
        information *= seen

    in_pieces(to_deviation, (information,), device)
    return CommonDecay(maps["r2star"].reshape(grid.shape), information.reshape(grid.shape))


METHODS = (
    Method(
        stage="common-decay", name="estatics", run=estatics, params=EstaticsParams,
        inputs=("spoiled", "mask", "flip_angles", "repetition_times", "spoiled_times"),
        outputs={"r2star": "1/s", "r2star_sd": "1/s"},
        summary="R2* of all flip angles together, by a weighted fit of the log signal",
        doi="10.3389/fnins.2014.00278", bytes_per_voxel=24, bytes_per_volume=8, within_mask=True,
    ),
)  # fmt: skip
