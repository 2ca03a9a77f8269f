"""Rapid two-step inversion (RTS).

1. min || W (D chi_1 - field) || by a few iterations of LSMR, stopped before the bins of k-space with a small
   dipole are fitted: chi_1 is accurate where |D(k)| > delta.
2. min_chi 1/2 || P (chi - chi_1) ||^2 + lambda || grad chi ||_1 by ADMM, with P the filter that keeps
   |D(k)| > delta: total variation determines the other bins. Two FFTs per iteration.

W is the mask, or `weight` inside it scaled to mean 1. `callback` receives the status of each step in turn; the
second takes at least ten iterations.

Reference: Kames et al. 2018, 10.1016/j.neuroimage.2017.11.018.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.domain import Domain
from qsmengine.solvers.lsmr import solve_lsmr
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.solvers.tv_spectral import SpectralTvProblem, solve_tv_spectral
from qsmengine.stages.inversion.setup import inside_weight
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Margin, Mm, Params


class RtsParams(Params):
    """Parameters of rapid two-step inversion."""

    delta: float = Field(0.15, gt=0, lt=2 / 3, description="bins with |D| above this are taken from step 1")
    first_iterations: int = Field(15, ge=1, description="LSMR iterations of step 1")
    lam: Mm = Field(1e-5, gt=0, alias="lambda", description="weight of the total variation [ppm mm]")
    mu_gradient: float = Field(1e-3, gt=0, description="ADMM penalty of the gradient split")
    iterations: int = Field(100, ge=1, description="iteration limit of step 2")
    tolerance: float = Field(1e-3, ge=0, description="stop step 2 when the relative change of chi is smaller")
    margin: Margin = 40.0


def rts(
    local_field: Array,
    mask: Array,
    grid: Grid,
    params: RtsParams,
    *,
    device: Device,
    weight: Array | None = None,
    callback: SolverCallback | None = None,
) -> Array:
    """Return the susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm]; 0 outside `mask`.

    `weight` (x, y, z), any unit, is best 1 / noise of the field. `callback` receives the status of both
    steps and may stop the current one.
    """
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, params.margin, device)
    weights = inside_weight(domain, mask, weight)
    fft = RealFFT(domain.shape, device)
    response = dipole_response(domain.shape, grid.voxel_size, grid.b0_direction, device)
    first = solve_lsmr(
        lambda chi: weights * fft.filter(chi, response),
        lambda residual: fft.filter(weights * residual, response),
        weights * domain.insert(local_field, mask),
        device,
        Stopping(params.first_iterations, 0.0, 5, callback),
    )
    problem = SpectralTvProblem(
        filter=(abs(response) > params.delta).astype(np.float32),
        target=first.x,
        spacing=grid.voxel_size,
        lam=params.lam,
    )
    stopping = Stopping(params.iterations, params.tolerance, callback=callback)
    chi, _ = solve_tv_spectral(problem, device, stopping, mu_gradient=params.mu_gradient)
    result: Array = device.xp.where(mask, domain.extract(chi), np.float32(0))
    return result


METHODS = (
    Method(
        stage="inversion", name="rts", run=rts, params=RtsParams,
        inputs=("local_field", "mask", "weight?"), outputs={"chi": "ppm"},
        summary="rapid two-step: LSMR, then total variation near the magic angle",
        doi="10.1016/j.neuroimage.2017.11.018",
        bytes_per_voxel=150, reach=lambda params: params.margin, iterative=True,
    ),
)  # fmt: skip
