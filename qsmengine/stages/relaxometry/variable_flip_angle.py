"""R1 and the amplitude from spoiled gradient echoes at several flip angles.

Model, with the flip angle a = B1 a_nominal and E1 = exp(-TR R1):

    s = A sin(a) (1 - E1) / (1 - E1 cos a) exp(-R2* TE).

With x = tan(a / 2) and tau = tanh(TR R1 / 2) the factor of A is f = 2 x tau / (tau + x^2), so that the signals
S at TE = 0 lie on a line,

    S / (2 x) = A - z / R1,   z = S x / TR',   TR' = 2 tau / R1.

`linear` fits it with the weights f^2 and repeats the fit with the R1 found for TR' and the weights; through two
flip angles the line is exact, also for unlike repetition times. `nonlinear` starts there and minimises sum_a
(W_a / S_a^2) (S_a - A f_a)^2 by damped Gauss-Newton; W_a is the sum of s^2 over the echoes of flip angle a.

With `r2star` every echo is extrapolated to TE = 0 by it; without, A contains the decay up to the echo, and all
flip angles must have the same echo times. B1 is the ratio of the actual to the nominal flip angle; an error of
1 % in B1 makes R1 wrong by 2 %. Without `b1` it is 1 everywhere. Voxels in which B1 is not between 0.2 and 3
are left out.

R1 is clamped to 1 / t1_max .. r1_max and T1 = 1 / R1. The standard deviations are first-order estimates; with W
the echoes' weights and g = d log f / d R1 they are, without decay, noise / sqrt(sum W (g - mean g)^2) for R1.
The noise, the standard deviation of the real part, is given, or estimated from the residuals of the fits. Two
flip angles with one echo each leave no residual; there it is estimated from differences of neighbours in the
first volume. `spoiling_increment` switches on the correction of
:mod:`qsmengine.stages.relaxometry.rf_spoiling`; A is not corrected. Voxels without signal and those outside the
mask are 0 in all maps.

References: Dathe & Helms 2010, 10.1088/0031-9155/55/15/003 (half-angle form); Edwards 2026, 10.1002/mrm.70174
(unlike repetition times); Chang et al. 2008, 10.1002/mrm.21669 (weights); Helms et al. 2008, 10.1002/mrm.21542.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from qsmengine.backend.device import Device, resolve_device
from qsmengine.backend.launch import launch
from qsmengine.backend.pieces import in_pieces
from qsmengine.backend.signatures.spoiled import SPOILED_FIT
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.noise_level import noise_level
from qsmengine.ops.order_statistics import median
from qsmengine.stages.method import Method
from qsmengine.stages.noise import noise_of_residuals
from qsmengine.stages.params import Field, Params
from qsmengine.stages.relaxometry.flip_angles import TINY, Protocol, Volumes, laid_out
from qsmengine.stages.relaxometry.rf_spoiling import SpoilingTable, spoiling_table

B1_LIMITS = (0.2, 3.0)
"""Plausible values of B1 relative to its nominal value."""
PASSES = ((0.03, 2), (0.1, 4), (float("inf"), 16))
"""Largest repetition time [s], and the passes after which the line has converged to single precision."""
WEIGHTED_PASSES = 4
"""Least number of passes with more than two flip angles, whose weights depend on R1."""
_MAPS = ("r1", "amplitude", "r1_variance", "log_variance", "residual")


class LinearParams(Params):
    """Parameters of the weighted line."""

    noise: float | None = Field(
        None, gt=0, description="noise of the real part [unit of the signal]; none: from the images"
    )
    t1_max: float = Field(10.0, gt=0, description="upper bound of T1 [s]")
    r1_max: float = Field(20.0, gt=0, description="upper bound of R1 [1/s]")
    spoiling_increment: float | None = Field(
        None, gt=0, lt=360, description="phase increment of RF spoiling [deg] for its correction; none: off"
    )
    spoiling_t2: float = Field(0.08, gt=0, le=1, description="T2 for the correction of spoiling [s]")


class NonlinearParams(LinearParams):
    """Parameters of the nonlinear fit."""

    steps: int = Field(8, ge=1, le=100, description="Gauss-Newton steps")


class FlipAngleResult(NamedTuple):
    """Maps of a fit, each (x, y, z).

    R1 [1/s], T1 [s], amplitude [unit of the signal], and the standard deviations of R1 and of the amplitude.
    """

    r1: Array
    t1: Array
    amplitude: Array
    r1_sd: Array
    amplitude_sd: Array


def linear(
    spoiled: Array,
    mask: Array,
    flip_angles: tuple[float, ...],
    repetition_times: tuple[float, ...],
    spoiled_times: tuple[float, ...],
    grid: Grid,
    params: LinearParams,
    *,
    b1: Array | None = None,
    r2star: Array | None = None,
    device: Device,
) -> FlipAngleResult:
    """Fit R1 and the amplitude of a series (x, y, z, volume) by a weighted line.

    Parameters
    ----------
    spoiled
        (x, y, z, volume), any unit.
    mask
        (x, y, z).
    flip_angles
        (volume,) nominal [deg].
    repetition_times, spoiled_times
        (volume,) repetition and echo times [s].
    grid, params, device
        Geometry, parameters and compute device.
    b1
        (x, y, z) ratio of the actual to the nominal flip angle; None: 1.
    r2star
        (x, y, z) [1/s]; None: no extrapolation.

    Raises
    ------
    InputError
        For a single flip angle, tables that do not match, B1 in percent, unlike echo times without `r2star`,
        and an empty mask.
    """
    return _fit(
        spoiled, mask, Protocol(flip_angles, repetition_times, spoiled_times), grid, params, b1, r2star, device
    )


def nonlinear(
    spoiled: Array,
    mask: Array,
    flip_angles: tuple[float, ...],
    repetition_times: tuple[float, ...],
    spoiled_times: tuple[float, ...],
    grid: Grid,
    params: NonlinearParams,
    *,
    b1: Array | None = None,
    r2star: Array | None = None,
    device: Device,
) -> FlipAngleResult:
    """Fit R1 and the amplitude of a series by least squares; arguments and errors as for :func:`linear`."""
    return _fit(
        spoiled,
        mask,
        Protocol(flip_angles, repetition_times, spoiled_times),
        grid,
        params,
        b1,
        r2star,
        device,
        params.steps,
    )


def _fit(
    spoiled: Array,
    mask: Array,
    protocol: Protocol,
    grid: Grid,
    params: LinearParams,
    b1: Array | None,
    r2star: Array | None,
    device: Device,
    steps: int = 0,
) -> FlipAngleResult:
    if r2star is None and not protocol.same_mean_echo:
        raise InputError("the flip angles have different echo times: R2* is needed", field="EchoTime")
    ratio, usable = (None, mask) if b1 is None else _checked_b1(b1, mask, device)
    volumes = laid_out(spoiled, usable, protocol, grid, device)
    flat = device.xp.ones(volumes.mask.shape, np.float32) if ratio is None else ratio.reshape(-1)
    decay = None if r2star is None else device.asarray(r2star).reshape(-1)
    maps = _launched(volumes, flat, decay, params, steps)
    noise = _noise(volumes, maps["residual"], decay is not None, grid, params)
    r1, amplitude = maps["r1"], maps["amplitude"]
    r1_sd, amplitude_sd, t1 = maps["r1_variance"], maps["log_variance"], maps["residual"]  # in their memory

    def finish(r1: Array, amplitude: Array, r1_sd: Array, amplitude_sd: Array, t1: Array) -> None:
        device.xp.sqrt(r1_sd, out=r1_sd)
        r1_sd *= np.float32(noise)
        device.xp.sqrt(amplitude_sd, out=amplitude_sd)
        amplitude_sd *= np.float32(noise) * amplitude
        device.xp.maximum(r1, np.float32(TINY), out=t1)
        device.xp.divide(np.float32(1), t1, out=t1)
        t1 *= r1 > 0

    in_pieces(finish, (r1, amplitude, r1_sd, amplitude_sd, t1), device)
    if params.spoiling_increment is not None:
        table = _table(volumes, params, steps)
        r1, t1, r1_sd = _spoiling_corrected(table, t1, r1_sd, flat, params)
    return FlipAngleResult(*(m.reshape(grid.shape) for m in (r1, t1, amplitude, r1_sd, amplitude_sd)))


def _checked_b1(b1: Array, mask: Array, device: Device) -> tuple[Array, Array]:
    """Return B1 as float32 on the device, and the voxels of the mask in which it is plausible.

    Raises InputError if there are voxels, and none is plausible.
    """
    ratio, inside = device.asarray(b1), device.asarray(mask, bool)
    low, high = (np.float32(limit) for limit in B1_LIMITS)
    usable = device.empty(ratio.shape, bool)

    def find(ratio: Array, inside: Array, usable: Array) -> None:
        usable[...] = inside & (ratio > low) & (ratio < high)

    in_pieces(find, (ratio, inside, usable), device)
    if bool(inside.any()) and not bool(usable.any()):
        typical = median(ratio[inside])
        hint = "; it looks like percent: divide by 100" if 20.0 < typical < 300.0 else ""
        raise InputError(
            f"B1 has the median {typical:g} in the mask; a ratio to the nominal flip angle between "
            f"{B1_LIMITS[0]:g} and {B1_LIMITS[1]:g} is needed{hint}",
            field="b1",
        )
    return ratio, usable


def _launched(
    volumes: Volumes, b1: Array, r2star: Array | None, params: LinearParams, steps: int
) -> dict[str, Array]:
    """Run the kernel on B1 and R2* (voxel,); None stands for no decay."""
    device = volumes.device
    maps = {name: device.empty(tuple(b1.shape)) for name in _MAPS}
    launch(
        SPOILED_FIT,
        device,
        **volumes.tables,
        **maps,
        b1=b1,
        r2star=b1 if r2star is None else r2star,
        flips=volumes.flips,
        repetitions=volumes.repetitions,
        lowest=1.0 / params.t1_max,
        highest=params.r1_max,
        passes=_passes(volumes.protocol),
        steps=steps + 1 if steps else 0,
        decays=int(r2star is not None),
    )
    return maps


def _passes(protocol: Protocol) -> int:
    longest = max(protocol.repetition_times)
    count = next(passes for limit, passes in PASSES if longest <= limit)
    return count if len(protocol.acquisitions) == 2 else max(count, WEIGHTED_PASSES)


def _noise(volumes: Volumes, residual: Array, decays: bool, grid: Grid, params: LinearParams) -> float:
    """Return the noise of the scaled signal."""
    if params.noise is not None:
        return params.noise * volumes.scale
    protocol = volumes.protocol
    measured = len(protocol.flip_angles) if decays else len(protocol.acquisitions)
    freedom = measured - 2 - int(decays and protocol.has_decay)
    if freedom < 1:
        image = volumes.signal[0].reshape(grid.shape)
        return volumes.scale * noise_level(image, volumes.mask.reshape(grid.shape), volumes.device)
    seen = residual[volumes.mask > 0]
    return noise_of_residuals(seen, freedom) if seen.size else 0.0


def _table(volumes: Volumes, params: LinearParams, steps: int) -> SpoilingTable:
    """Simulate the protocol and return the correction of T1 found by the same fit."""
    host = resolve_device("cpu", 1)
    groups = volumes.protocol.acquisitions
    angles = tuple(volumes.protocol.flip_angles[g[0]] for g in groups)
    times = tuple(volumes.protocol.repetition_times[g[0]] for g in groups)
    protocol = Protocol(angles, times, (0.5 * min(times),) * len(angles))

    def apparent(signal: FloatArray, b1: FloatArray) -> FloatArray:
        inside = np.ones(b1.size, np.uint8)
        made = Volumes(protocol, host.asarray(signal), inside, 1.0 / float(signal.max()), host)
        r1 = _launched(made, host.asarray(b1), None, params, steps)["r1"]
        return np.asarray(1.0 / r1, dtype=np.float64)

    increment = float(np.radians(params.spoiling_increment or 0.0))
    return spoiling_table(np.radians(angles), np.asarray(times), params.spoiling_t2, increment, apparent)


def _spoiling_corrected(
    table: SpoilingTable, t1: Array, r1_sd: Array, b1: Array, params: LinearParams
) -> tuple[Array, Array, Array]:
    """Return R1, T1 and the standard deviation of R1 after the correction, within the bounds of the fit."""
    seen = t1 > 0
    found, slope = table.corrected(t1[seen], b1[seen])
    found = found.clip(1.0 / params.r1_max, params.t1_max).astype(np.float32)
    r1, deviation = t1 * 0, t1 * 0
    deviation[seen] = abs(slope) * r1_sd[seen] * (t1[seen] / found) ** 2
    r1[seen] = np.float32(1) / found
    t1[seen] = found
    return r1, t1, deviation


_COMMON: dict[str, Any] = {
    "stage": "flip-angles",
    "inputs": ("spoiled", "mask", "flip_angles", "repetition_times", "spoiled_times", "b1?", "r2star?"),
    "outputs": {"r1": "1/s", "t1": "s", "amplitude": "arbitrary", "r1_sd": "1/s", "amplitude_sd": "arbitrary"},
    "bytes_per_voxel": 60,
    "bytes_per_volume": 8,
    "within_mask": True,
}

METHODS = (
    Method(
        name="linear", run=linear, params=LinearParams, doi="10.1088/0031-9155/55/15/003",
        summary="R1 by a weighted line, exact for two flip angles, with standard deviation", **_COMMON,
    ),
    Method(
        name="nonlinear", run=nonlinear, params=NonlinearParams, doi="10.1002/mrm.21669",
        summary="R1 by least squares from the signals, with standard deviation", **_COMMON,
    ),
)  # fmt: skip
