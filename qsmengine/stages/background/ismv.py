"""iSMV: iterative spherical mean value.

The background is the function that equals the total field on the rim of the mask and equals its mean over a
sphere S everywhere inside, where the whole sphere fits (M = 1):

    b = S * b  where M = 1,    b = f  on the rim,    local = f - b.

Repeated averaging, b <- S * b inside, converges slowly. Here conjugate gradients find the same fixed point:
the local field l, zero on the rim, satisfies M (delta - S) * l = M (delta - S) * f, and M (delta - S) M is
symmetric and positive.

Assumes that the local field is zero on the rim, which is as wide as the sphere's radius.

Reference: Wen et al. 2014, 10.1002/mrm.24998.
"""

from __future__ import annotations

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.masked import MaskedConvolution
from qsmengine.solvers.cg import solve_cg
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.stages.background.result import BackgroundResult
from qsmengine.stages.background.spheres import sphere_problem
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Mm, Params


class IsmvParams(Params):
    """Parameters of iSMV."""

    radius: Mm = Field(
        5.0, gt=0, le=40, description="radius of the sphere [mm], at least the longest voxel edge"
    )
    iterations: int = Field(100, ge=1, description="iteration limit")
    tolerance: float = Field(3e-4, ge=0, description="stop at this relative residual")


def ismv(
    total_field: Array,
    mask: Array,
    grid: Grid,
    params: IsmvParams,
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
    filtering = MaskedConvolution(case.fft, case.high_pass, case.eroded, case.eroded)
    data = filtering.forward(case.field).copy()
    local, _ = solve_cg(
        filtering.forward, data, device, Stopping(params.iterations, params.tolerance, 5, callback)
    )
    return BackgroundResult(case.domain.extract(local), case.domain.extract(case.eroded) > 0)


METHODS = (
    Method(
        stage="background", name="ismv", run=ismv, params=IsmvParams,
        inputs=("total_field", "mask"), outputs={"local_field": "ppm", "mask": "1"},
        summary="iterated spherical mean values with a fixed rim", doi="10.1002/mrm.24998",
        bytes_per_voxel=80, reach=lambda params: params.radius, iterative=True,
    ),
)  # fmt: skip
