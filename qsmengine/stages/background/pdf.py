"""PDF: projection onto dipole fields.

The background is the field of sources x outside the mask that best explains the total field inside:

    min_{x, c} || W (f - D x - P c) ||^2,    local = f - D x - P c inside the mask.

W is the mask, or `weight` inside it; P c are shim fields (harmonic polynomials), whose sources are not
dipoles near the head. They are projected out, so only x is iterated, by conjugate gradients on the normal
equations from x = 0. Distant sources converge first; sources just outside the mask, which can also mimic
local fields at the rim, converge late. The number of iterations therefore regularises: too few leave
background near sinuses, too many remove local field.

Assumes that local fields are orthogonal to the fields of outside sources. This holds only approximately,
least of all near the rim.

References: Liu et al. 2011, 10.1002/nbm.1670; de Rochefort et al. 2010, 10.1002/mrm.22187.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid, Vector3
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.domain import Domain
from qsmengine.ops.masked import MaskedConvolution
from qsmengine.ops.shim import ShimProjection
from qsmengine.solvers.cg import solve_least_squares
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.stages.background.result import BackgroundResult
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Length, Params


class PdfParams(Params):
    """Parameters of PDF."""

    iterations: int = Field(50, ge=1, description="iteration limit, which regularises")
    tolerance: float = Field(5e-4, ge=0, description="stop at this relative residual of the normal equations")
    shim_order: int = Field(2, ge=-1, le=2, description="order of the shim polynomials; -1 for none")
    margin: Length = Field(
        16.0, gt=0, description="space for sources after the mask's bounding box on every axis [mm]"
    )


def pdf(
    total_field: Array,
    mask: Array,
    grid: Grid,
    params: PdfParams,
    *,
    device: Device,
    weight: Array | None = None,
    callback: SolverCallback | None = None,
) -> BackgroundResult:
    """Return the local field (x, y, z) [ppm] from the total field (x, y, z) [ppm]; the whole mask is kept.

    `weight` (x, y, z), any unit, is best 1 / noise of the field. Voxels of weight 0 do not enter the fit; their
    local field is the residual of the fit to the others. `callback` receives the solver's status and may
    stop it.

    Raises
    ------
    InputError
        For weights that are negative, or zero in the whole mask.
    """
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, params.margin, device)
    inside = domain.insert(mask)
    weights = inside if weight is None else _normalised(domain.insert(weight, mask))
    field = domain.insert(total_field, mask)
    problem = _Projection(weights, inside, grid.voxel_size, grid.b0_direction, params.shim_order, device)
    sources, _ = solve_least_squares(
        problem.forward, problem.adjoint, problem.data(field), device,
        Stopping(params.iterations, params.tolerance, 5, callback),
    )  # fmt: skip
    return BackgroundResult(domain.extract(problem.local(field, sources)), mask.copy())


class _Projection:
    """Operator (I - Q) W D (1 - M) with Q the projection onto W P, and its adjoint."""

    def __init__(
        self, weight: Array, inside: Array, voxel_size: Vector3, b0: Vector3, shim_order: int, device: Device
    ) -> None:
        nx, ny, nz = inside.shape
        fft = RealFFT((nx, ny, nz), device)
        response = dipole_response(fft.shape, voxel_size, b0, device)
        self._dipole = MaskedConvolution(fft, response, weight, np.float32(1) - inside)
        self._shim = None if shim_order < 0 else ShimProjection(weight, voxel_size, shim_order, device)
        self._weight, self._inside = weight, inside

    def data(self, field: Array) -> Array:
        """Return W f without its shim component."""
        weighted: Array = self._weight * field
        if self._shim is not None:
            self._shim.project(weighted)
        return weighted

    def forward(self, sources: Array) -> Array:
        field = self._dipole.forward(sources)
        if self._shim is not None:
            self._shim.project(field)
        return field

    def adjoint(self, residual: Array) -> Array:
        """Apply the adjoint to residuals without shim component, as from :meth:`data` and :meth:`forward`."""
        return self._dipole.adjoint(residual)

    def local(self, field: Array, sources: Array) -> Array:
        """Return the field [ppm] inside the mask minus that of the outside sources and the best shim."""
        rest: Array = (field - self._dipole.convolve(sources)) * self._inside
        if self._shim is not None:
            self._shim.subtract(rest, self._shim.fit(self._weight * rest), self._inside)
        return rest


def _normalised(weight: Array) -> Array:
    if bool((weight < 0).any()):
        raise InputError("weights must not be negative", field="weight")
    largest = float(weight.max())
    if largest == 0:
        raise InputError("the weight is zero in the whole mask", field="weight")
    normalised: Array = weight / np.float32(largest)
    return normalised


METHODS = (
    Method(
        stage="background", name="pdf", run=pdf, params=PdfParams,
        inputs=("total_field", "mask", "weight?"), outputs={"local_field": "ppm", "mask": "1"},
        summary="projection onto dipole fields of outside sources", doi="10.1002/nbm.1670",
        bytes_per_voxel=100, reach=lambda params: params.margin, iterative=True,
    ),
)  # fmt: skip
