"""Common parts of the total-variation inversions: parameters, and the solution inside the mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.domain import Domain
from qsmengine.ops.gaussian import gaussian_response
from qsmengine.ops.noise_level import noise_level
from qsmengine.ops.order_statistics import median
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.solvers.tv_admm import DataStep, TvProblem, solve_tv
from qsmengine.stages.inversion.morphology import faces_of_image
from qsmengine.stages.inversion.setup import inside_weight
from qsmengine.stages.params import Field, Margin, Mm, Params

LARGEST_SPREAD = 0.75
"""Largest standard deviation of the Gaussian that chi is smooth by [mm]."""


class TvParams(Params):
    """Parameters of total variation by ADMM with the splits grad chi and D chi."""

    lam: Mm = Field(8e-6, gt=0, alias="lambda", description="weight of the total variation [ppm mm]")
    mu_gradient: float = Field(2e-2, gt=0, description="ADMM penalty of the gradient split")
    mu_data: float = Field(0.05, gt=0, description="ADMM penalty of the data split")
    iterations: int = Field(120, ge=1, description="iteration limit")
    tolerance: float = Field(1e-3, ge=0, description="stop when the relative change of chi is smaller")
    margin: Margin = 40.0


class PhaseTvParams(TvParams):
    """Parameters of total variation with the data term on the phase."""

    mu_data: float = Field(0.2, gt=0, description="ADMM penalty of the data split")
    echo_time: float = Field(0.002, gt=0, description="effective echo time of the phase model [s]")


class NoiseGainParams(Params):
    """Parameters of methods whose weight of the total variation grows with the noise of the field."""

    noise_gain: Mm = Field(
        0.1, ge=0, description="added to lambda per ppm of the field's median noise, if known [mm]"
    )


def noisy_weight(lam: float, noise_gain: float, noise: Array | None, mask: Array) -> float:
    """Return the weight of the total variation [ppm mm]: `lam` + `noise_gain` times the median noise in `mask`.

    `noise` is in [ppm]. The smallest weight of a first-order penalty that avoids fitting noise is proportional
    to the noise (Bickel et al. 2009, 10.1214/08-AOS620). Voxels of unknown noise (0) do not count.
    """
    if noise is None or noise_gain == 0:
        return lam
    return lam + noise_gain * _median_noise(noise, mask)


def typical_noise(
    noise: Array | None, field: Array, mask: Array, device: Device, *, weight: Array | None = None
) -> float:
    """Return the median of `noise` in `mask`, or without it the noise level of `field`; all [ppm].

    Voxels of unknown noise (0) do not count. `weight` as in :func:`~qsmengine.ops.noise_level.noise_level`.
    """
    if noise is None:
        return noise_level(field, mask, device, weight=weight)
    return _median_noise(device.asarray(noise), mask)


def _median_noise(noise: Array, mask: Array) -> float:
    known = mask & (noise > 0)
    return median(noise[known]) if bool(known.any()) else 0.0


def tv_problem(
    local_field: Array,
    mask: Array,
    weight: Array | None,
    domain: Domain,
    grid: Grid,
    lam: float,
    data_step: DataStep,
) -> TvProblem:
    """Return the problem on the solver's grid: W is the mask, or `weight` inside it scaled to mean 1."""
    return TvProblem(
        response=dipole_response(domain.shape, grid.voxel_size, grid.b0_direction, domain.device),
        data=domain.insert(local_field, mask),
        weight=inside_weight(domain, mask, weight),
        spacing=grid.voxel_size,
        lam=lam,
        data_step=data_step,
    )


def point_spread_of(share: float, domain: Domain, grid: Grid, largest: float = LARGEST_SPREAD) -> Array:
    """Return the half spectrum of the Gaussian that chi is smooth by, on the solver's grid.

    Tissue has sharp edges, but voxels average it. The standard deviation is `share` of a voxel along each axis,
    at most `largest` [mm]: large voxels show edges that are sharper than half a voxel.
    """
    x, y, z = (min(share * h, largest) for h in grid.voxel_size)
    return gaussian_response(domain.shape, grid.voxel_size, (x, y, z), domain.device)


def invert_tv(
    local_field: Array,
    mask: Array,
    grid: Grid,
    params: TvParams,
    data_step: DataStep,
    *,
    lam: float,
    device: Device,
    weight: Array | None,
    callback: SolverCallback | None,
    point_spread: float = 0.0,
    own_edges: float = 0.0,
) -> Array:
    """Return chi (x, y, z) [ppm] for min sum W^2 loss(D chi - field) + lam || M grad chi ||_1.

    chi is 0 outside `mask`. `local_field` (x, y, z) [ppm]; W is the mask, or `weight` inside it scaled to
    mean 1; the loss is that of `data_step`. With `point_spread` above 0 (:func:`point_spread_of`), the total
    variation is that of chi before the Gaussian. M is 1, but with `own_edges` above 0 it is 0 on the surface of
    the mask and for this share of the faces within it, where a first chi (M = 1, half the iterations) changes
    most. The penalty `mu_gradient` of `params` belongs to the `lam` of `params` and grows with `lam`.
    """
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, params.margin, device)
    problem = tv_problem(local_field, mask, weight, domain, grid, lam, data_step)
    spread = point_spread_of(point_spread, domain, grid) if point_spread > 0 else None
    if spread is not None:
        problem = replace(problem, response=problem.response * spread)

    def solution(problem: TvProblem, iterations: int, observer: SolverCallback | None) -> Array:
        chi = solve_tv(
            problem, device, Stopping(iterations, params.tolerance, callback=observer),
            mu_gradient=params.mu_gradient * lam / params.lam, mu_data=params.mu_data,
        )  # fmt: skip
        return chi if spread is None else RealFFT(domain.shape, device).filter(chi, spread)

    if own_edges > 0:
        first = solution(problem, max(params.iterations // 2, 1), None)
        problem = replace(problem, faces=faces_of_image(first, domain.insert(mask), grid, own_edges))
    chi = solution(problem, params.iterations, callback)
    result: Array = device.xp.where(mask, domain.extract(chi), np.float32(0))
    return result
