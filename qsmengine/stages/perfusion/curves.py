"""Time axis and curves that the perfusion stages share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.diffusion.planes import Planes, as_planes
from qsmengine.stages.echoes import checked_mask

LEAST_FRAMES = 20
"""Fewest frames of a series that can hold a baseline, the first pass, and what follows it."""
LONGEST_STEP = 10.0
"""Longest time between frames [s]; a longer one is probably in milliseconds."""
UNEVEN = 1e-3
"""Largest deviation from the mean time between frames, relative to it."""


class Curves(NamedTuple):
    """Curves of a series on a device, one plane per frame.

    `planes` (frame, voxel) with the image's memory order; `mask` (voxel,) uint8; `step` time between frames
    [s].
    """

    planes: Planes
    mask: Array
    step: float

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.planes.array.shape[0])

    @property
    def voxels(self) -> int:
        """Number of voxels of the image."""
        return int(self.planes.array.shape[1])


def frame_step(frame_times: tuple[float, ...]) -> float:
    """Return the time between frames [s] of evenly spaced `frame_times` (frame,) [s].

    Raises
    ------
    InputError
        For fewer than 20 frames, and for times that are not evenly spaced, ascending and in seconds.
    """
    times = np.asarray(frame_times, dtype=np.float64)
    if times.size < LEAST_FRAMES:
        raise InputError(
            f"{times.size} frames: a DSC series needs at least {LEAST_FRAMES}, before and after the bolus",
            field="frames",
        )
    steps = np.diff(times)
    step = float(steps.mean())
    if not (np.isfinite(times).all() and step > 0):
        raise InputError("frame times must be ascending numbers of seconds", field="RepetitionTime")
    if step > LONGEST_STEP:
        raise InputError(
            f"{step:g} s between frames: the repetition time is in seconds"
            f"{f'; if it is in milliseconds, use {step / 1000:g}' if step >= 100 else ''}",
            field="RepetitionTime",
        )
    if np.abs(steps - step).max() > UNEVEN * step:
        raise InputError("frame times must be evenly spaced", field="RepetitionTime")
    return step


def curves_of(series: Array, mask: Array, frame_times: tuple[float, ...], grid: Grid, device: Device) -> Curves:
    """Bring a series (x, y, z, frame) and its mask (x, y, z) into planes on the device.

    Raises
    ------
    InputError
        As :func:`frame_step`; for shapes that do not match and an empty mask.
    """
    step = frame_step(frame_times)
    if series.ndim != 4 or tuple(series.shape[:3]) != grid.shape:
        raise InputError(f"a series of shape {tuple(series.shape)} does not fit the grid {grid.shape}")
    if series.shape[3] != len(frame_times):
        raise InputError(f"{series.shape[3]} volumes, {len(frame_times)} frame times", field="frame_times")
    planes = as_planes(series, device)
    inside = device.asarray(planes.flatten(checked_mask(mask, grid, device)), np.uint8)
    return Curves(planes, inside, step)
