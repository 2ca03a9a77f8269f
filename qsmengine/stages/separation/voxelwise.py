"""Separation of chi into paramagnetic and diamagnetic parts by the static dephasing that they cause.

Both parts accelerate the decay, while they cancel in the field:

    chi = chi+ + chi-,        R2' = Dr (chi+ - chi-),        chi+ >= 0 >= chi-,

with Dr [1/s/ppm] proportional to B0. Each voxel is fitted by least squares to both equations under the signs,

    min (chi + c - chi+ - chi-)^2 + w (R2' / Dr - chi+ + chi-)^2,

in closed form: half of R2' / Dr plus or minus chi + c where |chi + c| <= R2' / Dr, else one part alone. Chi is
determined up to a constant, but here the zero must be tissue without sources: c is the constant with the
smallest violation of |chi + c| <= R2' / Dr. Fluid (R2' = 0) determines it, so no region has to be segmented.

`r2prime` computes R2' = R2* - R2 from a measured R2. `r2star` uses gradient echoes alone and estimates
R2' = f (R2* - R2_0), at least 0: tissue without sources decays at R2_0, and a fraction f of the decay added by
iron and myelin is reversible. Both numbers are averages over tissue, so the parts are inaccurate where R2
differs.

Dr is an empirical constant: 137 1/s/ppm at 3 T was measured in the deep grey nuclei. An error of 20 % in Dr
changes both parts by 20 % of R2' / 2 Dr. Dephasing by vessels, fibre orientation and steep background fields is
attributed to sources.

References: Shin et al. 2021, 10.1016/j.neuroimage.2021.118371 (model, Dr); Dimov et al. 2022,
10.3390/tomography8030127 (gradient echoes alone).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device, array_module
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.echoes import checked_mask
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params
from qsmengine.stages.relaxometry.reversible import clipped_rate

TABLE_FIELD = 3.0
"""Field strength to which Dr refers [T]."""
NEWTON_STEPS = 50
PRECISE = 1e-7
"""Step of the constant at which its search stops [ppm]."""


class R2primeParams(Params):
    """Parameters of the separation with a measured R2."""

    relaxivity: float = Field(137.0, gt=0, description="Dr: R2' per ppm of a source at 3 T [1/s/ppm]")
    weight: float = Field(
        0.5, gt=0, description="w: weight of the equation for R2' where a sign constraint is active"
    )
    find_offset: bool = Field(
        True, description="estimate the constant c; false: chi is 0 in tissue without sources"
    )


class R2starParams(R2primeParams):
    """Parameters of the separation from gradient echoes alone."""

    r2_base: float = Field(10.5, ge=0, description="R2_0: decay of tissue without sources [1/s]")
    reversible: float = Field(0.75, gt=0, le=1, description="f: fraction R2' of the R2* added by sources")


class SeparationResult(NamedTuple):
    """Both parts and their sum (x, y, z) [ppm], 0 outside the mask.

    `offset` is the constant c [ppm] added to chi, `clipped` the share of voxels whose R2' was negative [1].
    """

    chi_positive: Array
    chi_negative: Array
    chi_total: Array
    offset: float
    clipped: float


def separate_with_r2(
    chi: Array, r2star: Array, r2: Array, mask: Array, grid: Grid, params: R2primeParams, *, device: Device
) -> SeparationResult:
    """Return the parts of `chi` (x, y, z) [ppm] by R2' = `r2star` - `r2` (x, y, z) [1/s], at least 0.

    Raises
    ------
    InputError
        For an empty mask, or a grid without field strength.
    """
    rate = device.asarray(r2star) - device.asarray(r2)
    return _separate(chi, rate, mask, grid, params, device)


def separate_gradient_echoes(
    chi: Array, r2star: Array, mask: Array, grid: Grid, params: R2starParams, *, device: Device
) -> SeparationResult:
    """Return the parts of `chi` (x, y, z) [ppm] by R2' = f (`r2star` - R2_0) (x, y, z) [1/s], at least 0.

    Raises
    ------
    InputError
        For an empty mask, or a grid without field strength.
    """
    rate = np.float32(params.reversible) * (device.asarray(r2star) - np.float32(params.r2_base))
    return _separate(chi, rate, mask, grid, params, device)


def _separate(
    chi: Array, r2prime: Array, mask: Array, grid: Grid, params: R2primeParams, device: Device
) -> SeparationResult:
    xp = device.xp
    inside = checked_mask(mask, grid, device) > 0
    relaxivity = params.relaxivity * grid.required_field_strength / TABLE_FIELD
    zero = np.float32(0)
    rate, clipped = clipped_rate(r2prime, inside, device)
    strength = rate * np.float32(1.0 / relaxivity)
    total = xp.where(inside, device.asarray(chi), zero)
    offset = least_breaking_offset(total[inside], strength[inside]) if params.find_offset else 0.0
    total = xp.where(inside, total + np.float32(offset), zero)
    positive, negative = split(total, strength, params.weight)
    return SeparationResult(positive, negative, positive + negative, offset, clipped)


def split(total: Array, strength: Array, weight: float) -> tuple[Array, Array]:
    """Return p >= 0 >= n of least (total - p - n)^2 + weight (strength - p + n)^2 [ppm], for strength >= 0."""
    xp = array_module(total)
    size = abs(total)
    alone = (size + np.float32(weight) * strength) * np.float32(1.0 / (1.0 + weight))
    both = size <= strength
    half = np.float32(0.5)
    zero = np.float32(0)
    positive = xp.where(both, half * (strength + total), xp.where(total > 0, alone, zero))
    negative = xp.where(both, half * (total - strength), xp.where(total < 0, -alone, zero))
    return positive, negative


def least_breaking_offset(total: Array, strength: Array) -> float:
    """Return c [ppm] of least sum max(0, |total + c| - strength)^2, which is convex, by Newton's method."""
    xp = array_module(total)
    offset = 0.0
    for _ in range(NEWTON_STEPS):
        shifted = total + np.float32(offset)
        excess = abs(shifted) - strength
        broken = excess > 0
        count = int(broken.sum())
        if count == 0:
            break
        slope = float(xp.where(broken, xp.sign(shifted) * excess, np.float32(0)).sum(dtype=np.float64))
        step = slope / count
        offset -= step
        if abs(step) <= PRECISE:
            break
    return offset


_OUTPUTS = {"chi_positive": "ppm", "chi_negative": "ppm", "chi_total": "ppm", "offset": "ppm", "clipped": "1"}

METHODS = (
    Method(
        stage="chi-separation", name="r2prime", run=separate_with_r2, params=R2primeParams,
        inputs=("chi", "r2star", "r2", "mask"), outputs=_OUTPUTS,
        summary="paramagnetic and diamagnetic parts from chi and R2' = R2* - R2",
        doi="10.1016/j.neuroimage.2021.118371", bytes_per_voxel=60,
    ),
    Method(
        stage="chi-separation", name="r2star", run=separate_gradient_echoes, params=R2starParams,
        inputs=("chi", "r2star", "mask"), outputs=_OUTPUTS,
        summary="paramagnetic and diamagnetic parts from chi and R2*, with gradient echoes alone",
        doi="10.3390/tomography8030127", bytes_per_voxel=60,
    ),
)  # fmt: skip
