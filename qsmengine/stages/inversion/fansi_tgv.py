"""Nonlinear total generalised variation: second-order TGV with the data term on the phase (FANSI).

min_{chi, v} sum W^2 (1 - cos(r (D chi - field))) / r^2 + lambda || grad chi - v ||_1
+ lambda_curvature || sym grad v ||_1, where r = 2 pi gamma B0 TE is the phase [rad] of 1 ppm at the effective
echo time TE. Total variation turns slopes into steps; here the vector field v absorbs a slope and only its
changes are penalised. Susceptibility may vary linearly, as it does with iron and myelin within a structure, and
edges stay sharp. Data term, lambda and TE are those of `fansi_tv`; whole turns of the phase do not matter.

Both norms sum the absolute values of components, per mm, the second over all nine of the symmetric matrix.
Solved by ADMM with the splits grad chi - v, sym grad v and D chi; chi and v are found together in k-space, in
closed form.

The defaults minimise the error of chi on virtual heads with 2 to 3 mm voxels (3 T and 7 T, axial and oblique),
both from the true local field with noise (SNR 100) and from V-SHARP's; without noise a third of both lambdas is
better.

Reference: Milovic et al. 2018, 10.1002/mrm.27073; TGV: Bredies et al. 2010, 10.1137/090769521.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.domain import Domain
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.solvers.tgv_admm import solve_tgv
from qsmengine.solvers.tgv_split import TgvPenalties
from qsmengine.solvers.tv_admm import PhaseError
from qsmengine.stages.inversion.total_variation import PhaseTvParams, tv_problem
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Mm, Mm2
from qsmengine.units import rad_per_ppm


class FansiTgvParams(PhaseTvParams):
    """Parameters of nonlinear TGV: those of `fansi_tv`, and those of the second-order term."""

    lam: Mm = Field(6e-5, gt=0, alias="lambda", description="weight of |grad chi - v| [ppm mm]")
    lambda_curvature: Mm2 = Field(1.8e-4, gt=0, description="weight of |sym grad v| [ppm mm^2]")
    mu_gradient: float = Field(6e-2, gt=0, description="ADMM penalty of the split grad chi - v")
    mu_curvature: Mm2 = Field(0.6, gt=0, description="ADMM penalty of the split sym grad v [mm^2]")


def fansi_tgv(
    local_field: Array,
    mask: Array,
    grid: Grid,
    params: FansiTgvParams,
    *,
    device: Device,
    weight: Array | None = None,
    callback: SolverCallback | None = None,
) -> Array:
    """Return the susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm]; 0 outside `mask`.

    `weight` (x, y, z), any unit, is best 1 / noise of the field. `callback` receives the solver's
    status and may stop it.

    Raises
    ------
    InputError
        For a grid without field strength.
    """
    phase = PhaseError(rad_per_ppm(grid.required_field_strength, params.echo_time))
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, params.margin, device)
    chi = solve_tgv(
        tv_problem(local_field, mask, weight, domain, grid, params.lam, phase),
        params.lambda_curvature,
        device,
        Stopping(params.iterations, params.tolerance, callback=callback),
        penalties=TgvPenalties(params.mu_gradient, params.mu_curvature, params.mu_data),
    )
    result: Array = device.xp.where(mask, domain.extract(chi), np.float32(0))
    return result


METHODS = (
    Method(
        stage="inversion", name="fansi_tgv", run=fansi_tgv, params=FansiTgvParams,
        inputs=("local_field", "mask", "weight?"), outputs={"chi": "ppm"},
        summary="total generalised variation with the data term on the phase (ADMM)",
        doi="10.1002/mrm.27073",
        bytes_per_voxel=200, reach=lambda params: params.margin, iterative=True,
    ),
)  # fmt: skip
