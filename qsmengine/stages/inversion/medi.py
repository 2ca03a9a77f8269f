"""MEDI: morphology enabled dipole inversion.

    min_chi sum W^2 (1 - cos(r (D chi - field))) / r^2 + lambda || M grad chi ||_1
            + lambda_csf / 2 || chi - mean(chi) ||^2 over CSF

The data term is half the squared distance of exp(i r D chi) and exp(i r field), divided by r^2, with
r = 2 pi gamma B0 TE, the phase [rad] of 1 ppm. Lambda therefore has the unit [ppm mm] and does not depend on TE
and B0. M is 0 for the faces between voxels where the magnitude has an edge, and for those on the mask's
surface: susceptibility may jump there at no cost. Without a magnitude all faces within the mask are penalised.

- MERIT: W is divided by the square of residual / (6 standard deviations) where that exceeds 1, and the
  problem is solved again from the last solution, `merit` times.
- SMV: with a radius, the mean over a sphere is subtracted from field and dipole, which removes harmonic
  remnants of the background. W is 0 where the sphere leaves the mask; chi is still returned in the whole
  mask.
- CSF as zero reference (MEDI+0): with lambda_csf above 0 the ventricles are segmented from R2* and regularised
  towards one value, and their mean is subtracted.

Solved by ADMM with four FFTs per iteration, in place of the papers' Gauss-Newton and conjugate-gradient
iterations; the functional is theirs without the smoothing of the absolute value.

References: Liu J et al. 2012, 10.1016/j.neuroimage.2011.08.082; Liu T et al. 2013, 10.1002/mrm.24272
(nonlinear, MERIT); Liu Z et al. 2018, 10.1002/mrm.26946 (CSF).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.merit import MERIT_RESIDUAL, MERIT_WEIGHT
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.domain import Domain
from qsmengine.ops.smv import sphere_fits, sphere_spectrum
from qsmengine.solvers.loop import iterate
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.solvers.tv_admm import PhaseError, TvAdmm, TvProblem
from qsmengine.solvers.uniform import UniformRegion
from qsmengine.stages.inversion.csf_reference import CsfParams, ventricles
from qsmengine.stages.inversion.morphology import counted_faces
from qsmengine.stages.inversion.total_variation import (
    NoiseGainParams,
    PhaseTvParams,
    noisy_weight,
    tv_problem,
)
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Mm
from qsmengine.units import rad_per_ppm

MERIT_CUT = 6.0
"""Number of standard deviations beyond which residuals lose weight."""

MU_CSF = 5e-3
"""ADMM penalty of the split of the CSF."""


class MediParams(PhaseTvParams, NoiseGainParams):
    """Parameters of MEDI: those of `fansi_tv`, and some specific to MEDI."""

    lam: Mm = Field(3e-5, gt=0, alias="lambda", description="weight of the total variation [ppm mm]")
    noise_gain: Mm = Field(
        0.02, ge=0, description="added to lambda per ppm of the field's median noise, if known [mm]"
    )
    edges: float = Field(0.3, ge=0, lt=1, description="share of the faces in the mask that count as edges")
    merit: int = Field(2, ge=0, le=20, description="number of MERIT reweightings of outliers; 0: none")
    smv_radius: Mm = Field(0.0, ge=0, le=40, description="radius of the SMV sphere [mm]; 0: no SMV")
    lambda_csf: float = Field(
        0.0, ge=0, description="weight of uniform CSF, for example 0.1; needs R2*; 0: none"
    )
    csf_r2star: float = Field(5.0, gt=0, description="upper bound of the R2* of CSF [1/s]")


def medi(
    local_field: Array,
    mask: Array,
    grid: Grid,
    params: MediParams,
    *,
    device: Device,
    magnitude: Array | None = None,
    weight: Array | None = None,
    noise: Array | None = None,
    r2star: Array | None = None,
    callback: SolverCallback | None = None,
) -> Array:
    """Return the susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm]; 0 outside `mask`.

    Parameters
    ----------
    local_field, mask
        (x, y, z) [ppm], and the voxels where it is known.
    grid, params, device
        Geometry, parameters, and where to compute.
    magnitude
        (x, y, z, echo), any unit; the edges are taken from its root sum of squares.
    weight
        (x, y, z), any unit, best 1 / noise of the field.
    noise
        (x, y, z) [ppm]: adapts lambda.
    r2star
        (x, y, z) [1/s], to segment the CSF if lambda_csf is above 0.
    callback
        Receives the solver's status; returning False stops it. With MERIT every solution is reported.

    Raises
    ------
    InputError
        For a grid without field strength, and if requested CSF is not found.
    """
    radians = rad_per_ppm(grid.required_field_strength, params.echo_time)
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, params.margin, device)
    lam = noisy_weight(params.lam, params.noise_gain, noise, mask)
    problem = tv_problem(local_field, mask, weight, domain, grid, lam, PhaseError(radians))
    inside = domain.insert(mask)
    if params.smv_radius > 0:
        problem = _without_sphere_means(problem, inside, params.smv_radius, grid, device)
    problem = replace(problem, faces=counted_faces(magnitude, inside, domain, grid, params.edges))
    uniform = None
    if params.lambda_csf > 0:
        if r2star is None:
            raise InputError("lambda_csf needs R2* to find the CSF", field="r2star")
        found = CsfParams(r2star_max=params.csf_r2star)
        csf = ventricles(r2star, mask, grid, found, device=device)
        uniform = UniformRegion(domain.insert(csf) > 0, params.lambda_csf, MU_CSF)
    chi = _solve(problem, uniform, radians, params, device, callback)
    if uniform is not None:
        chi -= uniform.mean(chi)
    result: Array = device.xp.where(mask, domain.extract(chi), np.float32(0))
    return result


def _without_sphere_means(
    problem: TvProblem, inside: Array, radius: float, grid: Grid, device: Device
) -> TvProblem:
    """Return the problem with data and convolution filtered by 1 - S, weighted where spheres fit the mask."""
    nx, ny, nz = inside.shape
    fft = RealFFT((nx, ny, nz), device)
    if not sphere_fits(radius, grid.voxel_size, inside.shape):
        raise InputError("no sphere of smv_radius fits into the mask; choose a smaller one", field="mask")
    spectrum, count = sphere_spectrum(fft, radius, grid.voxel_size, device)
    means = spectrum.real.astype(np.float32)
    whole = fft.filter(inside, means) > 1.0 - 0.5 / count
    return replace(
        problem,
        response=problem.response * (np.float32(1) - means),
        data=problem.data - fft.filter(problem.data, means),
        weight=problem.weight * whole,
    )


def _solve(
    problem: TvProblem,
    uniform: UniformRegion | None,
    radians: float,
    params: MediParams,
    device: Device,
    callback: SolverCallback | None,
) -> Array:
    state = TvAdmm(problem, device, mu_gradient=params.mu_gradient, mu_data=params.mu_data, uniform=uniform)
    stopping = Stopping(params.iterations, params.tolerance, callback=callback)
    for again in range(params.merit + 1):
        if again:
            _lower_outliers(state, problem, radians, device)
        status = iterate(state.iterate, lambda: state.split.x, stopping)
        if status.reason == "callback":
            break
    return state.split.x


def _lower_outliers(state: TvAdmm, problem: TvProblem, radians: float, device: Device) -> None:
    """Divide the weights by (residual / cut)^2 where that exceeds 1."""
    response = problem.response
    residual = state.fft.filter(state.split.x, response)
    launch(
        MERIT_RESIDUAL, device, ax=residual, f=problem.data, w2=state.weight2, radians=radians,
    )  # fmt: skip
    looked_at = residual[state.weight2 > 0]
    if not looked_at.size:
        return
    cut = MERIT_CUT * float(looked_at.std(dtype=np.float64))
    if cut > 0:
        launch(MERIT_WEIGHT, device, w2=state.weight2, residual=residual, inverse_cut=1.0 / cut)


METHODS = (
    Method(
        stage="inversion", name="medi", run=medi, params=MediParams,
        inputs=("local_field", "mask", "magnitude?", "weight?", "noise?", "r2star?"), outputs={"chi": "ppm"},
        summary="nonlinear data term, sparse gradients except at edges of the magnitude; MERIT, SMV, CSF",
        doi="10.1002/mrm.24272",
        bytes_per_voxel=200, reach=lambda params: params.margin, iterative=True,
    ),
)  # fmt: skip
