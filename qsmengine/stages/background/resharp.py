"""RESHARP: SHARP with Tikhonov regularisation instead of a threshold.

    min_l || M (delta - S) * (f - l) ||^2 + lambda || l ||^2

with the mean over a sphere S and M = 1 where the whole sphere lies in the mask: the smallest local field
whose high-pass filtered version agrees with that of the total field. Solved by conjugate gradients on the
normal equations, with two convolutions per iteration.

Assumes that the field is valid in the whole mask, which shrinks by the sphere's radius.

Reference: Sun & Wilman 2014, 10.1002/mrm.24765.
"""

from __future__ import annotations

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.masked import MaskedConvolution
from qsmengine.solvers.cg import solve_least_squares
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.stages.background.result import BackgroundResult
from qsmengine.stages.background.spheres import sphere_problem
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Mm, Params


class ResharpParams(Params):
    """Parameters of RESHARP."""

    radius: Mm = Field(
        6.0, gt=0, le=40, description="radius of the sphere [mm], at least the longest voxel edge"
    )
    lam: float = Field(1e-4, ge=0, alias="lambda", description="weight of the squared local field")
    iterations: int = Field(100, ge=1, description="iteration limit")
    tolerance: float = Field(5e-4, ge=0, description="stop at this relative residual of the normal equations")


def resharp(
    total_field: Array,
    mask: Array,
    grid: Grid,
    params: ResharpParams,
    *,
    device: Device,
    callback: SolverCallback | None = None,
) -> BackgroundResult:
    """Return the local field (x, y, z) [ppm] and its mask from the total field (x, y, z) [ppm] inside `mask`.

    `callback` receives the solver's status and may stop it.

    Raises
    ------
    InputError
        If the sphere does not fit into the mask.
    """
    mask = device.asarray(mask, bool)
    case = sphere_problem(total_field, mask, params.radius, grid, device)
    filtering = MaskedConvolution(case.fft, case.high_pass, case.eroded, None)
    data = filtering.forward(case.field).copy()
    local, _ = solve_least_squares(
        filtering.forward, filtering.adjoint, data, device,
        Stopping(params.iterations, params.tolerance, 5, callback), damping=params.lam,
    )  # fmt: skip
    local *= case.eroded
    return BackgroundResult(case.domain.extract(local), case.domain.extract(case.eroded) > 0)


METHODS = (
    Method(
        stage="background", name="resharp", run=resharp, params=ResharpParams,
        inputs=("total_field", "mask"), outputs={"local_field": "ppm", "mask": "1"},
        summary="spherical mean values with Tikhonov regularisation", doi="10.1002/mrm.24765",
        bytes_per_voxel=80, reach=lambda params: params.radius, iterative=True,
    ),
)  # fmt: skip
