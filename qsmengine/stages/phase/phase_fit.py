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
    slope, information, residual = (device.empty(shape) for _ in range(3))
    launch(
        kernel,
        device,
        phase=phase.reshape(len(times), -1),
        magnitude=weights.reshape(len(times), -1),
        mask=inside.reshape(-1),
        times=device.asarray(np.asarray(times) * MILLISECONDS),
        slope=slope.reshape(-1),
        information=information.reshape(-1),
        residual=residual.reshape(-1),
        scale=1.0 / median_magnitude(weights[0], inside),
        floor=MAGNITUDE_FLOOR,
        with_offset=int(offset),
        **options,
    )
    slope *= np.float32(unit)
    freedom = len(times) - 1 - int(offset)
    noise = _field_noise(information, residual, inside, freedom, unit if len(times) >= 3 else None)
    return FieldResult(slope, noise)


def _field_noise(information: Array, residual: Array, inside: Array, freedom: int, unit: float | None) -> Array:
    """Standard deviation of the field in the unit of `unit` [per rad/ms]; None: relative, median 1.

    `information` (whose memory is used for the result) and `residual` are those of the fits' kernels.
    """
    selected = inside > 0
    noise = information
    noise[selected] = np.float32(1) / information[selected] ** np.float32(0.5)
    if unit is None:
        noise *= np.float32(1.0 / median(noise[selected]))
    else:
        noise *= np.float32(unit * noise_of_residuals(residual[selected], freedom))
    return noise
