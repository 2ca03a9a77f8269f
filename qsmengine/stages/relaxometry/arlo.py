"""R2* by auto-regression on linear operations (ARLO), without iteration or logarithm.

For s(t) = s0 exp(-R2* t) the integral over three consecutive echoes is T2* times their signal loss. With
I_j = the integral of the parabola through echoes j, j+1, j+2 (Simpson's rule where they are equidistant),
d_j = s_j - s_(j+2) and c the weight of the last echo in I_j (a third of the spacing for Simpson):

    R2* = sum_j (I_j d_j + c_j d_j^2) / sum_j (I_j^2 + c_j I_j d_j).

Without noise the relative error is that of the parabola, (R2* spacing)^4 / 180 for equidistant echoes.
Two echoes give log(s_1 / s_2) / (TE_2 - TE_1), exactly. s0 is the least-squares amplitude at that R2*.

R2* is clamped to 0 .. r2star_max, T2* = 1 / R2* to at most t2star_max. Voxels without signal, and those
outside the mask, are 0 in all three maps. Magnitude noise is not Gaussian: near its floor R2* is
underestimated.

Reference: Pei et al. 2015, 10.1002/mrm.25137.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.arlo import ARLO_DECAY, TWO_ECHO_DECAY
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.stages.echoes import check_series, checked_mask, echo_first
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params


class ArloParams(Params):
    """Parameters of ARLO."""

    r2star_max: float = Field(2000.0, gt=0, description="upper bound of R2* [1/s]")
    t2star_max: float = Field(2.0, gt=0, description="upper bound of T2* [s]")


class RelaxationResult(NamedTuple):
    """R2* [1/s], T2* [s] and amplitude at echo time 0 [unit of the magnitude], each (x, y, z)."""

    r2star: Array
    t2star: Array
    s0: Array


def arlo(
    magnitude: Array,
    mask: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: ArloParams,
    *,
    device: Device,
) -> RelaxationResult:
    """Return decay rate and amplitude of the magnitude (x, y, z, echo) inside `mask` (x, y, z).

    `echo_times` are (echo,) [s].

    Raises
    ------
    InputError
        For a single echo, shapes or echo times that do not match, or an empty mask.
    """
    times = check_series(grid, echo_times, magnitude=magnitude)
    if len(times) == 1:
        raise InputError("R2* needs at least two echoes, got one", field="EchoTime")
    signal = echo_first(magnitude, device).reshape(len(times), -1)
    inside = checked_mask(mask, grid, device).reshape(-1)
    maps = {name: device.empty(tuple(inside.shape)) for name in ("r2star", "t2star", "s0")}
    shared = {**maps, "mask": inside, "largest": params.r2star_max, "longest": params.t2star_max}
    if len(times) == 2:
        launch(
            TWO_ECHO_DECAY, device, first=signal[0], second=signal[1], time1=times[0], time2=times[1], **shared
        )
    else:
        largest = float(device.xp.where(inside > 0, signal[0], np.float32(0)).max())
        launch(
            ARLO_DECAY,
            device,
            magnitude=signal,
            times=device.asarray(np.asarray(times)),
            coefficients=device.asarray(np.pad(integral_weights(np.asarray(times)), ((0, 2), (0, 0)))),
            scale=1.0 / largest if largest > 0 else 1.0,
            **shared,
        )
    return RelaxationResult(*(maps[name].reshape(grid.shape) for name in ("r2star", "t2star", "s0")))


def integral_weights(times: FloatArray) -> FloatArray:
    """Return weights (echo - 2, 3) [s] that integrate the parabola through three consecutive samples.

    For spacings g and h the integral over g + h is (g + h) / 6 times
    (2 - h/g) s_1 + (g + h)^2 / (g h) s_2 + (2 - g/h) s_3.
    """
    g, h = np.diff(times)[:-1], np.diff(times)[1:]
    span = g + h
    weights = np.stack([2 - h / g, span**2 / (g * h), 2 - g / h], axis=1)
    return np.asarray(weights * (span / 6)[:, None], dtype=np.float64)


METHODS = (
    Method(
        stage="relaxometry", name="arlo", run=arlo, params=ArloParams,
        inputs=("magnitude", "mask", "echo_times"),
        outputs={"r2star": "1/s", "t2star": "s", "s0": "arbitrary"},
        summary="R2* by auto-regression on linear operations; exact for two echoes",
        doi="10.1002/mrm.25137", bytes_per_voxel=10, bytes_per_volume=4, within_mask=True,
    ),
)  # fmt: skip
