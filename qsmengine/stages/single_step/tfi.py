"""Total field inversion (TFI): joint estimation of susceptibility and background field.

    min_{u, h} sum W^2 (1 - cos(r (D chi + b + h - total field))) / r^2 + lambda || M grad u ||_1
               + beta / 2 || laplace h ||^2 + sum_i lambda_i / 2 || u - mean_i(u) ||^2 over tissue i;  chi = G u

chi covers the whole grid; the sums of the first and third term run over the voxels of the mask whose
neighbours across faces and edges also lie in it. b + h is the field of all other sources (air, bone, neck,
shim), which is harmonic there: b is the harmonic function with the boundary values of the total field, computed
by multigrid, and h corrects it for the local field on the boundary. r = 2 pi gamma B0 TE is the phase [rad]
of 1 ppm; lambda has the unit and meaning of `fansi_tv`'s. M is 0 where the magnitude has an edge, as in `medi`,
but 1 on the surface and outside; without known tissue, 1 also where there are no data. Without a magnitude the
edges are those of a first chi (`own_edges`).

- G is a Gaussian of `point_spread` voxels, at most 1 mm, or 0.75 mm if the noise of the field is not known:
  tissue has sharp edges, but voxels average it. Without G, total variation makes edges sharper than an image
  can show, and noise appears as steps.
- W is 1 / noise of the field, where a share `field_error` of the field's change from voxel to voxel counts as
  noise: near bone and air, ringing, partial volume and dephasing exceed it.
- Total variation lowers the contrast of all structures. Their field remains in the residual, which is smoothed
  (`residual_spread`) and added to the data every three iterations (Osher et al. 2005, 10.1137/040605412).
  Deep in the brain, where the field is known best, M also becomes 0 where chi itself changes most, after 3/8
  and 5/8 of the iterations (`inner_edges`): some structures have no edge in the magnitude (Meinshausen 2007,
  10.1016/j.csda.2006.12.019).
- Any background explains part of a smooth chi, which is why maps of the total field are shaded. CSF has one
  susceptibility in the whole brain, and it is found by its slow decay, given two echoes or more
  and wide ventricles.
- Neither data nor total variation determine the two outermost layers well. Brain ends in cortex: voxels there
  are pulled towards the mean of cortex (`lambda_rim`), except those that may be veins.
- One echo does not determine the phase offset at TE = 0. Most of it is harmonic, or the bowl that a conducting
  head causes, which is removed; the rest becomes part of h, the weight of whose Laplacian falls with TE
  (:mod:`qsmengine.stages.single_step.offset`).
- chi of the outer `rim` [mm] stays close to the mean beneath it, the closer the less W is: bone and air in
  these voxels have strong fields, but their chi is not that of the brain.

The papers model the background as the field of sources outside the mask, with a preconditioner by which these
sources converge first. The space of fields is the same, but sources close to the mask are not resolved by the
voxels, and conjugate gradients need many iterations for them; a boundary-value problem has neither difficulty.
The data do not extend to the surface of the mask, but chi does: the sources next to the data, among them the
veins along the brain's surface, are determined by their field inside.

Solved by the ADMM of `weak_harmonic`, with six FFTs per iteration; a narrow padding suffices as there.

References: Liu et al. 2017, 10.1002/mrm.26331; Dimov et al. 2022, 10.1111/jon.12963 (CSF); Zhou et al. 2014,
10.1002/nbm.3064 (b); Milovic et al. 2019, 10.1002/mrm.27483 (h).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array, check_echo_times
from qsmengine.grid import Grid
from qsmengine.ops.components import filled
from qsmengine.ops.domain import Domain
from qsmengine.ops.faces import without_steepest
from qsmengine.ops.gaussian import gaussian_response
from qsmengine.ops.morphology import eroded
from qsmengine.solvers.edge_relaxation import EdgeRelaxation
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.solvers.tv_admm import PhaseError, TvProblem
from qsmengine.solvers.tv_harmonic import HarmonicTerm, solve_tv_harmonic
from qsmengine.solvers.uniform import UniformRegions
from qsmengine.stages.inversion.morphology import log_magnitude
from qsmengine.stages.inversion.total_variation import (
    LARGEST_SPREAD,
    point_spread_of,
    tv_problem,
    typical_noise,
)
from qsmengine.stages.inversion.weak_harmonic import WeakHarmonicParams
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Length, Mm, Mm4
from qsmengine.stages.single_step.boundary import boundary_values, without_gaps
from qsmengine.stages.single_step.offset import weight_with_offset, without_bowl
from qsmengine.stages.single_step.result import SingleStepResult, single_step_result
from qsmengine.stages.single_step.rim import limit_rim, trust, weight_of_steepness
from qsmengine.stages.single_step.tissue import tissue_regions
from qsmengine.units import rad_per_ppm

MU_TISSUE = 1e-4
"""ADMM penalty of the split of uniform tissue."""
LARGEST_NOISY_SPREAD = 1.0
"""Largest standard deviation of the Gaussian that chi is smooth by, given the noise of the field [mm]."""
RELAXED_AFTER = (3 / 8, 5 / 8)
"""When edges of chi are left out of the total variation, as shares of the iteration limit."""
MIXED_SHARE = 0.1
"""Weight of uniform voxels that contain CSF and tissue, as a share of that of CSF."""


class TfiParams(WeakHarmonicParams):
    """Parameters of total field inversion: those of `weak_harmonic` and of the morphology prior."""

    lam: Mm = Field(2e-5, gt=0, alias="lambda", description="weight of the total variation [ppm mm]")
    noise_gain: Mm = Field(0.1, ge=0, description="added to lambda per ppm of the field's median noise [mm]")
    edges: float = Field(0.35, ge=0, lt=1, description="share of the faces in the mask that count as edges")
    own_edges: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="without magnitude, share of the faces in the mask that count as edges of a first chi of "
        "half the iterations; 0: no edges and no first chi",
    )
    inner_edges: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="share of the faces deep in the mask that become edges because chi changes most; 0: none",
    )
    inner_depth: Length = Field(
        8.0, ge=0, le=50, description="depth from which faces become edges in this way [mm]"
    )
    mu_gradient: float = Field(5e-3, gt=0, description="ADMM penalty of the gradient split")
    mu_data: float = Field(0.1, gt=0, description="ADMM penalty of the data split")
    mu_harmonic: Mm4 = Field(1.0, gt=0, description="ADMM penalty of the split of the Laplacian [mm^4]")
    iterations: int = Field(40, ge=1, description="iteration limit")
    boundary_tolerance: float = Field(
        3e-4, ge=0, description="relative residual at which to stop solving the boundary-value problem"
    )
    field_error: float = Field(
        0.07, ge=0, description="error of the field as a share of its change from voxel to voxel"
    )
    lambda_csf: float = Field(0.1, ge=0, description="weight of uniform CSF; 0: none")
    csf_decay: float = Field(
        0.3, gt=0, lt=1, description="largest decay over the echoes in CSF, relative to the mask's median"
    )
    lambda_rim: float = Field(
        0.003, ge=0, description="weight of uniform tissue in the two outermost layers; 0: none"
    )
    point_spread: float = Field(
        0.5,
        ge=0,
        le=2,
        description="standard deviation of the Gaussian that chi is smooth by [voxels], at most 1 mm; if the "
        "noise of the field is not known, at most 0.75 mm",
    )
    residual_spread: Length = Field(
        1.7,
        ge=0,
        le=20,
        description="standard deviation of the Gaussian that smooths the residual before it is returned to the "
        "data [mm], at least a voxel; 0: not returned",
    )
    offset_beta: Mm4 = Field(
        120.0,
        gt=0,
        description="with one echo: weight of the squared Laplacian of its phase offset at an echo time of "
        "20 ms; it grows with the square of the echo time and limits beta",
    )
    rim: Length = Field(3.0, ge=0, le=20, description="depth of the rim, which may contain bone and air [mm]")
    rim_limit: float = Field(
        0.08,
        ge=0,
        description="largest difference of chi in the rim from the mean beneath it, where data are good [ppm]",
    )


def tfi(
    total_field: Array,
    mask: Array,
    grid: Grid,
    params: TfiParams,
    *,
    device: Device,
    magnitude: Array | None = None,
    weight: Array | None = None,
    noise: Array | None = None,
    echo_times: Sequence[float] | None = None,
    callback: SolverCallback | None = None,
) -> SingleStepResult:
    """Return susceptibility [ppm] inside `mask`, with its holes filled, from the total field (x, y, z) [ppm].

    Parameters
    ----------
    total_field, mask
        (x, y, z) [ppm], and the voxels where it is known. Holes of the mask (a calcification, a vessel without
        signal) count as brain with unknown field: their chi follows from the field around them.
    grid, params, device
        Geometry, parameters, and where to compute.
    magnitude
        (x, y, z, echo), any unit; the edges are taken from its sum of squares, tissue from its decay. None:
        edges of a first chi and no tissue.
    weight
        (x, y, z), any unit, best 1 / noise of the field.
    noise
        (x, y, z) [ppm]: adapts lambda, and is compared with the field's change. None: estimated from the field.
    echo_times
        [s]. One: the field contains the phase offset of the echo. Several, or none: it does not.
    callback
        Receives the status of the joint solution; returning False stops it.

    Raises
    ------
    InputError
        For a grid without field strength, echo times that are not possible, and if nothing is left of the mask.
    """
    times = check_echo_times(tuple(echo_times)) if echo_times is not None and len(echo_times) else ()
    phase = PhaseError(rad_per_ppm(grid.required_field_strength, params.echo_time))
    known = device.asarray(mask, bool)
    mask = filled(known, device)
    total_field = without_gaps(device.asarray(total_field), known, mask, device)
    weight = (known if weight is None else device.asarray(weight) * known).astype(np.float32)
    inner, local = boundary_values(total_field, mask, grid, params.boundary_tolerance, device)
    beta = params.beta
    if len(times) == 1:
        local = without_bowl(local, mask, inner, grid, params.boundary_tolerance, device)
        beta = weight_with_offset(beta, params.offset_beta, times[0])
    typical = typical_noise(noise, local, inner, device)
    weight = weight_of_steepness(weight, total_field, mask, typical, params.field_error)
    domain = Domain.for_kernel(mask, grid, params.margin, device)
    region, whole = domain.insert(inner), domain.insert(mask)
    tissue = uniform_tissue(magnitude, known, domain, grid, params)
    lam = params.lam + params.noise_gain * typical
    problem = tv_problem(local, inner, weight, domain, grid, lam, phase)
    largest = LARGEST_SPREAD if noise is None else LARGEST_NOISY_SPREAD
    spread = point_spread_of(params.point_spread, domain, grid, largest)
    joint = _Joint(
        replace(problem, response=problem.response * spread),
        HarmonicTerm(region, beta),
        tissue, deep_region(mask, domain, grid, params),
        spread, residual_filter(params.residual_spread, domain, grid), params, device,
    )  # fmt: skip
    faces = penalised_faces(magnitude, region if tissue is None else whole, domain, grid, params.edges)
    if magnitude is None and params.own_edges > 0:
        first = joint.chi(faces, max(params.iterations // 2, 1))
        faces = without_steepest(first, whole, grid.voxel_size, params.own_edges)
    chi = joint.chi(faces, params.iterations, callback)
    limit = domain.insert(np.float32(params.rim_limit) * trust(weight, inner))
    chi = limit_rim(chi, whole > 0, params.rim, limit, grid.voxel_size, device)
    return single_step_result(chi, whole, domain, grid)


@dataclass(frozen=True)
class _Joint:
    """The joint problem of chi and background on the solver's grid; chi is x, smooth by `spread`."""

    problem: TvProblem
    harmonic: HarmonicTerm
    tissue: UniformRegions | None
    deep: Array | None
    spread: Array
    smoothing: Array | None
    params: TfiParams
    device: Device

    def chi(self, faces: Array, iterations: int, callback: SolverCallback | None = None) -> Array:
        """Return chi [ppm], with total variation across `faces` alone."""
        params = self.params
        stopping = Stopping(iterations, params.tolerance, callback=callback)
        x = solve_tv_harmonic(
            replace(self.problem, faces=faces),
            self.harmonic,
            self.device,
            stopping,
            mu_gradient=params.mu_gradient,
            mu_data=params.mu_data,
            mu_harmonic=params.mu_harmonic,
            uniform=self.tissue,
            smoothing=self.smoothing,
            relaxation=self.relaxation(iterations),
        )
        return RealFFT(self.problem.data.shape, self.device).filter(x, self.spread)

    def relaxation(self, iterations: int) -> EdgeRelaxation | None:
        """Return the relaxation of edges deep in the mask within this number of iterations."""
        if self.deep is None:
            return None
        after = tuple(round(share * iterations) for share in RELAXED_AFTER)
        return EdgeRelaxation(self.deep, self.params.inner_edges, after)


def deep_region(mask: Array, domain: Domain, grid: Grid, params: TfiParams) -> Array | None:
    """Return the voxels deeper than `inner_depth` on the solver's grid, or None if no edges follow from chi."""
    if params.inner_edges == 0:
        return None
    deep: Array = domain.insert(eroded(mask, params.inner_depth, grid.voxel_size, domain.device)) > 0
    return deep


def residual_filter(spread: float, domain: Domain, grid: Grid) -> Array | None:
    """Return the half spectrum of a Gaussian of `spread` [mm], but at least a voxel; None for 0."""
    if spread == 0:
        return None
    x, y, z = (max(spread, h) for h in grid.voxel_size)
    return gaussian_response(domain.shape, grid.voxel_size, (x, y, z), domain.device)


def penalised_faces(magnitude: Array | None, inside: Array, domain: Domain, grid: Grid, edges: float) -> Array:
    """Return all faces except those within `inside` at which the magnitude has an edge."""
    if magnitude is None:
        every: Array = domain.device.xp.full(domain.shape, 0xFF, np.uint8)
        return every
    return without_steepest(log_magnitude(magnitude, inside, domain), inside, grid.voxel_size, edges)


def uniform_tissue(
    magnitude: Array | None, inside: Array, domain: Domain, grid: Grid, params: TfiParams
) -> UniformRegions | None:
    """Return the terms of uniform tissue on the solver's grid, or None without any."""
    tissue = tissue_regions(magnitude, inside, params.csf_decay, grid.voxel_size, domain.device)
    weights = {"fluid": params.lambda_csf, "mixed": MIXED_SHARE * params.lambda_csf, "rim": params.lambda_rim}
    found = [(domain.insert(region) > 0, weights[name]) for name, region in tissue.items() if weights[name] > 0]
    return UniformRegions(found, MU_TISSUE) if found else None


METHODS = (
    Method(
        stage="single-step", name="tfi", run=tfi, params=TfiParams,
        inputs=("total_field", "mask", "magnitude?", "weight?", "noise?", "echo_times?"),
        outputs={"chi": "ppm", "local_field": "ppm", "mask": "1"},
        summary="total field inversion with morphology prior and harmonic background",
        doi="10.1002/mrm.26331",
        bytes_per_voxel=230, reach=lambda params: params.margin, iterative=True, within_mask=True,
    ),
)  # fmt: skip
