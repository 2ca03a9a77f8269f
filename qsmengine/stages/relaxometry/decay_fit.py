"""R2* and its standard deviation by least squares over the echoes.

Model: s(t) = s0 exp(-R2* t).

`log_linear` fits a line to log s in closed form, with weights s^2 (the inverse variance of log s). `nonlinear`
minimises sum_e (m_e - s(TE_e))^2 by damped Gauss-Newton from there: maximum likelihood for Gaussian noise.

Magnitudes have a noise floor: their mean does not fall below sqrt(pi / 2) noise. With `noise_floor` the
log-linear fit subtracts the noise from the power, m^2 - 2 noise^2, and excludes echoes below it; the nonlinear
fit compares m with the mean of a Rician magnitude, sqrt(s^2 + noise^2 (1 + (pi/2 - 1) h(s^2 / noise^2))),
h(y) = (1 + 0.1317 y) / (1 + 0.4740 y + 0.1504 y^2), which is exact to 0.0011 noise.

The noise, the standard deviation of the real part, is given in the unit of the magnitude or estimated from the
residuals of the fits, as one number for the image; that takes three echoes. r2star_sd = noise /
sqrt(information) is a first-order estimate; at the noise floor it is too large, as magnitudes vary less there.
Voxels without signal and those outside the mask are 0 in all maps; R2* is clamped to 0 .. r2star_max, T2* to
t2star_max.

References: Bonny et al. 1996, 10.1002/mrm.1910360116 (weighted log-linear fit); Gudbjartsson & Patz 1995,
10.1002/mrm.1910340618 (noise of magnitudes); Feng et al. 2013, 10.1002/mrm.24607 (fit of the magnitude's mean).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.decay_fit import LOG_LINEAR_DECAY, NONLINEAR_DECAY
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.echoes import check_series, checked_mask, echo_first
from qsmengine.stages.method import Method
from qsmengine.stages.noise import noise_of_residuals
from qsmengine.stages.params import Field, Params

_MAPS = ("r2star", "t2star", "s0", "information", "residual")


class LogLinearParams(Params):
    """Parameters of the log-linear fit."""

    noise: float | None = Field(
        None, gt=0, description="noise of the real part [unit of the magnitude]; none: from the residuals"
    )
    noise_floor: bool = Field(False, description="account for the noise in the mean of the magnitude")
    r2star_max: float = Field(2000.0, gt=0, description="upper bound of R2* [1/s]")
    t2star_max: float = Field(2.0, gt=0, description="upper bound of T2* [s]")


class NonlinearParams(LogLinearParams):
    """Parameters of the nonlinear fit."""

    steps: int = Field(12, ge=1, le=100, description="Gauss-Newton steps")


class DecayFitResult(NamedTuple):
    """R2* [1/s], T2* [s], s0 [unit of the magnitude], standard deviation of R2* [1/s], each (x, y, z)."""

    r2star: Array
    t2star: Array
    s0: Array
    r2star_sd: Array


def log_linear(
    magnitude: Array,
    mask: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: LogLinearParams,
    *,
    device: Device,
) -> DecayFitResult:
    """Fit a weighted line to the log magnitude (x, y, z, echo) over `echo_times` (echo,) [s] inside `mask`.

    Raises
    ------
    InputError
        For a single echo, two echoes without `noise`, shapes or echo times that do not match, an empty mask.
    """
    return _Fit(magnitude, mask, echo_times, grid, params, device).run()


def nonlinear(
    magnitude: Array,
    mask: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: NonlinearParams,
    *,
    device: Device,
) -> DecayFitResult:
    """Fit the magnitude (x, y, z, echo) by least squares over `echo_times` (echo,) [s] inside `mask`.

    Raises
    ------
    InputError
        As :func:`log_linear`.
    """
    return _Fit(magnitude, mask, echo_times, grid, params, device).run(params.steps)


class _Fit:
    """Echoes on the device, scaled to a largest magnitude of 1, and the maps of a fit."""

    def __init__(
        self,
        magnitude: Array,
        mask: Array,
        echo_times: tuple[float, ...],
        grid: Grid,
        params: LogLinearParams,
        device: Device,
    ) -> None:
        self.times = check_series(grid, echo_times, magnitude=magnitude)
        if len(self.times) == 1:
            raise InputError("R2* needs at least two echoes, got one", field="EchoTime")
        if len(self.times) == 2 and params.noise is None:
            raise InputError(
                "two echoes leave no residual from which to estimate the noise: give noise, or use arlo",
                field="EchoTime",
            )
        self.grid, self.params, self.device = grid, params, device
        signal = echo_first(magnitude, device).reshape(len(self.times), -1)
        inside = checked_mask(mask, grid, device).reshape(-1)
        largest = float(device.xp.where(inside > 0, signal[0], np.float32(0)).max())
        self.scale = 1.0 / largest if largest > 0 else 1.0
        self.maps = {name: device.empty(tuple(inside.shape)) for name in _MAPS}
        self.arguments: dict[str, Any] = {
            **self.maps,
            "magnitude": signal,
            "mask": inside,
            "times": device.asarray(np.asarray(self.times)),
            "scale": self.scale,
            "largest": params.r2star_max,
            "longest": params.t2star_max,
        }

    def run(self, steps: int = 0) -> DecayFitResult:
        """Fit, and fit again with the noise floor if it is requested and the noise had to be estimated."""
        given = None if self.params.noise is None else self.params.noise * self.scale
        floor = given if self.params.noise_floor else None
        self._fit(floor or 0.0, steps)
        noise = given if given is not None else self._noise()
        if self.params.noise_floor and given is None:
            self._fit(noise, steps)
        information = self.maps["information"]
        seen = information > 0
        deviation = self.maps["residual"]
        deviation[:] = 0
        deviation[seen] = np.float32(noise) / information[seen] ** np.float32(0.5)
        maps = (self.maps["r2star"], self.maps["t2star"], self.maps["s0"], deviation)
        return DecayFitResult(*(array.reshape(self.grid.shape) for array in maps))

    def _fit(self, noise: float, steps: int) -> None:
        launch(LOG_LINEAR_DECAY, self.device, noise_power=2.0 * noise**2, **self.arguments)
        if steps:
            launch(NONLINEAR_DECAY, self.device, noise=noise, iterations=steps, **self.arguments)

    def _noise(self) -> float:
        """Return the noise of the scaled magnitude over the voxels with signal."""
        residual = self.maps["residual"][self.maps["information"] > 0]
        return noise_of_residuals(residual, len(self.times) - 2) if residual.size else 0.0


_UNITS = {"r2star": "1/s", "t2star": "s", "s0": "arbitrary", "r2star_sd": "1/s"}

METHODS = (
    Method(
        stage="relaxometry", name="log_linear", run=log_linear, params=LogLinearParams,
        inputs=("magnitude", "mask", "echo_times"), outputs=_UNITS,
        summary="weighted linear fit of the log magnitude, with standard deviation",
        doi="10.1002/mrm.1910360116", bytes_per_voxel=30, bytes_per_volume=4, within_mask=True,
    ),
    Method(
        stage="relaxometry", name="nonlinear", run=nonlinear, params=NonlinearParams,
        inputs=("magnitude", "mask", "echo_times"), outputs=_UNITS,
        summary="least-squares fit of the magnitude, optionally with noise floor, with standard deviation",
        doi="10.1002/mrm.24607", bytes_per_voxel=30, bytes_per_volume=4, within_mask=True,
    ),
)  # fmt: skip
