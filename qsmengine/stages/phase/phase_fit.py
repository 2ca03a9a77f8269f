"""What the fits of phase over echo time share: the run of a fit's kernel, the field's unit, its noise."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from qsmengine.backend.device import Device, array_module
from qsmengine.backend.kernel import Kernel
from qsmengine.backend.launch import launch
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.order_statistics import median
from qsmengine.stages.echoes import check_series, checked_mask, echo_first
from qsmengine.stages.noise import median_magnitude, noise_of_residuals
from qsmengine.units import ppm_per_rad

MAGNITUDE_FLOOR = 1e-3
"""Smallest magnitude that counts, relative to the median in the mask."""
NOISE_VOXELS = 1 << 17
"""Voxels that the noise is found from, at most about twice as many."""
LEAST_VOXELS = 50
FOURTH_DIFFERENCE = (1.0, -4.0, 6.0, -4.0, 1.0)
MEDIAN_OF_HALF_NORMAL = 0.674489750196
MILLISECONDS = 1e3
"""Times are [ms] in the fits."""


class FieldResult(NamedTuple):
    """Total field (x, y, z) [ppm] and its noise (x, y, z) [ppm]."""

    total_field: Array
    noise: Array


def fit_phase(
    kernel: Kernel,
    unwrapped: Array,
    magnitude: Array,
    mask: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    *,
    offset: bool,
    device: Device,
    **options: Any,
) -> FieldResult:
    """Field and noise [ppm] by the kernel of a fit; `options` are its further arguments.

    Raises
    ------
    InputError
        For shapes or echo times that do not fit, an empty mask, a magnitude that is 0 in most of it, a
        missing field strength, or an offset asked for with one echo.
    """
    times = check_series(grid, echo_times, unwrapped=unwrapped, magnitude=magnitude)
    if offset and len(times) == 1:
        raise InputError("one echo does not tell a phase offset: fit without it", field="EchoTime")
    unit = ppm_per_rad(grid.required_field_strength, 1.0 / MILLISECONDS)
    phase, weights = echo_first(unwrapped, device), echo_first(magnitude, device)
    inside = checked_mask(mask, grid, device)
    shape = tuple(inside.shape)
    phase, weights, mask = phase.reshape(len(times), -1), weights.reshape(len(times), -1), inside.reshape(-1)
    shared: dict[str, Any] = {
        "times": device.asarray(np.asarray(times) * MILLISECONDS),
        "scale": 1.0 / median_magnitude(weights[0], mask),
        "floor": MAGNITUDE_FLOOR,
        **options,
    }
    slope, information, _ = _fit(kernel, phase, weights, mask, device, with_offset=int(offset), **shared)
    slope *= np.float32(unit)
    selected = mask > 0
    noise = information
    noise[selected] = np.float32(1) / information[selected] ** np.float32(0.5)
    if len(times) >= 3:
        sigma = _noise_over_echoes(kernel, phase, weights, selected, device, **shared)
    else:
        series = (len(times), *shape)
        sigma = shared["scale"] * noise_over_neighbours(phase.reshape(series), weights.reshape(series), inside)
    noise *= np.float32(unit * sigma if sigma > 0 else 1.0 / median(noise[selected]))
    return FieldResult(slope.reshape(shape), noise.reshape(shape))


def _fit(
    kernel: Kernel, phase: Array, magnitude: Array, mask: Array, device: Device, **options: Any
) -> tuple[Array, Array, Array]:
    """Slope [rad/ms], information and residual (n,) of series (echo, n)."""
    slope, information, residual = (device.empty(tuple(mask.shape)) for _ in range(3))
    launch(
        kernel, device, phase=phase, magnitude=magnitude, mask=mask, slope=slope, information=information,
        residual=residual, **options,
    )  # fmt: skip
    return slope, information, residual


def _noise_over_echoes(
    kernel: Kernel, phase: Array, magnitude: Array, selected: Array, device: Device, **options: Any
) -> float:
    """Noise of the scaled magnitude, from what a fit with an offset leaves over in a sample of the voxels.

    An offset that was not removed fully is the same at every echo, hence no noise.
    """
    xp = device.xp
    voxels = xp.flatnonzero(selected)
    voxels = voxels[:: max(1, len(voxels) // NOISE_VOXELS)]
    angle, size = (device.asarray(xp.take(series, voxels, axis=1)) for series in (phase, magnitude))
    everywhere = device.zeros((len(voxels),), np.uint8) + np.uint8(1)
    *_, residual = _fit(kernel, angle, size, everywhere, device, with_offset=1, **options)
    return noise_of_residuals(residual, len(phase) - 2)


def noise_over_neighbours(phase: Array, magnitude: Array, inside: Array) -> float:
    """Noise of the complex signal, in the magnitude's unit, from what unwrapped phase has of high frequency.

    Fourth differences along all three axes leave of a smooth phase the noise, times sqrt(70) for each axis;
    their median, times the magnitude, is that of the signal's noise. Structure adds to it, so the echo that has
    least counts. 0 where fewer than 50 voxels have their neighbourhood inside.

    Parameters
    ----------
    phase, magnitude
        (echo, x, y, z), [rad] and any unit.
    inside
        (x, y, z), not 0 in the mask.
    """
    xp = array_module(phase)
    mask = inside > 0
    usable, centre = mask, [slice(None)] * 3
    axes = [axis for axis in range(3) if mask.shape[axis] > len(FOURTH_DIFFERENCE)]
    for axis in axes:
        parts = _shifted(usable, axis)
        usable = parts[0] & parts[1] & parts[2] & parts[3] & parts[4]
        centre[axis] = slice(2, -2)
    if int(usable.sum()) < LEAST_VOXELS:
        return 0.0
    found = []
    for angle, size in zip(phase, magnitude, strict=True):
        detail = xp.where(mask, angle, np.float32(0))
        for axis in axes:
            parts = _shifted(detail, axis)
            detail = sum(np.float32(c) * part for c, part in zip(FOURTH_DIFFERENCE, parts, strict=True))
        found.append(median(abs(detail[usable]) * size[tuple(centre)][usable]))
    return min(found) / (MEDIAN_OF_HALF_NORMAL * math.sqrt(70.0) ** len(axes))


def _shifted(array: Array, axis: int) -> list[Array]:
    """The five views of `array` along `axis` that a fourth difference combines."""
    ahead = (slice(None),) * axis
    size = array.shape[axis]
    return [array[(*ahead, slice(k, size - 4 + k))] for k in range(5)]
