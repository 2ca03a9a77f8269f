"""LBV: Laplacian boundary value.

Fields of sources outside the mask are harmonic inside it, so the background is the solution of a
boundary value problem, and so is the local field:

    laplacian(b) = 0 inside, b = f on the boundary;    l = f - b:  laplacian(l) = laplacian(f), l = 0.

The Laplacian is the compact difference of 19 points (faces and edges of a voxel), which is accurate to
fourth order on harmonic functions; near sinuses the usual 7 points leave much of the background in the local
field. The boundary consists of the mask's voxels with one of these neighbours outside it. Solved by conjugate
gradients preconditioned with multigrid, whose number of iterations barely depends on the size.

Assumes that the local field is zero on the boundary. Its true value there extends inwards as a harmonic
error, as does the noise of the field on the boundary; `peel` layers are removed first.

Reference: Zhou et al. 2014, 10.1002/nbm.3064.
"""

from __future__ import annotations

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid, Vector3
from qsmengine.ops.domain import Domain
from qsmengine.ops.morphology import without_boundary, without_layer
from qsmengine.solvers.cg import solve_cg
from qsmengine.solvers.multigrid import MaskedLaplacian
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.stages.background.result import BackgroundResult
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params


class LbvParams(Params):
    """Parameters of LBV."""

    peel: int = Field(0, ge=0, le=20, description="layers of voxels removed from the mask first")
    iterations: int = Field(60, ge=1, description="iteration limit")
    tolerance: float = Field(1e-4, ge=0, description="stop at this relative residual")


def lbv(
    total_field: Array,
    mask: Array,
    grid: Grid,
    params: LbvParams,
    *,
    device: Device,
    callback: SolverCallback | None = None,
) -> BackgroundResult:
    """Return the local field (x, y, z) [ppm] and its mask from the total field (x, y, z) [ppm] inside `mask`.

    The mask loses `peel` layers and the boundary. `callback` receives the solver's status and may stop it.

    Raises
    ------
    InputError
        If nothing is left of the mask.
    """
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, 0.0, device)
    inside = interior(domain.insert(mask) > 0, params.peel)
    field = domain.insert(total_field, mask)
    stopping = Stopping(params.iterations, params.tolerance, 2, callback)
    local = without_harmonic(field, inside, grid.voxel_size, stopping, device)
    return BackgroundResult(domain.extract(local), domain.extract(inside) > 0)


def interior(mask: Array, peel: int) -> Array:
    """Return the voxels of `mask` (x, y, z) without `peel` layers and the boundary.

    Raises
    ------
    InputError
        If nothing is left.
    """
    for _ in range(peel):
        mask = without_layer(mask)
    mask = without_boundary(mask)
    if not bool(mask.any()):
        taken = "its outermost layer" if peel == 0 else f"its {peel + 1} outermost layers"
        raise InputError(f"nothing is left of the mask after removing {taken}", field="mask")
    return mask


def without_harmonic(
    field: Array, inside: Array, voxel_size: Vector3, stopping: Stopping, device: Device
) -> Array:
    """Return `field` minus the function that is harmonic at the voxels `inside` and equals `field` elsewhere.

    Both (nx, ny, nz); no voxel inside may lie at an end of the grid.
    """
    laplacian = MaskedLaplacian(inside, voxel_size, device)
    sources = laplacian.apply(field).copy()
    return solve_cg(laplacian.apply, sources, device, stopping, laplacian.precondition).x


METHODS = (
    Method(
        stage="background", name="lbv", run=lbv, params=LbvParams,
        inputs=("total_field", "mask"), outputs={"local_field": "ppm", "mask": "1"},
        summary="Laplacian boundary value problem (multigrid)", doi="10.1002/nbm.3064",
        bytes_per_voxel=60, reach=lambda _: 0.0, iterative=True,
    ),
)  # fmt: skip
