"""Weak-harmonic QSM (WH-QSM): nonlinear total variation that also removes the residual background field.

min_{chi, h} sum W^2 (1 - cos(r (D chi + h - field))) / r^2 + lambda || grad chi ||_1
+ beta / 2 || M laplace h ||^2, where h [ppm] is a residual background field, harmonic inside the mask M
and free outside, and r = 2 pi gamma B0 TE is the phase [rad] of 1 ppm at the effective echo time TE (see
`fansi_tv`, with which it shares the data term and lambda). The larger beta, the closer h is to harmonic and the
less local field it can absorb.

Solved by over-relaxed ADMM with the splits grad chi, D chi + h and laplace h; chi and h are found together in
k-space. The padding may be narrow: the field that wraps around has its sources outside the mask, so it is
harmonic inside and becomes part of h.

Reference: Milovic et al. 2019, 10.1002/mrm.27483.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.domain import Domain
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.solvers.tv_admm import PhaseError
from qsmengine.solvers.tv_harmonic import HarmonicTerm, solve_tv_harmonic
from qsmengine.stages.inversion.total_variation import (
    NoiseGainParams,
    PhaseTvParams,
    noisy_weight,
    tv_problem,
)
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Margin, Mm4
from qsmengine.units import rad_per_ppm


class WeakHarmonicParams(PhaseTvParams, NoiseGainParams):
    """Parameters of weak-harmonic QSM: those of `fansi_tv`, and those of the harmonic field."""

    beta: Mm4 = Field(150.0, gt=0, description="weight of the squared Laplacian of h in the mask [mm^4]")
    iterations: int = Field(60, ge=1, description="iteration limit")
    margin: Margin = 12.0
    mu_harmonic: Mm4 = Field(2.0, gt=0, description="ADMM penalty of the split of the Laplacian [mm^4]")


def weak_harmonic(
    local_field: Array,
    mask: Array,
    grid: Grid,
    params: WeakHarmonicParams,
    *,
    device: Device,
    weight: Array | None = None,
    noise: Array | None = None,
    callback: SolverCallback | None = None,
) -> Array:
    """Return the susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm]; 0 outside `mask`.

    `local_field` may contain residual background. `weight` (x, y, z), any unit, is best 1 / noise of
    the field; `noise` (x, y, z) [ppm] adapts lambda. `callback` receives the solver's status and may stop it.

    Raises
    ------
    InputError
        For a grid without field strength.
    """
    phase = PhaseError(rad_per_ppm(grid.required_field_strength, params.echo_time))
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, params.margin, device)
    lam = noisy_weight(params.lam, params.noise_gain, noise, mask)
    chi = solve_tv_harmonic(
        tv_problem(local_field, mask, weight, domain, grid, lam, phase),
        HarmonicTerm(domain.insert(mask), params.beta),
        device,
        Stopping(params.iterations, params.tolerance, callback=callback),
        mu_gradient=params.mu_gradient,
        mu_data=params.mu_data,
        mu_harmonic=params.mu_harmonic,
    )
    result: Array = device.xp.where(mask, domain.extract(chi), np.float32(0))
    return result


METHODS = (
    Method(
        stage="inversion", name="weak_harmonic", run=weak_harmonic, params=WeakHarmonicParams,
        inputs=("local_field", "mask", "weight?", "noise?"), outputs={"chi": "ppm"},
        summary="nonlinear total variation with a residual harmonic field (ADMM)",
        doi="10.1002/mrm.27483",
        bytes_per_voxel=200, reach=lambda params: params.margin, iterative=True,
    ),
)  # fmt: skip
