"""Change of R2* during the passage of a contrast agent.

With the mean S0 and the noise sigma of the frames before the bolus (:mod:`qsmengine.stages.perfusion.timing`):

    dR2*(t) = ln(S0 / S(t)) / TE                                            one echo
    dR2*(t) = [ln(S0_2 / S_2(t)) - ln(S0_1 / S_1(t))] / (TE_2 - TE_1)        two echoes

The second form is free of the T1 shortening that an extravasated agent causes, which acts on both echoes
alike. sigma is 1.4826 times the median absolute deviation, corrected for the number of frames (Croux &
Rousseeuw 1992). Signals below 3 sigma are saturated: they are counted, and S is floored at sigma. The mean of
the logarithm of a noisy signal is low by (sigma / S)^2 / 2; this bias, which would add to the area under long
curves, is removed. Frames before the steady state are 0. The standard deviation of dR2* at baseline is sigma
/ (S0 TE), for two echoes the root of the sum of squares of both, over their distance.

References: Rosen et al. 1990, 10.1002/mrm.1910140211; Welker et al. 2015, 10.3174/ajnr.A4341 (practice, two
echoes).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.bolus import LOG_CONTRAST
from qsmengine.data import Array, check_echo_times
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params
from qsmengine.stages.perfusion.curves import Curves, curves_of
from qsmengine.stages.perfusion.maps import mean_curve
from qsmengine.stages.perfusion.timing import Timing, find_bolus

_SMALL_SAMPLES = (1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107)
"""Corrections of the median absolute deviation of 2 .. 9 samples (Croux & Rousseeuw 1992)."""
_MOST_SATURATED = 0.5
"""Share of the mask above which saturation leaves no usable image."""


class ContrastParams(Params):
    """Parameters of the change of R2*."""

    settle: float = Field(
        5.0, ge=0, le=60, description="time at the start of the series in which the signal is not steady [s]"
    )


class ContrastResult(NamedTuple):
    """Change of R2* and what it was computed from.

    ``dr2star`` (x, y, z, frame) [1/s]; ``s0`` (x, y, z) [unit of the signal]; ``dr2star_sd`` (x, y, z) [1/s],
    the standard deviation at baseline; ``saturated`` (x, y, z), number of saturated frames; ``steady`` [s],
    time of the first frame used; ``arrival`` [s] of the bolus; ``baseline_frames``, number of frames before
    it.
    """

    dr2star: Array
    s0: Array
    dr2star_sd: Array
    saturated: Array
    steady: float
    arrival: float
    baseline_frames: int


class _Logs(NamedTuple):
    change: Array
    s0: Array
    deviation: Array
    saturated: Array


def single_echo(
    dynamic: Array,
    mask: Array,
    frame_times: tuple[float, ...],
    echo_time: float,
    grid: Grid,
    params: ContrastParams,
    *,
    device: Device,
) -> ContrastResult:
    """Return dR2* (x, y, z, frame) [1/s] of `dynamic` (x, y, z, frame), any unit, inside `mask` (x, y, z).

    `frame_times` (frame,) [s], `echo_time` [s].

    Raises
    ------
    InputError
        For fewer than 20 frames, no bolus, fewer than three frames of baseline, and signals that the bolus
        saturates in most of the mask.
    """
    (time,) = check_echo_times((echo_time,))
    curves = curves_of(dynamic, mask, frame_times, grid, device)
    timing = find_bolus(mean_curve(curves), curves.step, params.settle)
    logs = _logs(curves, timing, 1.0 / time, device)
    return _result(logs, curves, timing, frame_times)


def dual_echo(
    dynamic: Array,
    second_dynamic: Array,
    mask: Array,
    frame_times: tuple[float, ...],
    echo_time: float,
    second_echo_time: float,
    grid: Grid,
    params: ContrastParams,
    *,
    device: Device,
) -> ContrastResult:
    """Return dR2* (x, y, z, frame) [1/s] of two echoes (x, y, z, frame), any unit, inside `mask` (x, y, z).

    `frame_times` (frame,) [s], `echo_time` < `second_echo_time` [s]. ``s0`` is that of the first echo.

    Raises
    ------
    InputError
        As :func:`single_echo`; for echo times that are not ascending.
    """
    first_time, second_time = check_echo_times((echo_time, second_echo_time))
    first = curves_of(dynamic, mask, frame_times, grid, device)
    second = curves_of(second_dynamic.transpose(0, 1, 2, 3), mask, frame_times, grid, device)
    if second.planes.order != first.planes.order:
        ordered = device.xp.ascontiguousarray(
            device.asarray(second_dynamic).transpose((3, *first.planes.order))
        )
        second = second._replace(
            planes=first.planes._replace(array=ordered.reshape(first.frames, -1)), mask=first.mask
        )
    timing = find_bolus(mean_curve(second), second.step, params.settle)
    scale = 1.0 / (second_time - first_time)
    early, late = (_logs(curves, timing, scale, device) for curves in (first, second))
    late.change[...] -= early.change
    late.deviation[...] = (late.deviation**2 + early.deviation**2) ** np.float32(0.5)
    saturated = device.xp.maximum(late.saturated, early.saturated)
    return _result(late._replace(s0=early.s0, saturated=saturated), first, timing, frame_times)


def _logs(curves: Curves, timing: Timing, scale: float, device: Device) -> _Logs:
    logs = _Logs(
        device.empty((curves.frames, curves.voxels)), *(device.empty((curves.voxels,)) for _ in range(3))
    )
    launch(
        LOG_CONTRAST,
        device,
        series=curves.planes.array,
        mask=curves.mask,
        **logs._asdict(),
        spread=1.4826 * _small_sample(timing.baseline_end - timing.first),
        scale=scale,
        first=timing.first,
        last=timing.baseline_end,
    )
    return logs


def _small_sample(count: int) -> float:
    """Return the factor that makes the median absolute deviation of `count` samples unbiased."""
    return _SMALL_SAMPLES[count - 2] if count <= 9 else count / (count - 0.8)


def _result(logs: _Logs, curves: Curves, timing: Timing, frame_times: tuple[float, ...]) -> ContrastResult:
    seen = logs.s0 > 0
    count = int(seen.sum())
    if not count:
        raise InputError("no voxel of the mask has a signal before the bolus", field="dynamic")
    share = int((logs.saturated > 0).sum()) / count
    if share > _MOST_SATURATED:
        raise InputError(
            f"the bolus saturates the signal of {100 * share:.0f} % of the mask's voxels (below three times "
            "the noise), so the change of R2* is unknown; use a shorter echo time or less contrast agent",
            field="dynamic",
        )
    image = curves.planes.unflatten
    return ContrastResult(
        image(logs.change), image(logs.s0), image(logs.deviation), image(logs.saturated),
        float(frame_times[timing.first]), float(frame_times[timing.arrival]),
        timing.baseline_end - timing.first,
    )  # fmt: skip


_OUTPUTS = {
    "dr2star": "1/s", "s0": "arbitrary", "dr2star_sd": "1/s", "saturated": "1", "steady": "s", "arrival": "s",
    "baseline_frames": "1",
}  # fmt: skip

METHODS = (
    Method(
        stage="contrast", name="single_echo", run=single_echo, params=ContrastParams,
        inputs=("dynamic", "mask", "frame_times", "echo_time"), outputs=_OUTPUTS,
        summary="change of R2* from one echo, with its noise and saturated frames",
        doi="10.1002/mrm.1910140211", bytes_per_voxel=40, bytes_per_volume=8,
    ),
    Method(
        stage="contrast", name="dual_echo", run=dual_echo, params=ContrastParams,
        inputs=("dynamic", "second_dynamic", "mask", "frame_times", "echo_time", "second_echo_time"),
        outputs=_OUTPUTS, summary="change of R2* from two echoes, free of T1 shortening",
        doi="10.3174/ajnr.A4341", bytes_per_voxel=60, bytes_per_volume=20,
    ),
)  # fmt: skip
