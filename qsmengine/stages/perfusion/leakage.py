"""Correction for agent that leaves the vessels.

Leaked agent adds T2* effects (the curve stays high) or T1 effects (it falls below the baseline). With the
mean curve Rbar of voxels without leakage, each curve is described by

    dR2*(t) = K1 Rbar(t) - K2 int_0^t Rbar(s) exp(-kep (t - s)) ds

and K2 times the integral is added to it. `bsw` takes kep = 0: nothing flows back (Boxerman, Schmainda and
Weisskoff). `bidirectional` takes for each voxel the best of a grid of kep. The normal equations are the same
for all voxels.

Voxels without leakage are those whose tail (mean from 20 s after the peak of the mask's mean curve on, or of
the last 10 frames if these are fewer) is typical for their area: it differs from q area, where q is the
ratio of their medians over the mask, by at most 2.5 times the larger of its standard error (from the noise at
baseline) and the robust spread of this difference, or by 0.0015/s times the area under the curve. Rbar is
their mean, without vessels, which have more than three times the median area.

The model takes any difference from Rbar's shape for leakage, also that of another transit time: with 4 s in
grey and 5 s in white matter, it turns a ratio of 2.0 of their volumes into 2.2. Voxels without leakage by the
rule above are therefore left as they are, unless `everywhere` asks for the textbook form, and so are those
where |K2| is below `significance` standard errors, from the residuals of the fit.

References: Welker et al. 2015, 10.3174/ajnr.A4341 (review of the correction); Leu et al. 2016,
10.1002/mrm.25906 (bidirectional).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.leakage import LEAKAGE_FIT
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.order_statistics import median
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params
from qsmengine.stages.perfusion.curves import Curves, curves_of
from qsmengine.stages.perfusion.maps import VESSEL, areas_of, mean_curve
from qsmengine.stages.perfusion.transform import FloatArray

INPUTS = ("dr2star", "dr2star_sd", "mask", "frame_times")
OUTPUTS = {"corrected": "1/s", "k2": "1/s"}
_TAIL = 10
_AFTER = 20.0
_DEVIATIONS = np.float32(2.5)
_NEGLIGIBLE = 1.5e-3
_MAD = 1.4826


class LeakageParams(Params):
    """Parameters that both corrections share."""

    significance: float = Field(
        1.0, ge=0, le=10, description="smallest K2, in standard errors, for which a curve is corrected"
    )
    everywhere: bool = Field(False, description="correct every voxel, also those whose tail is typical")


class BidirectionalParams(LeakageParams):
    """Parameters of the bidirectional correction."""

    largest_kep: float = Field(0.15, gt=0, le=1, description="largest rate of backflow kep tried [1/s]")
    kep_steps: int = Field(30, ge=2, le=200, description="steps of kep from 0 to the largest")


class LeakageResult(NamedTuple):
    """``corrected`` dR2* (x, y, z, frame) [1/s] and leakage ``k2`` (x, y, z) [1/s], positive for T1 effects."""

    corrected: Array
    k2: Array


class BidirectionalResult(NamedTuple):
    """As :class:`LeakageResult`, with the rate of backflow ``kep`` (x, y, z) [1/s]."""

    corrected: Array
    k2: Array
    kep: Array


def bsw(
    dr2star: Array,
    dr2star_sd: Array,
    mask: Array,
    frame_times: tuple[float, ...],
    grid: Grid,
    params: LeakageParams,
    *,
    device: Device,
) -> LeakageResult:
    """Correct `dr2star` (x, y, z, frame) [1/s] inside `mask` for leakage without backflow.

    `dr2star_sd` (x, y, z) [1/s] at baseline; `frame_times` (frame,) [s].

    Raises
    ------
    InputError
        For shapes that do not match, an empty mask, and a mask without a passage.
    """
    curves = curves_of(dr2star, mask, frame_times, grid, device)
    corrected, k2, _ = _fit(curves, dr2star_sd, np.zeros(1), params, device)
    return LeakageResult(corrected, k2)


def bidirectional(
    dr2star: Array,
    dr2star_sd: Array,
    mask: Array,
    frame_times: tuple[float, ...],
    grid: Grid,
    params: BidirectionalParams,
    *,
    device: Device,
) -> BidirectionalResult:
    """Correct `dr2star` (x, y, z, frame) [1/s] inside `mask` for leakage with backflow.

    `dr2star_sd` (x, y, z) [1/s] at baseline; `frame_times` (frame,) [s].

    Raises
    ------
    InputError
        As :func:`bsw`.
    """
    curves = curves_of(dr2star, mask, frame_times, grid, device)
    rates = np.linspace(0.0, params.largest_kep, params.kep_steps + 1)
    corrected, k2, setting = _fit(curves, dr2star_sd, rates, params, device)
    kep = setting * np.float32(params.largest_kep / params.kep_steps)
    return BidirectionalResult(corrected, k2, kep)


def _fit(
    curves: Curves, deviation: Array, rates: FloatArray, params: LeakageParams, device: Device
) -> tuple[Array, Array, Array]:
    area = areas_of(curves)
    usual = without_leakage(curves, area, deviation, device)
    reference = reference_curve(curves, area, usual)
    leaked = leaked_curves(reference, rates, curves.step)
    corrected = device.empty((curves.frames, curves.voxels))
    k2, setting = device.empty((curves.voxels,)), device.empty((curves.voxels,))
    launch(
        LEAKAGE_FIT,
        device,
        change=curves.planes.array,
        mask=curves.mask,
        open=curves.mask if params.everywhere else (curves.mask & ~usual.view(np.uint8)),
        reference=device.asarray(reference),
        leaked=device.asarray(leaked),
        inverse=device.asarray(_inverses(reference, leaked)),
        corrected=corrected,
        k2=k2,
        setting=setting,
        significance=params.significance,
    )
    image = curves.planes.unflatten
    return image(corrected), image(k2), image(setting)


def without_leakage(curves: Curves, area: Array, deviation: Array, device: Device) -> Array:
    """Return the voxels (voxel,) bool of the mask whose tail is typical for their `area` (voxel,).

    Raises
    ------
    InputError
        If the median area of the mask is not positive.
    """
    xp = device.xp
    inside = curves.mask != 0
    middle = median(area[inside])
    if not middle > 0:
        raise InputError(
            "most curves of the mask have a negative area: there is no passage of an agent", field="dr2star"
        )
    inside &= area <= np.float32(VESSEL * middle)
    peak = int(mean_curve(curves, inside).argmax())
    count = max(curves.frames - peak - round(_AFTER / curves.step), _TAIL)
    tail = curves.planes.array[-count:].mean(axis=0)
    typical = median(tail[inside]) / median(area[inside])
    away = xp.abs(tail - np.float32(typical) * area)
    spread = np.float32(_MAD * median(away[inside]))
    error = xp.ascontiguousarray(curves.planes.flatten(device.asarray(deviation))) / np.float32(
        math.sqrt(count)
    )
    limit = xp.maximum(_DEVIATIONS * xp.maximum(error, spread), np.float32(_NEGLIGIBLE * curves.step) * area)
    usual: Array = (curves.mask != 0) & (away <= limit)
    return usual


def reference_curve(curves: Curves, area: Array, usual: Array) -> FloatArray:
    """Return the mean curve Rbar (frame,) [1/s] of the voxels `usual` (voxel,) bool without vessels."""
    return mean_curve(curves, usual & (area <= np.float32(VESSEL * median(area[usual]))))


def leaked_curves(reference: FloatArray, rates: FloatArray, step: float) -> FloatArray:
    """Return int_0^t Rbar(s) exp(-kep (t - s)) ds (rate, frame) by the trapezoidal rule.

    `rates` kep [1/s].
    """
    kept = np.exp(-rates * step)
    leaked = np.zeros((rates.size, reference.size))
    for k in range(1, reference.size):
        leaked[:, k] = kept * leaked[:, k - 1] + 0.5 * step * (reference[k] + kept * reference[k - 1])
    return leaked


def _inverses(reference: FloatArray, leaked: FloatArray) -> FloatArray:
    """Return the elements 00, 01, 11 (rate, 3) of the inverses of the normal matrices."""
    n00, n01 = float(reference @ reference), leaked @ reference
    n11 = (leaked * leaked).sum(axis=1)
    determinant = n00 * n11 - n01 * n01
    return np.stack([n11 / determinant, -n01 / determinant, n00 / determinant], axis=1)


METHODS = (
    Method(
        stage="leakage", name="bsw", run=bsw, params=LeakageParams, inputs=INPUTS, outputs=OUTPUTS,
        summary="leakage without backflow (Boxerman, Schmainda, Weisskoff)",
        doi="10.3174/ajnr.A4341", bytes_per_voxel=100, bytes_per_volume=8,
    ),
    Method(
        stage="leakage", name="bidirectional", run=bidirectional, params=BidirectionalParams, inputs=INPUTS,
        outputs={**OUTPUTS, "kep": "1/s"}, summary="leakage with backflow, best of a grid of rates",
        doi="10.1002/mrm.25906", bytes_per_voxel=100, bytes_per_volume=8,
    ),
)  # fmt: skip
