"""Referencing to ventricular cerebrospinal fluid, segmented from R2*.

Cerebrospinal fluid decays slowly and its susceptibility varies little between people. The consensus therefore
recommends its mean as zero, as an alternative to the whole brain. The ventricles are segmented as in MEDI+0:
voxels with R2* below a threshold, within a sphere around the centre of the mask, in the largest connected
regions.

1. R2* inside the mask is smoothed with a Gaussian of standard deviation `smoothing` to reduce noise.
2. Voxels with R2* < `r2star_max` within `radius` of the mask's centre of mass are selected. Those closer than
   `rim` to unselected voxels are dropped, which reduces partial volume and cuts the bridges to the cisterns.
3. The three largest face-connected regions are kept, if each has at least a tenth of the largest one's volume.

All steps run on the device, on the box of that sphere. If the ventricles are too narrow for steps 2 and 3 an
error is raised.

References: Liu et al. 2018, 10.1002/mrm.26946 (MEDI+0); Bilgic et al. 2024, 10.1002/mrm.30006 (consensus).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
from qsmengine.stages.params import Field, Length, Mm3, Params

REGIONS = 3
SMALLEST_SHARE = 0.1


class CsfParams(Params):
    """Parameters of the reference to cerebrospinal fluid."""

    r2star_max: float = Field(5.0, gt=0, description="upper bound of the fluid's R2* [1/s]")
    radius: Length = Field(30.0, gt=0, description="radius of the sphere around the mask's centre [mm]")
    smoothing: Length = Field(1.0, ge=0, description="standard deviation of the Gaussian that smooths R2* [mm]")
    rim: Length = Field(1.0, ge=0, description="fluid closer than this to other tissue is excluded [mm]")
    min_volume: Mm3 = Field(100.0, gt=0, description="smallest volume of the region [mm^3]")


class CsfReferenceResult(NamedTuple):
    """Referenced chi (x, y, z) [ppm]; subtracted value and SD [ppm], voxel count and mask of the region."""

    chi: Array
    value: float
    sd: float
    count: int  # type: ignore[assignment]  # in place of tuple.count
    csf_mask: Array


def csf(
    chi: Array, r2star: Array, mask: Array, grid: Grid, params: CsfParams, *, device: Device
) -> CsfReferenceResult:
    """Subtract the mean of `chi` (x, y, z) [ppm] over the ventricles; 0 outside `mask`.

    They are segmented from `r2star` (x, y, z) [1/s].

    Raises
    ------
    InputError
        If no fluid is found, and for an empty mask.
    """
    inside = checked_mask(mask, grid, device) > 0
    region = ventricles(r2star, inside, grid, params, device=device)
    return CsfReferenceResult(*relative_to(device.asarray(chi), inside, region, device), region)


def ventricles(r2star: Array, mask: Array, grid: Grid, params: CsfParams, *, device: Device) -> Array:
    """Return a mask (x, y, z) bool of the fluid near the centre of `mask` from R2* (x, y, z) [1/s].

    Raises
    ------
    InputError
        If there is none, or less than `min_volume`.
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
            f"{params.radius:g} mm of the brain's centre, {params.min_volume:g} mm^3 are needed; increase "
            "r2star_max, or use the method region_mean",
            field="r2star",
        )
    region = device.zeros(grid.shape, bool)
    region[box] = found
    return region


def _central_box(inside: Array, grid: Grid, radius: float, device: Device) -> tuple[tuple[slice, ...], Array]:
    """Return a box around the mask's centre of mass, and the distance of its voxels from it [mm]."""
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
    """Return the Gaussian mean over the mask with standard deviation `sigma` [mm]."""
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
        summary="subtract the mean over the ventricles, segmented from R2*",
        doi="10.1002/mrm.26946", bytes_per_voxel=60,
    ),
)  # fmt: skip
