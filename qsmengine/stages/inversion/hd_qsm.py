"""HD-QSM: total variation with a hybrid data term, first of absolute errors, then of squared errors.

1. min_chi sum W |D chi - field| + lambda_1 || grad chi ||_1, few iterations: inconsistent voxels keep their
   error e = D chi_1 - field instead of spreading it as streaks.
2. min_chi 1/2 || W (1 - d) (D chi - field) ||^2 + lambda || grad chi ||_1 from chi_1, with the discrepancy
   d = min(1, |W e| / (c m)), m the mean of |W e| over the mask. Voxels that the first step could not explain
   lose some or all of their weight; the noise of all others is averaged optimally, by squared errors.

The paper scales d by the largest |e|, so a single voxel determines all weights; here the scale is a multiple c
of the mean. W is the mask, or `weight` inside it scaled to mean 1. Solved by ADMM with the splits grad chi and
D chi. `callback` receives the status of each step in turn.

The defaults minimise the error of chi on virtual heads with 2 to 3 mm voxels (3 T and 7 T, axial and oblique),
both from the true local field with noise (SNR 100) and from V-SHARP's.

Reference: Lambert et al. 2022, 10.1002/mrm.29218.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.domain import Domain
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.solvers.tv_admm import TvProblem, absolute_error, solve_tv, squared_error
from qsmengine.stages.inversion.total_variation import TvParams, tv_problem
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Mm, Mm2


class HdQsmParams(TvParams):
    """Parameters of HD-QSM: those of `weighted_tv` for step 2, and those of step 1."""

    lam: Mm = Field(3e-5, gt=0, alias="lambda", description="weight of the total variation [ppm mm]")
    mu_gradient: float = Field(3e-2, gt=0, description="ADMM penalty of the gradient split")
    lambda_first: Mm = Field(0.08, gt=0, description="weight of the total variation in step 1 [mm]")
    mu_gradient_first: Mm2 = Field(80.0, gt=0, description="ADMM penalty, gradient, step 1 [mm^2/ppm]")
    mu_data_first: float = Field(200.0, gt=0, description="ADMM penalty, data, step 1 [1/ppm]")
    first_iterations: int = Field(40, ge=1, description="iterations of step 1")
    cutoff: float = Field(25.0, gt=0, description="c: errors of c times the mean or more get no weight")


def hd_qsm(
    local_field: Array,
    mask: Array,
    grid: Grid,
    params: HdQsmParams,
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
    problem = tv_problem(local_field, mask, weight, domain, grid, params.lam, squared_error)
    first = solve_tv(
        replace(problem, lam=params.lambda_first, data_step=absolute_error),
        device,
        Stopping(params.first_iterations, params.tolerance, callback=callback),
        mu_gradient=params.mu_gradient_first,
        mu_data=params.mu_data_first,
    )
    agreement = _agreement(problem, first, params.cutoff, device)
    chi = solve_tv(
        replace(problem, weight=problem.weight * agreement),
        device,
        Stopping(params.iterations, params.tolerance, callback=callback),
        mu_gradient=params.mu_gradient,
        mu_data=params.mu_data,
        start=first,
    )
    result: Array = device.xp.where(mask, domain.extract(chi), np.float32(0))
    return result


def _agreement(problem: TvProblem, chi: Array, cutoff: float, device: Device) -> Array:
    """Return 1 - d on the solver's grid; 1 if all errors are 0."""
    nx, ny, nz = chi.shape
    error = RealFFT((nx, ny, nz), device).filter(chi, problem.response)
    error -= problem.data
    error *= problem.weight
    error = abs(error)
    mean = error.sum(dtype=np.float64) / (problem.weight > 0).sum()
    limit = cutoff * device.xp.maximum(mean, np.finfo(np.float32).tiny)
    error /= limit.astype(np.float32)
    result: Array = 1.0 - device.xp.minimum(error, np.float32(1))
    return result


METHODS = (
    Method(
        stage="inversion", name="hd_qsm", run=hd_qsm, params=HdQsmParams,
        inputs=("local_field", "mask", "weight?"), outputs={"chi": "ppm"},
        summary="total variation, absolute data errors, then squared errors without outliers (ADMM)",
        doi="10.1002/mrm.29218",
        bytes_per_voxel=170, reach=lambda params: params.margin, iterative=True,
    ),
)  # fmt: skip
