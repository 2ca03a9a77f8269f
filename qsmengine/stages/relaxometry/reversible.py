"""R2' = R2* - R2, the decay that a spin echo reverses.

Noise, and refocusing pulses that a fit of R2 does not describe, make R2* smaller than R2 in some voxels. R2' is
0 there (with `clip`), and the share of such voxels is reported. Where R2* or R2 is 0, and so unknown, R2' is 0.

Reference: Shin et al. 2021, 10.1016/j.neuroimage.2021.118371 (R2' in the separation of susceptibility).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.echoes import checked_mask
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params


class DifferenceParams(Params):
    """Parameters of the difference."""

    clip: bool = Field(
        True, description="set negative values to 0; without, noise leaves regional means unbiased"
    )


class ReversibleDecay(NamedTuple):
    """R2' (x, y, z) [1/s], and the share of voxels in which it was negative [1]."""

    r2prime: Array
    clipped: float


def difference(
    r2star: Array, r2: Array, mask: Array, grid: Grid, params: DifferenceParams, *, device: Device
) -> ReversibleDecay:
    """Return R2' from `r2star` and `r2` (x, y, z) [1/s] inside `mask`.

    Raises
    ------
    InputError
        For an empty mask.
    """
    effective, irreversible = device.asarray(r2star), device.asarray(r2)
    known = (checked_mask(mask, grid, device) > 0) & (effective > 0) & (irreversible > 0)
    rate = effective - irreversible
    found = clipped_rate(rate, known, device)
    return found if params.clip else found._replace(r2prime=device.xp.where(known, rate, np.float32(0)))


def clipped_rate(rate: Array, inside: Array, device: Device) -> ReversibleDecay:
    """Return `rate` (x, y, z) [1/s] inside `inside`, at least 0, and the share of voxels below 0."""
    xp, zero = device.xp, np.float32(0)
    voxels = int(inside.sum())
    clipped = float(((rate < 0) & inside).sum()) / voxels if voxels else 0.0
    return ReversibleDecay(xp.where(inside, xp.maximum(rate, zero), zero), clipped)


METHODS = (
    Method(
        stage="reversible-decay", name="difference", run=difference, params=DifferenceParams,
        inputs=("r2star", "r2", "mask"), outputs={"r2prime": "1/s", "clipped": "1"},
        summary="R2' = R2* - R2, at least 0, and the share of voxels where R2* is below R2",
        doi="10.1016/j.neuroimage.2021.118371", bytes_per_voxel=24, within_mask=True,
    ),
)  # fmt: skip
