"""Iterative Tikhonov inversion: weighted least squares in image space.

min_chi || W (D chi - field) ||^2 + lambda || R chi ||^2 with R the identity or the gradient per mm, by
conjugate gradients on (D W^2 D + lambda R^T R) chi = D W^2 field, preconditioned in k-space by
1 / (D^2 + lambda |R|^2). W is the mask, or `weight` inside it scaled to mean 1: nothing is assumed about
the field outside the mask, and noisy voxels have less weight.

The unknowns are the bins of chi's half spectrum, so an iteration takes two FFTs. Bins that represent a
conjugate pair are scaled by sqrt 2, which makes sums over the half spectrum equal to sums over the image.

References: Bilgic et al. 2014, 10.1002/mrm.25029; Kressler et al. 2010, 10.1109/TMI.2009.2023787.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.domain import Domain
from qsmengine.ops.gradient import gradient_energy
from qsmengine.solvers.cg import solve_cg
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.stages.inversion.setup import inside_weight
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Margin, Mm2, Params


class IterativeTikhonovParams(Params):
    """Parameters of iterative Tikhonov inversion."""

    regulariser: Literal["identity", "gradient"] = Field("gradient", description="R: chi or its gradient")
    lam: Mm2 = Field(5e-3, gt=0, alias="lambda", description="weight of ||R chi||^2: [1] or [mm^2]")
    iterations: int = Field(60, ge=1, description="iteration limit")
    tolerance: float = Field(1e-3, ge=0, description="stop at this relative residual of the normal equations")
    margin: Margin = 40.0

    def length_power(self, name: str) -> int:
        """Return the power of mm in the unit; `lam` has no unit with the identity."""
        return 0 if name == "lam" and self.regulariser == "identity" else super().length_power(name)


def iterative_tikhonov(
    local_field: Array,
    mask: Array,
    grid: Grid,
    params: IterativeTikhonovParams,
    *,
    device: Device,
    weight: Array | None = None,
    callback: SolverCallback | None = None,
) -> Array:
    """Return the susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm]; 0 outside `mask`.

    `weight` (x, y, z), any unit, is best 1 / noise of the field. `callback` receives the solver's
    status and may stop it.
    """
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, params.margin, device)
    weight2 = inside_weight(domain, mask, weight)
    weight2 *= weight2
    system = _NormalEquations(domain, weight2, grid, params)
    stopping = Stopping(params.iterations, params.tolerance, 5, callback)
    right = system.right_hand_side(domain.insert(local_field, mask))
    solution = solve_cg(system.apply, right, device, stopping, system.precondition)
    result: Array = device.xp.where(mask, domain.extract(system.image(solution.x)), np.float32(0))
    return result


class _NormalEquations:
    """Operator S (D F W^2 F^-1 D + lambda |R|^2) S^-1 on half spectra as reals, S the scaling of pairs."""

    def __init__(self, domain: Domain, weight2: Array, grid: Grid, params: IterativeTikhonovParams) -> None:
        self.device = device = domain.device
        self.weight2, self.fft = weight2, RealFFT(domain.shape, device)
        response = dipole_response(domain.shape, grid.voxel_size, grid.b0_direction, device)
        energy = gradient_energy(domain.shape, grid.voxel_size, device)
        if params.regulariser == "identity":
            energy[...] = 1.0
        self.penalty = np.float32(params.lam) * energy
        self.penalty[0, 0, 0] = 1.0
        self.inverse = 1.0 / (response * response + self.penalty)
        pairs = np.full(self.fft.spectrum_shape[2], np.sqrt(2.0))
        pairs[[0, -1]] = 1.0
        self.pairs = device.asarray(pairs)
        self.outward, self.inward = response * self.pairs, response / self.pairs
        self.spectrum = device.empty(self.fft.spectrum_shape, np.complex64)
        self.field = device.empty(domain.shape)

    def right_hand_side(self, field: Array) -> Array:
        spectrum = self.fft.forward(self.weight2 * field)
        spectrum *= self.outward
        return _as_real(spectrum)

    def apply(self, vector: Array) -> Array:
        unknown = _as_complex(vector)
        self.device.xp.multiply(unknown, self.inward, out=self.spectrum)
        self.fft.inverse(self.spectrum, self.field)
        self.field *= self.weight2
        self.fft.forward(self.field, self.spectrum)
        self.spectrum *= self.outward
        self.spectrum += self.penalty * unknown
        return _as_real(self.spectrum)

    def precondition(self, residual: Array) -> Array:
        return _as_real(self.inverse * _as_complex(residual))

    def image(self, vector: Array) -> Array:
        return self.fft.inverse(_as_complex(vector) / self.pairs)


def _as_real(spectrum: Array) -> Array:
    return spectrum.view(np.float32)


def _as_complex(vector: Array) -> Array:
    return vector.view(np.complex64)


METHODS = (
    Method(
        stage="inversion", name="iterative_tikhonov", run=iterative_tikhonov, params=IterativeTikhonovParams,
        inputs=("local_field", "mask", "weight?"), outputs={"chi": "ppm"},
        summary="weighted least squares with a quadratic regulariser (CG)",
        doi="10.1109/TMI.2009.2023787",
        bytes_per_voxel=150, reach=lambda params: params.margin, iterative=True,
    ),
)  # fmt: skip
