"""Total-variation inversion with the data term weighted inside the mask.

min_chi 1/2 || W (D chi - field) ||^2 + lambda || grad chi ||_1, solved by ADMM with the splits
grad chi and D chi. W is the mask, or `weight` inside it scaled to mean 1, so lambda does not depend on
the weights' unit. The total variation sums the absolute differences per mm along the three axes, so
the result does not depend on how the axes are stored.

Unlike the k-space fit of the plain form, nothing is assumed of the field outside the mask: there W = 0.

References: Bilgic et al. 2014, 10.1002/mrm.25029; Milovic et al. 2018, 10.1002/mrm.27073.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.domain import Domain
from qsmengine.solvers.status import SolverCallback
from qsmengine.solvers.tv_admm import TvProblem, solve_tv
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params


class WeightedTvParams(Params):
    """Parameters of weighted total variation."""

    lam: float = Field(8e-6, gt=0, alias="lambda", description="weight of the total variation [ppm mm]")
    mu_gradient: float = Field(2e-2, gt=0, description="ADMM penalty of the gradient split")
    mu_data: float = Field(0.05, gt=0, description="ADMM penalty of the data split")
    iterations: int = Field(120, ge=1, description="iteration limit")
    tolerance: float = Field(1e-3, ge=0, description="stop when chi changes by less, relatively")
    margin: float = Field(40.0, ge=0, description="zeros after the mask's box on every axis [mm]")


def weighted_tv(
    local_field: Array,
    mask: Array,
    grid: Grid,
    params: WeightedTvParams,
    *,
    device: Device,
    weight: Array | None = None,
    callback: SolverCallback | None = None,
) -> Array:
    """Susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm]; 0 outside `mask`.

    `weight` (x, y, z), any unit, is best 1 / noise of the field. The callback is told the solver's
    status and may stop it.
    """
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, params.margin, device)
    inside = domain.insert(mask if weight is None else weight, mask)
    if weight is not None:
        inside /= np.float32(inside.sum(dtype=np.float64) / mask.sum())
    problem = TvProblem(
        response=dipole_response(domain.shape, grid.voxel_size, grid.b0_direction, device),
        data=domain.insert(local_field, mask),
        weight=inside,
        spacing=grid.voxel_size,
        lam=params.lam,
    )
    chi = solve_tv(
        problem,
        device,
        mu_gradient=params.mu_gradient,
        mu_data=params.mu_data,
        iterations=params.iterations,
        tolerance=params.tolerance,
        callback=callback,
    )
    result: Array = device.xp.where(mask, domain.extract(chi), np.float32(0))
    return result


METHODS = (
    Method(
        stage="inversion", name="weighted_tv", run=weighted_tv, params=WeightedTvParams,
        inputs=("local_field", "mask", "weight?"), outputs={"chi": "ppm"},
        summary="total variation, data weighted inside the mask (ADMM)", doi="10.1002/mrm.25029",
        bytes_per_voxel=150, reach=lambda params: params.margin,
    ),
)  # fmt: skip
