"""Referencing to cerebrospinal fluid in the ventricles, found from R2*.

Cerebrospinal fluid hardly decays and its susceptibility varies little between people, so its mean is the zero
that the consensus names beside the whole brain. The ventricles are found as by MEDI+0: voxels whose R2* lies
below a threshold, within a sphere around the centre of the mask, in the largest connected regions.

1. R2* inside the mask is averaged under a Gaussian of `smoothing` against noise.
2. R2* < `r2star_max` within `radius` of the mask's centre of mass; voxels nearer than `rim` to others are left
   out, which takes partial volume away and cuts the bridges to the cisterns.
3. Of the regions connected by faces the three largest, each at least a tenth of the largest.

Everything runs on the device, on the box of that sphere. Ventricles too narrow for steps 2 and 3 are an error,
never a guess.

References: Liu et al. 2018, 10.1002/mrm.26946 (MEDI+0); Bilgic et al. 2024, 10.1002/mrm.30006 (consensus).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import Field

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.components import largest_components
from qsmengine.ops.gaussian import gaussian_filter
from qsmengine.ops.morphology import eroded
from qsmengine.stages.echoes import checked_mask
from qsmengine.stages.inversion.reference import relative_to
from qsmengine.stages.method import Method
from qsmengine.stages.params import Length, Mm3, Params

REGIONS = 3
SMALLEST_SHARE = 0.1


class CsfParams(Params):
    """Parameters of the reference to cerebrospinal fluid."""

    r2star_max: float = Field(5.0, gt=0, description="R2* of fluid lies below [1/s]")
    radius: Length = Field(30.0, gt=0, description="of the sphere around the mask's centre [mm]")
    smoothing: Length = Field(1.0, ge=0, description="standard deviation of the mean over R2* [mm]")
    rim: Length = Field(1.0, ge=0, description="fluid nearer to other tissue is left out [mm]")
    min_volume: Mm3 = Field(100.0, gt=0, description="least volume of the region [mm^3]")


class CsfReferenceResult(NamedTuple):
    """Referenced chi (x, y, z) [ppm]; value subtracted, SD [ppm], voxels of the region; the region."""

    chi: Array
    value: float
    sd: float
    count: int  # type: ignore[assignment]  # in place of tuple.count
    csf_mask: Array


def csf(
    chi: Array, r2star: Array, mask: Array, grid: Grid, params: CsfParams, *, device: Device
) -> CsfReferenceResult:
    """Subtract the mean of `chi` (x, y, z) [ppm] over the ventricles; 0 outside `mask`.

    `r2star` (x, y, z) [1/s] tells where they are.

    Raises
    ------
    InputError
        Where no fluid is found, and for an empty mask.
    """
    inside = checked_mask(mask, grid, device) > 0
    region = ventricles(r2star, inside, grid, params, device=device)
    return CsfReferenceResult(*relative_to(device.asarray(chi), inside, region, device), region)


def ventricles(r2star: Array, mask: Array, grid: Grid, params: CsfParams, *, device: Device) -> Array:
    """Mask (x, y, z) bool of the fluid around the centre of `mask` by its R2* (x, y, z) [1/s].

    Raises
    ------
    InputError
        Where there is none, or less than `min_volume`.
    """
    xp = device.xp
    inside = device.asarray(mask, bool)
    box, distance = _central_box(inside, grid, params.radius, device)
    part = device.asarray(inside[box], bool)
    rate = _mean(
        xp.where(part, device.asarray(r2star[box]), np.float32(0)), part, params.smoothing, grid, device
    )
    fluid = part & (rate < np.float32(params.r2star_max))
    deep = eroded(fluid, params.rim, grid.voxel_size, device)
    found = largest_components(deep & (distance <= params.radius), REGIONS, SMALLEST_SHARE, device)
    volume = float(found.sum()) * float(np.prod(grid.voxel_size))
    if volume < params.min_volume:
        raise InputError(
            f"no cerebrospinal fluid found: {volume:.0f} mm^3 with R2* below {params.r2star_max:g} 1/s within "
            f"{params.radius:g} mm of the brain's centre, {params.min_volume:g} mm^3 are needed; raise "
            "r2star_max, or take the method region_mean",
            field="r2star",
        )
    region = device.zeros(grid.shape, bool)
    region[box] = found
    return region


def _central_box(inside: Array, grid: Grid, radius: float, device: Device) -> tuple[tuple[slice, ...], Array]:
    """Box around the mask's centre of mass, and the distance of its voxels from there [mm]."""
    slices, squares = [], []
    for axis, h in enumerate(grid.voxel_size):
        others = tuple(a for a in range(3) if a != axis)
        profile = to_numpy(inside.sum(axis=others, dtype=np.int64))
        centre = float((profile * np.arange(len(profile))).sum() / profile.sum())
        reach = radius / h + 2
        part = slice(max(0, int(centre - reach)), min(len(profile), int(centre + reach) + 1))
        slices.append(part)
        squares.append(device.asarray(((np.arange(part.start, part.stop) - centre) * h) ** 2, np.float64))
    distance2 = squares[0][:, None, None] + squares[1][:, None] + squares[2]
    return tuple(slices), device.xp.sqrt(distance2)


def _mean(image: Array, inside: Array, sigma: float, grid: Grid, device: Device) -> Array:
    """Mean over the mask under a Gaussian of `sigma` [mm]."""
    xp = device.xp
    share = gaussian_filter(inside.astype(np.float32), grid.voxel_size, sigma, device, mirror=False)
    total = gaussian_filter(image, grid.voxel_size, sigma, device, mirror=False)
    mean: Array = total / xp.where(inside, share, np.float32(1))
    return mean


METHODS = (
    Method(
        stage="reference", name="csf", run=csf, params=CsfParams,
        inputs=("chi", "r2star", "mask"),
        outputs={"chi": "ppm", "value": "ppm", "sd": "ppm", "count": "1", "csf_mask": "1"},
        summary="subtract the mean over the ventricles, found by their low R2*",
        doi="10.1002/mrm.26946", bytes_per_voxel=60,
    ),
)  # fmt: skip
