"""Common parts of the fits of phase over echo time: kernel launch, unit of the field, noise."""

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
"""Lower bound of the magnitude relative to its median in the mask."""
NOISE_VOXELS = 1 << 17
"""Number of voxels from which the noise is estimated, within a factor of about two."""
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
    """Return field and noise [ppm] by the kernel of a fit; `options` are its further arguments.

    Raises
    ------
    InputError
        For shapes or echo times that do not match, an empty mask, a magnitude that is 0 in most of it, a
        missing field strength, or a request to fit an offset to one echo.
    """
    times = check_series(grid, echo_times, unwrapped=unwrapped, magnitude=magnitude)
    if offset and len(times) == 1:
        raise InputError("one echo does not determine a phase offset: fit without it", field="EchoTime")
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
    """Return slope [rad/ms], information and residual (n,) of series (echo, n)."""
    slope, information, residual = (device.empty(tuple(mask.shape)) for _ in range(3))
    launch(
        kernel, device, phase=phase, magnitude=magnitude, mask=mask, slope=slope, information=information,
        residual=residual, **options,
    )  # fmt: skip
    return slope, information, residual


def _noise_over_echoes(
    kernel: Kernel, phase: Array, magnitude: Array, selected: Array, device: Device, **options: Any
) -> float:
    """Return the noise of the scaled magnitude, from the residuals of a fit with offset in a sample of voxels.

    The offset keeps a phase offset that was not fully removed from counting as noise.
    """
    xp = device.xp
    voxels = xp.flatnonzero(selected)
    voxels = voxels[:: max(1, len(voxels) // NOISE_VOXELS)]
    angle, size = (device.asarray(xp.take(series, voxels, axis=1)) for series in (phase, magnitude))
    everywhere = device.zeros((len(voxels),), np.uint8) + np.uint8(1)
    *_, residual = _fit(kernel, angle, size, everywhere, device, with_offset=1, **options)
    return noise_of_residuals(residual, len(phase) - 2)


def noise_over_neighbours(phase: Array, magnitude: Array, inside: Array) -> float:
    """Return the noise of the complex signal, in the magnitude's unit, from the phase's high frequencies.

    Fourth differences along all three axes remove a smooth phase and multiply the noise by sqrt(70) per axis.
    Their median, times the magnitude, gives the noise of the signal. Structure increases it, so the lowest
    value of all echoes is used. 0 if fewer than 50 voxels have their whole neighbourhood inside.

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
    """Return the five views of `array` along `axis` that a fourth difference combines."""
    ahead = (slice(None),) * axis
    size = array.shape[axis]
    return [array[(*ahead, slice(k, size - 4 + k))] for k in range(5)]
