"""R2 from a train of spin echoes with imperfect refocusing, by extended phase graphs.

Refocusing pulses below 180 degrees make stimulated echoes: the first echo is too small, later ones are too
large, and an exponential overestimates T2. The train is simulated for 100 values of T2 (4 ms to 2.5 s, equal
steps of ln T2) and 81 of B1 (0.4 to 1.4), which scales the excitation and the refocusing pulses. Every voxel
is fitted by

    s(n) = A abs(table(n; ln T2, B1))

with cubic interpolation: the best of a coarse grid, then damped Gauss-Newton. With `b1` the field is that of
the map; without, it is fitted between 0.4 and 0.99, as pulses of 180 (1 + d) and 180 (1 - d) degrees make
nearly the same train. T1 is fixed; its effect on R2 is small while refocusing pulses exceed 120 degrees.

The standard deviation of R2 is a first-order estimate. The noise, the standard deviation of the real part, is
given or estimated from the residuals as one number for the image. Voxels without signal and those outside the
mask are 0.

References: Weigel 2015, 10.1002/jmri.24619; Lebel & Wilman 2010, 10.1002/mrm.22487 (fit of T2 and B1 to spin
echoes).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.spin_echo import SPIN_ECHO_FIT
from qsmengine.data import Array, check_echo_times
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.stages.echoes import checked_mask, echo_first
from qsmengine.stages.method import Method
from qsmengine.stages.noise import noise_of_residuals
from qsmengine.stages.params import Field, Params
from qsmengine.stages.relaxometry.phase_graph import PhaseGraph

T2_RANGE, T2_COUNT = (0.004, 2.5), 100
"""Range of T2 [s] and number of values."""
B1_RANGE, B1_COUNT = (0.4, 1.4), 81
"""Range of B1 and number of values."""
LOG_STEP = math.log(T2_RANGE[1] / T2_RANGE[0]) / (T2_COUNT - 1)
B1_STEP = (B1_RANGE[1] - B1_RANGE[0]) / (B1_COUNT - 1)
"""Steps of ln T2 and of B1."""
STRIDES = (5, 8)
"""Spacing of the coarse grid in nodes of T2 and of B1."""
HIGHEST = 0.99
"""Largest fitted B1. At 1 the train does not change with B1 to first order, and a search would end there."""
EVEN = 0.02
"""Relative difference up to which echo spacings count as equal."""
FEWEST = 4
"""Fewest echoes: amplitude, T2 and B1 leave one for the noise."""


_MAPS = ("decay", "fitted", "amplitude", "variance", "residual")


class EpgParams(Params):
    """Parameters of the fit by extended phase graphs."""

    t1: float = Field(1.0, gt=0, le=10, description="T1 of the simulation [s]")
    excitation: float = Field(90.0, gt=0, le=180, description="nominal angle of the excitation [deg]")
    refocusing: float = Field(180.0, gt=0, le=180, description="nominal angle of the refocusing pulses [deg]")
    noise: float | None = Field(
        None, gt=0, description="noise of the real part [unit of the signal]; none: from the residuals"
    )
    steps: int = Field(15, ge=1, le=100, description="Gauss-Newton steps")


class SpinEchoResult(NamedTuple):
    """Maps of a fit, each (x, y, z).

    R2 [1/s], T2 [s], amplitude [unit of the signal], B1 of the fit [1], and the standard deviation of R2 [1/s].
    """

    r2: Array
    t2: Array
    spin_amplitude: Array
    refocusing_b1: Array
    r2_sd: Array


def epg(
    spin_echoes: Array,
    mask: Array,
    spin_echo_times: tuple[float, ...],
    grid: Grid,
    params: EpgParams,
    *,
    b1: Array | None = None,
    device: Device,
) -> SpinEchoResult:
    """Fit R2 to spin echoes.

    Parameters
    ----------
    spin_echoes
        (x, y, z, echo) magnitude, any unit.
    mask
        (x, y, z).
    spin_echo_times
        (echo,) [s], multiples of the first.
    grid, params, device
        Geometry, parameters and compute device.
    b1
        (x, y, z) ratio of the actual to the nominal flip angle; None: fitted.

    Raises
    ------
    InputError
        For fewer than four echoes, echo times that are not multiples of their spacing, shapes that do not
        match, B1 outside its range everywhere, and an empty mask.
    """
    spacing, count = echo_spacing(spin_echo_times), len(spin_echo_times)
    expected = (*grid.shape, count)
    if tuple(spin_echoes.shape) != expected:
        raise InputError(
            f"the echoes have shape {tuple(spin_echoes.shape)}, grid and echo times need {expected}",
            field="shape",
        )
    inside = checked_mask(mask, grid, device).reshape(-1)
    field = device.xp.zeros(inside.shape, np.float32)
    if b1 is not None:
        ratio = device.asarray(b1).reshape(-1)
        inside = _with_known_b1(inside, ratio)
        field = (ratio - np.float32(B1_RANGE[0])) / np.float32(B1_STEP)
    signal = echo_first(spin_echoes, device).reshape(count, -1)
    largest = float(device.xp.where(inside > 0, signal.max(axis=0), np.float32(0)).max())
    scale = 1.0 / largest if largest > 0 else 1.0
    maps = {name: device.empty(tuple(inside.shape)) for name in _MAPS}
    angles = np.radians(params.excitation), np.radians(params.refocusing)
    table = device.asarray(train_table(spacing, count, params.t1, *angles))
    launch(
        SPIN_ECHO_FIT, device, signal=signal, mask=inside, table=table, field=field, scale=scale,
        highest=(HIGHEST - B1_RANGE[0]) / B1_STEP, with_field=int(b1 is not None), stride=STRIDES[0],
        field_stride=STRIDES[1], steps=params.steps, **maps,
    )  # fmt: skip
    seen = (inside > 0) & (maps["amplitude"] > 0)
    if params.noise is not None:
        noise = params.noise * scale
    else:
        freedom = count - 2 - int(b1 is None)
        noise = noise_of_residuals(maps["residual"][seen], freedom) if bool(seen.any()) else 0.0
    return _result(maps, seen, noise, grid)


def _with_known_b1(inside: Array, ratio: Array) -> Array:
    """Return the mask (voxel,) without voxels whose B1 is outside the table; InputError if none is left."""
    low, high = B1_RANGE
    known = (inside > 0) & (ratio > np.float32(low)) & (ratio < np.float32(high))
    if not bool(known.any()):
        raise InputError(
            f"no voxel of the mask has B1 between {low:g} and {high:g}; give a ratio to the nominal angle",
            field="b1",
        )
    usable: Array = known.view("uint8")
    return usable


def _result(maps: dict[str, Array], seen: Array, noise: float, grid: Grid) -> SpinEchoResult:
    """Return R2 and its standard deviation from places in the table, for the `noise` of the scaled signal."""
    t2 = maps["decay"] * np.float32(LOG_STEP) + np.float32(np.log(T2_RANGE[0]))
    t2 = np.float32(math.e) ** t2 * seen
    r2, deviation = t2 * 0, t2 * 0
    r2[seen] = np.float32(1) / t2[seen]
    deviation[seen] = np.float32(noise * LOG_STEP) * r2[seen] * maps["variance"][seen] ** np.float32(0.5)
    b1 = (np.float32(B1_RANGE[0]) + np.float32(B1_STEP) * maps["fitted"]) * seen
    found = (r2, t2, maps["amplitude"], b1, deviation)
    return SpinEchoResult(*(image.reshape(grid.shape) for image in found))


def echo_spacing(echo_times: tuple[float, ...]) -> float:
    """Return the spacing [s] of a train whose echoes are at its multiples; raises InputError otherwise."""
    times = check_echo_times(tuple(echo_times))
    if len(times) < FEWEST:
        raise InputError(f"{len(times)} spin echoes; {FEWEST} or more are needed", field="EchoTime")
    spacing = times[-1] / len(times)
    shown = ", ".join(f"{1e3 * time:g}" for time in times)
    if max(abs(time - spacing * k) for k, time in enumerate(times, start=1)) > EVEN * spacing:
        raise InputError(
            f"{shown} ms are not multiples of one spacing; every echo from the first on is needed",
            field="EchoTime",
        )
    return spacing


def train_table(spacing: float, echoes: int, t1: float, excitation: float, refocusing: float) -> FloatArray:
    """Return echoes (echo, T2, B1) float32 of a train with refocusing pulses every `spacing` [s].

    `t1` [s]; nominal angles [rad]. The phase of the refocusing pulses is 90 degrees from that of the excitation
    (Carr, Purcell, Meiboom and Gill).
    """
    t2, b1 = np.meshgrid(np.geomspace(*T2_RANGE, T2_COUNT), np.linspace(*B1_RANGE, B1_COUNT), indexing="ij")
    decay, field = t2.ravel(), b1.ravel()
    e1, e2 = np.full(decay.size, np.exp(-0.5 * spacing / t1)), np.exp(-0.5 * spacing / decay)
    graph = PhaseGraph.equilibrium(2 * echoes + 2, decay.size).rotated(excitation * field, np.pi / 2)
    found = np.empty((echoes, decay.size))
    for echo in range(echoes):
        graph = graph.relaxed(e1, e2).dephased().rotated(refocusing * field, 0.0).relaxed(e1, e2).dephased()
        found[echo] = graph.plus[0].real
    return np.ascontiguousarray(found.reshape(echoes, T2_COUNT, B1_COUNT), dtype=np.float32)


METHODS = (
    Method(
        stage="spin-echo-decay", name="epg", run=epg, params=EpgParams,
        inputs=("spin_echoes", "mask", "spin_echo_times", "b1?"),
        outputs={"r2": "1/s", "t2": "s", "spin_amplitude": "arbitrary", "refocusing_b1": "1", "r2_sd": "1/s"},
        summary="R2 and B1 by extended phase graphs, with standard deviation",
        doi="10.1002/mrm.22487", bytes_per_voxel=160, bytes_per_volume=8, within_mask=True,
    ),
)  # fmt: skip
