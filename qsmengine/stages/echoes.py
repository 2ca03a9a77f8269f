"""Multi-echo inputs of the stages: checked, and laid out with the echo as the first axis."""

from __future__ import annotations

from qsmengine.backend.device import Device
from qsmengine.data import Array, check_echo_times, check_not_empty
from qsmengine.errors import InputError
from qsmengine.grid import Grid


def check_series(grid: Grid, echo_times: tuple[float, ...], **series: Array) -> tuple[float, ...]:
    """Return echo times [s] as floats after checking that each named series is (x, y, z, echo) on `grid`.

    Raises
    ------
    InputError
        For a series of another shape, and for echo times [s] that are not positive and ascending.
    """
    times = check_echo_times(tuple(echo_times))
    expected = (*grid.shape, len(times))
    for name, array in series.items():
        if tuple(array.shape) != expected:
            raise InputError(
                f"{name} has shape {tuple(array.shape)}, grid and echo times need {expected}", field="shape"
            )
    return times


def checked_mask(mask: Array, grid: Grid, device: Device) -> Array:
    """Return the mask (x, y, z) as uint8, 0 or 1, on the device.

    Raises
    ------
    InputError
        For a shape other than the grid's, and for an empty mask.
    """
    if tuple(mask.shape) != grid.shape:
        raise InputError(f"mask has shape {tuple(mask.shape)}, its grid has {grid.shape}", field="mask")
    inside = device.asarray(mask, bool)
    check_not_empty(inside)
    return inside.view("uint8")


def echo_first(series: Array, device: Device) -> Array:
    """Return a series (x, y, z, echo) as C-contiguous float32 (echo, x, y, z) on the device; copy if needed."""
    return device.asarray(series.transpose(3, 0, 1, 2))


def echo_last(series: Array) -> Array:
    """Return a view (x, y, z, echo) of a series (echo, x, y, z), which :func:`echo_first` undoes."""
    return series.transpose(1, 2, 3, 0)
