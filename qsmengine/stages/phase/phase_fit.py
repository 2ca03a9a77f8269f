"""What the fits of phase over echo time share: the run of a fit's kernel, the field's unit, its noise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.kernel import Kernel
from qsmengine.backend.launch import launch
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.echoes import check_series, checked_mask, echo_first
from qsmengine.stages.noise import median, median_magnitude, noise_of_residuals
from qsmengine.units import ppm_per_rad

MAGNITUDE_FLOOR = 1e-3
"""Smallest magnitude that counts, relative to the median in the mask."""
NOISE_VOXELS = 1 << 17
"""Voxels that the noise is found from, at most about twice as many."""
MILLISECONDS = 1e3
"""Times are [ms] in the fits."""


class FieldResult(NamedTuple):
    """Total field (x, y, z) [ppm] and its noise (x, y, z) [ppm] (relative below three echoes)."""

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
        noise *= np.float32(unit * _image_noise(kernel, phase, weights, selected, device, **shared))
    else:
        noise *= np.float32(1.0 / median(noise[selected]))
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


def _image_noise(
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
