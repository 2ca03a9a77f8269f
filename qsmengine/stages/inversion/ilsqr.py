"""iLSQR: least squares, minus an estimate of its streaks.

1. chi_0 minimises || W (D chi - field) || by LSQR, stopped at `tolerance`. W is the mask, or `weight` inside it
   scaled to mean 1, lowered where |laplace field| is large: from 1 at its 60th percentile in the mask to 0 at
   the 99.9th, which excludes corrupted voxels and those next to strong sources.
2. An image of the edges with few streaks: chi_e = M F^-1 h F M F^-1 h sign(D) F field with the mask M;
   h is 1, with a transition to the mean over a sphere of 3 mm near the cone D = 0.
3. Streaks have a spectrum in |D(k)| < `cone`, and are visible where chi_e is flat:
   min_s || G (grad chi_0 - grad s) || over all s with such a spectrum and mean 0, by LSQR. Per axis G falls
   from 1 at the median to 0 at the 70th percentile of |grad chi_e| in the mask.
4. chi = chi_0 - s.

Percentiles make G independent of the scale of chi_e, so the paper's fit of it to TKD is omitted. LSQR is
implemented as CGLS, which takes the same steps; the tolerance applies to the residual of the normal equations.
`callback` receives the status of both solvers in turn.

The defaults are the paper's. On virtual heads with 3 mm (3 T) and 2.5 mm (7 T) voxels, from the true local
field with and without noise and from V-SHARP's, cones of 0.07 and 0.15 and tighter tolerances brought no
improvement.

Reference: Li et al. 2015, 10.1016/j.neuroimage.2014.12.043.
"""

from __future__ import annotations

import math

import numpy as np

from qsmengine.backend.device import Device, array_module
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.edges import EDGE_ADJOINT, EDGE_DIFFERENCES
from qsmengine.backend.signatures.laplacian import WRAPPED_LAPLACIAN
from qsmengine.backend.signatures.masked import MASKED_FILTER
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.domain import Domain
from qsmengine.ops.masked import MaskedConvolution
from qsmengine.ops.smv import sphere_spectrum
from qsmengine.solvers.cg import solve_least_squares
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.stages.inversion.setup import CONE, inside_weight
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Margin, Params

LAPLACIAN_PERCENTILES = (60.0, 99.9)
GRADIENT_PERCENTILES = (50.0, 70.0)
SPHERE_RADIUS = 3.0
"""[mm]"""
CONE_EDGES = (0.0058, 0.167)
"""1st and 30th percentile of |D| over directions."""


class IlsqrParams(Params):
    """Parameters of iLSQR."""

    cone: float = Field(0.1, gt=0, lt=2 / 3, description="streaks are searched in bins with |D| below this")
    iterations: int = Field(50, ge=1, description="iteration limit of each solver")
    tolerance: float = Field(1e-2, ge=0, description="stop at this relative residual of the normal equations")
    margin: Margin = 40.0


def ilsqr(
    local_field: Array,
    mask: Array,
    grid: Grid,
    params: IlsqrParams,
    *,
    device: Device,
    weight: Array | None = None,
    callback: SolverCallback | None = None,
) -> Array:
    """Return the susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm]; 0 outside `mask`.

    `weight` (x, y, z), any unit, is best 1 / noise of the field. `callback` receives the status of both
    solvers and may stop the current one.
    """
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, params.margin, device)
    stopping = Stopping(params.iterations, params.tolerance, 5, callback)
    fft = RealFFT(domain.shape, device)
    response = dipole_response(domain.shape, grid.voxel_size, grid.b0_direction, device)
    field, inside = domain.insert(local_field, mask), domain.insert(mask)
    weights = inside_weight(domain, mask, weight) * _smoothness(field, inside, grid, device)
    forward = MaskedConvolution(fft, response, weights, None)
    first = solve_least_squares(forward.forward, forward.adjoint, weights * field, device, stopping).x
    picture = _edge_picture(field, inside, response, fft, grid)
    cone = (abs(response) < params.cone).astype(np.float32)
    cone[0, 0, 0] = 0.0
    flat = _Flatness(picture, inside, grid, fft, cone)
    streaks = solve_least_squares(flat.gradient, flat.adjoint, flat.gradient(first).copy(), device, stopping).x
    result: Array = device.xp.where(mask, domain.extract(first - streaks), np.float32(0))
    return result


def _smoothness(field: Array, inside: Array, grid: Grid, device: Device) -> Array:
    """Weight by |laplace field|, from neighbours in the mask; scaled so that no difference wraps."""
    laplacian = device.empty(field.shape)
    factors = {f"w{a}": 1.0 / h**2 for a, h in zip("xyz", grid.voxel_size, strict=True)}
    launch(
        WRAPPED_LAPLACIAN, device, phase=field, mask=inside.astype(np.uint8), laplacian=laplacian, **factors
    )  # fmt: skip
    return _falling(abs(laplacian), inside, LAPLACIAN_PERCENTILES)


def _falling(values: Array, region: Array, percentiles: tuple[float, float]) -> Array:
    """Return `region` times a ramp: 1 up to the first percentile of `values` in it, 0 from the second."""
    xp = array_module(values)
    chosen = values[region > 0]
    if chosen.size == 0:
        return region
    low, high = (xp.percentile(chosen, p).astype(np.float32) for p in percentiles)
    weight = (high - values) / xp.maximum(high - low, np.finfo(np.float32).tiny)
    result: Array = (xp.clip(weight, 0.0, 1.0) * region).astype(np.float32)
    return result


def _edge_picture(field: Array, inside: Array, response: Array, fft: RealFFT, grid: Grid) -> Array:
    """Return chi_e of step 2."""
    xp = fft.device.xp
    size = abs(response)
    low, high = (math.log(edge) for edge in CONE_EDGES)
    kept = xp.clip((xp.log(xp.maximum(size, CONE)) - low) / (high - low), 0.0, 1.0)
    sphere = sphere_spectrum(fft, SPHERE_RADIUS, grid.voxel_size, fft.device)[0].real
    smooth = (kept + (1.0 - kept) * sphere).astype(np.float32)
    sign = xp.where(size > CONE, xp.sign(response), np.float32(0))
    once = inside * fft.filter(field, smooth * sign)
    return inside * fft.filter(once, smooth)


class _Flatness:
    """Operator G grad on images with a spectrum in the cone, and its adjoint; each result reuses one buffer."""

    def __init__(self, picture: Array, inside: Array, grid: Grid, fft: RealFFT, cone: Array) -> None:
        self.fft, self.device, self.cone = fft, fft.device, cone
        self.scales = {f"h{a}": 1.0 / h for a, h in zip("xyz", grid.voxel_size, strict=True)}
        xp = self.device.xp
        self.weight = xp.ones((3, *fft.shape), np.float32)
        self.differences = self.device.empty((3, *fft.shape))
        self.image = self.device.empty(fft.shape)
        self.spectrum = self.device.empty(fft.spectrum_shape, np.complex64)
        steps = abs(self.gradient(picture))
        for axis in range(3):
            both = inside * xp.roll(inside, -1, axis)
            self.weight[axis] = _falling(steps[axis], both, GRADIENT_PERCENTILES)

    def gradient(self, x: Array) -> Array:
        launch(EDGE_DIFFERENCES, self.device, x=x, w=self.weight, d=self.differences, **self.scales)
        return self.differences

    def adjoint(self, d: Array) -> Array:
        launch(EDGE_ADJOINT, self.device, d=d, w=self.weight, x=self.image, **self.scales)
        self.fft.forward(self.image, self.spectrum)
        launch(MASKED_FILTER, self.device, spectrum=self.spectrum, response=self.cone, scale=self.fft.scale)
        return self.fft.inverse(self.spectrum, self.image, scaled=False)


METHODS = (
    Method(
        stage="inversion", name="ilsqr", run=ilsqr, params=IlsqrParams,
        inputs=("local_field", "mask", "weight?"), outputs={"chi": "ppm"},
        summary="least squares, minus streaks estimated where tissue is flat (LSQR)",
        doi="10.1016/j.neuroimage.2014.12.043",
        bytes_per_voxel=150, reach=lambda params: params.margin, iterative=True,
    ),
)  # fmt: skip
