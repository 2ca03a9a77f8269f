"""TGV-QSM: susceptibility from the wrapped phase by total generalised variation.

    min_{chi, w, h} 1/2 sum W^2 (D chi + h - f)^2 + lambda (|| grad chi - w ||_1 + length || eps w ||_1)
                    + beta / 2 || laplace h ||^2

The sums run over the voxels of the mask whose neighbours across faces and edges also lie in it. There the
Laplacian of the phase is known without unwrapping, from the steps between neighbours wrapped to -pi .. pi,

    laplace f = sum_e omega_e L_e / (2 pi gamma B0 TE_e) / sum_e omega_e,    omega_e = (magnitude TE_e)^2,

and f is any function with that Laplacian. Like the background, its difference from the field is harmonic
inside; h represents both. (The paper has the residual psi = D chi + h - f with laplace psi =
box chi - laplace f, which is the same for beta -> infinity; D in k-space is valid for every direction of B0,
whereas the paper's difference stencil needs a special form.) Total generalised variation penalises slopes of
chi over distances above `length` only weakly, where total variation makes steps. Norms are sums of absolute
values.

Solved by ADMM with the splits grad chi - w, eps w, D chi + h and laplace h, with twelve FFTs per iteration.

Assumes that the phase changes by less than pi between neighbours in most echoes.

References: Langkammer et al. 2015, 10.1016/j.neuroimage.2015.02.041; Bredies et al. 2010, 10.1137/090769521.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.laplacian import WRAPPED_LAPLACIAN
from qsmengine.data import Array
from qsmengine.grid import Grid, Vector3
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.domain import Domain
from qsmengine.ops.poisson import PoissonSolver
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.solvers.tgv_harmonic import solve_tgv_harmonic
from qsmengine.solvers.tgv_split import TgvPenalties
from qsmengine.solvers.tv_admm import TvProblem
from qsmengine.solvers.tv_harmonic import HarmonicTerm
from qsmengine.stages.background.lbv import interior
from qsmengine.stages.echoes import check_series, checked_mask
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Length, Margin, Mm, Mm2, Mm4, Params
from qsmengine.stages.single_step.result import SingleStepResult, single_step_result
from qsmengine.units import ppm_per_rad


class TgvParams(Params):
    """Parameters of TGV-QSM."""

    lam: Mm = Field(1e-5, gt=0, alias="lambda", description="weight of the total variation [ppm mm]")
    length: Length = Field(4.0, gt=0, description="slopes over longer distances are penalised weakly [mm]")
    beta: Mm4 = Field(150.0, gt=0, description="weight of the squared Laplacian of h in the mask [mm^4]")
    mu_gradient: float = Field(5e-3, gt=0, description="ADMM penalty of the gradient split")
    mu_curvature: Mm2 = Field(2e-2, gt=0, description="ADMM penalty of the split of eps w [mm^2]")
    mu_data: float = Field(0.1, gt=0, description="ADMM penalty of the data split")
    mu_harmonic: Mm4 = Field(3.0, gt=0, description="ADMM penalty of the split of the Laplacian [mm^4]")
    iterations: int = Field(120, ge=1, description="iteration limit")
    tolerance: float = Field(1e-3, ge=0, description="stop when the relative change of chi is smaller")
    margin: Margin = 40.0


def tgv(
    phase: Array,
    mask: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: TgvParams,
    *,
    device: Device,
    magnitude: Array | None = None,
    callback: SolverCallback | None = None,
) -> SingleStepResult:
    """Return susceptibility [ppm] from the phase inside `mask`, which loses its outer layer.

    Parameters
    ----------
    phase
        (x, y, z, echo) [rad], wrapped or not.
    mask
        (x, y, z).
    echo_times
        (echo,) [s].
    grid, params, device
        Geometry, parameters, and where to compute.
    magnitude
        (x, y, z, echo), any unit: weights of echoes and voxels; None stands for a uniform magnitude.
    callback
        Receives the solver's status; returning False stops it.

    Raises
    ------
    InputError
        For a grid without field strength, mismatched echoes, and if nothing is left of the mask.
    """
    times = check_series(grid, echo_times, phase=phase)
    if magnitude is not None:
        check_series(grid, echo_times, magnitude=magnitude)
    inside = checked_mask(mask, grid, device)
    inner = interior(inside > 0, 0)
    sources, weight = field_laplacian(phase, magnitude, inside, inner, times, grid, device)
    domain = Domain.for_kernel(inner, grid, params.margin, device)
    region = domain.insert(inner)
    problem = TvProblem(
        response=dipole_response(domain.shape, grid.voxel_size, grid.b0_direction, device),
        data=PoissonSolver("periodic", domain.shape, grid.voxel_size, device).solve(domain.insert(sources)),
        weight=domain.insert(weight),
        spacing=grid.voxel_size,
        lam=params.lam,
    )
    chi = solve_tgv_harmonic(
        problem,
        params.lam * params.length,
        HarmonicTerm(region, params.beta),
        device,
        Stopping(params.iterations, params.tolerance, callback=callback),
        penalties=TgvPenalties(params.mu_gradient, params.mu_curvature, params.mu_data),
        mu_harmonic=params.mu_harmonic,
    )
    return single_step_result(chi, region, domain, grid)


def field_laplacian(
    phase: Array,
    magnitude: Array | None,
    mask: Array,
    inner: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    device: Device,
) -> tuple[Array, Array]:
    """Return the Laplacian of the field (x, y, z) [ppm / mm^2] at `inner` voxels, and its weight of mean 1.

    Both are 0 elsewhere; `mask` is uint8. An echo is excluded where a second difference that it needs deviates
    by half a turn or more from that of the first echo times the ratio of the echo times: there a step of more
    than half a turn was wrapped.
    """
    xp, strength, spacing = device.xp, grid.required_field_strength, grid.voxel_size
    total, information = device.zeros(grid.shape), device.zeros(grid.shape)
    first: list[Array] = []
    for echo, time in enumerate(echo_times):
        parts = second_differences(device.asarray(phase[..., echo]), mask, spacing, device)
        first = first or parts
        omega = np.float32((time / echo_times[-1]) ** 2) * xp.ones_like(total)
        if magnitude is not None:
            omega *= device.asarray(magnitude[..., echo]) ** 2
        if echo:
            omega *= ~_next_to(_turned(parts, first, time / echo_times[0], spacing))
        total += omega * np.float32(ppm_per_rad(strength, time)) * compact_laplacian(parts, spacing)
        information += omega
    known = inner & (information > 0)
    total = xp.where(known, total / xp.where(known, information, 1.0), np.float32(0)).astype(np.float32)
    weight = xp.where(known, information**0.5, np.float32(0)).astype(np.float32)
    mean = float(weight.sum(dtype=np.float64)) / float(inner.sum())
    weight /= np.float32(mean if mean > 0 else 1.0)
    return total, weight


def second_differences(wrapped: Array, mask: Array, voxel_size: Vector3, device: Device) -> list[Array]:
    """Return per axis the second difference [rad / mm^2] of the phase whose wrapped values are `wrapped`."""
    parts = []
    for axis, h in enumerate(voxel_size):
        part = device.empty(wrapped.shape)
        weights = {f"w{name}": float(a == axis) / h**2 for a, name in enumerate("xyz")}
        launch(WRAPPED_LAPLACIAN, device, phase=wrapped, mask=mask, laplacian=part, **weights)
        parts.append(part)
    return parts


def compact_laplacian(parts: list[Array], voxel_size: Vector3) -> Array:
    """Return the Laplacian (x, y, z) from the second differences S_e along the axes, by 19 points.

    It is the sum of S_e plus (h_d^2 + h_e^2) / 12 D_d S_e over the pairs of axes, with D_d the second
    difference along d: accurate to fourth order where the phase is harmonic, as that of the background is.
    Both orders are averaged, so the order of the axes does not matter.
    """
    total = parts[0] + parts[1] + parts[2]
    for e, h_e in enumerate(voxel_size):
        for d, h_d in enumerate(voxel_size):
            if d != e:
                factor = np.float32((h_d**2 + h_e**2) / (24.0 * h_d**2))
                source, target = parts[e].swapaxes(0, d), total.swapaxes(0, d)
                target[1:-1] += factor * (source[2:] - 2 * source[1:-1] + source[:-2])
    return total


def _turned(parts: list[Array], first: list[Array], ratio: float, voxel_size: Vector3) -> Array:
    """Find voxels whose second difference deviates from `ratio` times the first by half a turn or more."""
    off = [
        abs(p - np.float32(ratio) * f) > np.float32(np.pi / h**2)
        for p, f, h in zip(parts, first, voxel_size, strict=True)
    ]
    turned: Array = off[0] | off[1] | off[2]
    return turned


def _next_to(bad: Array) -> Array:
    """Return `bad` and the voxels with a face neighbour in it."""
    wider: Array = bad.copy()
    for axis in range(3):
        source, target = bad.swapaxes(0, axis), wider.swapaxes(0, axis)
        target[1:] |= source[:-1]
        target[:-1] |= source[1:]
    return wider


METHODS = (
    Method(
        stage="single-step", name="tgv", run=tgv, params=TgvParams,
        inputs=("phase", "mask", "echo_times", "magnitude?"),
        outputs={"chi": "ppm", "local_field": "ppm", "mask": "1"},
        summary="total generalised variation on the Laplacian of the wrapped phase",
        doi="10.1016/j.neuroimage.2015.02.041",
        bytes_per_voxel=300, bytes_per_volume=8, reach=lambda params: params.margin, iterative=True,
    ),
)  # fmt: skip
