"""Proton density from the amplitude of spoiled gradient echoes, by removal of the receive field.

The amplitude is PD times the receive field c. Proton density follows from R1 closely,

    1 / PD_pseudo = offset + slope R1   (0.916 and 0.436 s at 3 T, water = 1),

so that ln A - ln PD_pseudo is ln c plus what tissue deviates from this relation. A sum of products of
Legendre polynomials is fitted to it by iterated least squares with Tukey's weights, and PD = A / c. The
relation sets the scale of PD, water = 1, and the slow changes across the brain; local values are those of the
amplitude.

Reference: Volz et al. 2012, 10.1016/j.neuroimage.2012.06.076.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.pieces import in_pieces
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.legendre import LegendreBasis, spread_voxels
from qsmengine.ops.order_statistics import median
from qsmengine.stages.echoes import checked_mask
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params

VOXELS = 20_000
"""Most voxels that are used."""
LEAST = 20
"""Least number of voxels per polynomial."""
ROUNDS = 6
"""Rounds of reweighting."""
REACH = 4.685 * 1.4826
"""Distance from which on Tukey's weight is 0 [median absolute deviations]."""


class PseudoDensityParams(Params):
    """Parameters of the receive field from pseudo proton densities."""

    offset: float = Field(0.916, gt=0, description="1 / PD at R1 = 0")
    slope: float = Field(0.436, ge=0, description="increase of 1 / PD with R1 [s]")
    order: int = Field(4, ge=1, le=6, description="largest total degree of the polynomials")


class ProtonDensity(NamedTuple):
    """Proton density relative to water [1] and receive field [unit of the amplitude], each (x, y, z)."""

    pd: Array
    receive_field: Array


def pseudo_density(
    amplitude: Array, r1: Array, mask: Array, grid: Grid, params: PseudoDensityParams, *, device: Device
) -> ProtonDensity:
    """Return proton density and receive field from `amplitude` (x, y, z) and `r1` (x, y, z) [1/s] in `mask`.

    Raises
    ------
    InputError
        For an empty mask, and for one with too few voxels for the polynomials.
    """
    inside = checked_mask(mask, grid, device)
    size, rates = device.asarray(amplitude), device.asarray(r1)
    known = device.empty(grid.shape, bool)

    def find(inside: Array, size: Array, rates: Array, known: Array) -> None:
        known[...] = (inside > 0) & (size > 0) & (rates > 0)

    in_pieces(find, (inside, size, rates, known), device)
    basis = LegendreBasis.over(inside, params.order)
    count = int(device.xp.count_nonzero(known))
    if count < LEAST * len(basis.powers):
        raise InputError(
            f"{count} voxels with signal; a field of order {params.order} needs {LEAST * len(basis.powers)}",
            field="mask",
        )
    voxels = spread_voxels(known, VOXELS)
    a, r = (to_numpy(image)[voxels].astype(np.float64) for image in (size, rates))
    largest = float(a.max())
    logarithm = np.log(a / largest * (params.offset + params.slope * r))
    with threadpool_limits(1, user_api="blas"):
        coefficients = robust_fit(basis.columns(voxels), logarithm)
    field, density = basis.image(coefficients, device), device.empty(grid.shape)

    def divide(size: Array, known: Array, inside: Array, field: Array, density: Array) -> None:
        device.xp.exp(field, out=field)
        field *= np.float32(largest)
        density[...] = device.xp.where(known, size / field, np.float32(0))
        field *= inside

    in_pieces(divide, (size, known, inside, field, density), device)
    return ProtonDensity(density, field)


def robust_fit(columns: FloatArray, values: FloatArray) -> FloatArray:
    """Return coefficients (product,) of `columns` (product, voxel) fitted to `values` (voxel,) robustly."""
    weight = np.ones(values.size)
    coefficients: FloatArray = np.zeros(len(columns))
    for _ in range(ROUNDS):
        weighted = columns * weight
        coefficients = np.asarray(np.linalg.solve(weighted @ columns.T, weighted @ values), dtype=np.float64)
        rest = values - coefficients @ columns
        misfit = rest - median(rest)
        spread = max(median(np.abs(misfit), overwrite=True), 1e-9)
        weight = np.square(np.maximum(1.0 - np.square(misfit / (REACH * spread)), 0.0))
    return coefficients


METHODS = (
    Method(
        stage="proton-density", name="pseudo_density", run=pseudo_density, params=PseudoDensityParams,
        inputs=("amplitude", "r1", "mask"), outputs={"pd": "1", "receive_field": "arbitrary"},
        summary="proton density relative to water; receive field from the relation of PD to R1",
        doi="10.1016/j.neuroimage.2012.06.076", bytes_per_voxel=400, within_mask=True,
    ),
)  # fmt: skip
