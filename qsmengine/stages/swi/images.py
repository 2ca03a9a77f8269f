"""Common parts of the susceptibility-weighted images: magnitude, phase mask, projection."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from qsmengine.backend.device import Device, array_module
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.params import Field, Length, Params

AXES = {"x": 0, "y": 1, "z": 2}


class SwiParams(Params):
    """Parameters of phase mask and projection."""

    power: float = Field(4.0, gt=0, le=16, description="exponent of the phase mask")
    limit: float = Field(math.pi, gt=0, description="phase at which the mask is 0 [rad]")
    echo_time: float | None = Field(
        None, gt=0, description="echo time of the masked phase [s]; none: that of the last echo"
    )
    slab: Length = Field(16.0, gt=0, description="thickness of the projected slab [mm]")
    slice_axis: Literal["auto", "x", "y", "z"] = Field(
        "auto",
        description="axis of the slices and of the projection; auto: slices follow the longest voxel edge, the "
        "projection the axis nearest to superior-inferior",
    )


class SwiResult(NamedTuple):
    """Susceptibility-weighted image and its minimum-intensity projection, (x, y, z) in magnitude's unit."""

    swi: Array
    minip: Array


def weighted_images(
    magnitude: Array, phase: Array, mask: Array, grid: Grid, params: SwiParams, device: Device
) -> SwiResult:
    """Return magnitude times the mask from `phase` [rad], both (x, y, z), and its projection; 0 outside `mask`.

    The phase mask is 1 for phase <= 0 and (1 - phase / limit)^power above, 0 from the limit on.
    """
    xp = device.xp
    share = xp.clip(np.float32(1) - phase * np.float32(1.0 / params.limit), 0.0, 1.0)
    image = xp.where(mask, magnitude * share ** np.float32(params.power), np.float32(0)).astype(np.float32)
    axis = projection_axis(grid, params.slice_axis)
    return SwiResult(image, projection(image, mask, axis, slab_slices(params.slab, grid.voxel_size[axis])))


def combined_magnitude(magnitude: Array, device: Device) -> Array:
    """Return the root of the sum of squares over the echoes of `magnitude` (x, y, z, echo)."""
    total = device.zeros(tuple(magnitude.shape[:3]))
    for echo in range(magnitude.shape[3]):
        total += device.asarray(magnitude[..., echo]) ** 2
    result: Array = device.xp.sqrt(total)
    return result


def slice_axis(grid: Grid, name: Literal["auto", "x", "y", "z"] = "auto") -> int:
    """Return the array axis along which the slices are stacked.

    "auto" takes the longest voxel edge and, among equal ones, that nearest to superior-inferior, so the storage
    order of an image does not matter.
    """
    if name != "auto":
        return AXES[name]
    longest = max(grid.voxel_size)
    equal = [axis for axis, edge in enumerate(grid.voxel_size) if edge >= longest * (1 - 1e-3)]
    return max(equal, key=_along_the_body(grid).__getitem__)


def projection_axis(grid: Grid, name: Literal["auto", "x", "y", "z"] = "auto") -> int:
    """Return the array axis to project along; "auto" takes that nearest to superior-inferior."""
    return AXES[name] if name != "auto" else max(range(3), key=_along_the_body(grid).__getitem__)


def _along_the_body(grid: Grid) -> list[float]:
    """Return the absolute cosine between each array axis and superior-inferior."""
    axes = grid.affine[:3, :3]
    cosines: list[float] = (np.abs(axes[2]) / np.linalg.norm(axes, axis=0)).tolist()
    return cosines


def slab_slices(thickness: float, edge: float) -> int:
    """Return the number of slices of `edge` [mm] in a slab of `thickness` [mm], at least 1."""
    return max(1, round(thickness / edge))


def projection(image: Array, mask: Array, axis: int, slices: int) -> Array:
    """Return the minimum (x, y, z) over the voxels of `mask` in the slab of `slices` slices around each voxel.

    The slab is truncated at the image's ends; with an even number it extends one slice further towards index 0.
    0 outside `mask`.
    """
    xp = array_module(image)
    seen = xp.where(mask, image, np.float32(np.inf))
    lowest = seen.copy()
    size = image.shape[axis]
    for shift in range(-(slices // 2), (slices - 1) // 2 + 1):
        if shift == 0 or abs(shift) >= size:
            continue
        here, there = [slice(None)] * 3, [slice(None)] * 3
        here[axis] = slice(max(0, -shift), size - max(0, shift))
        there[axis] = slice(max(0, shift), size - max(0, -shift))
        lowest[tuple(here)] = xp.minimum(lowest[tuple(here)], seen[tuple(there)])
    result: Array = xp.where(mask, lowest, np.float32(0))
    return result
