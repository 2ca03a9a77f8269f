"""Unwrapping and background removal in one step: LBV from the wrapped phase.

As in HARPERELLA, the Laplacian of the field is computed from the wrapped phase. It needs no unwrapping and
contains no background, since background fields are harmonic inside the mask. The local field solves

    laplacian(l) = laplacian(f) inside,    l = 0 on the boundary,

with the operator of `lbv` (multigrid, 19 points) in place of HARPERELLA's Fourier transform, which also needs
an estimate of the Laplacian outside the mask.

The step of the field between neighbours is the slope over time of the wrapped steps of the phase, weighted by
their inverse variances; each echo is unwrapped with the prediction of the earlier echoes. It is correct where
the phase of the first echo changes by less than pi between neighbours. Elsewhere (noise, rims of sinuses) the
error spreads like a field; path-based unwrapping is more robust there.

Assumes that the phase offset at echo time 0 is zero or varies little between neighbours, and that the local
field is zero on the boundary of the mask (see `lbv`).

References: Li et al. 2014, 10.1002/nbm.3056 (HARPERELLA); Zhou et al. 2014, 10.1002/nbm.3064 (LBV).
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.wrapped_sources import WRAPPED_SOURCES
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.domain import Domain
from qsmengine.solvers.cg import solve_cg
from qsmengine.solvers.multigrid import MaskedLaplacian, compact_weights
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.stages.background.lbv import LbvParams, interior
from qsmengine.stages.background.result import BackgroundResult
from qsmengine.stages.echoes import check_series
from qsmengine.stages.method import Method
from qsmengine.stages.noise import median_magnitude
from qsmengine.stages.params import Field
from qsmengine.units import rad_per_ppm


class PhaseLbvParams(LbvParams):
    """Parameters of LBV from the wrapped phase, the same as those of LBV."""

    peel: int = Field(1, ge=0, le=20, description="layers of voxels removed from the mask first")


def phase_lbv(
    phase: Array,
    magnitude: Array,
    mask: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: PhaseLbvParams,
    *,
    device: Device,
    callback: SolverCallback | None = None,
) -> BackgroundResult:
    """Return the local field (x, y, z) [ppm] and its mask from the wrapped phase inside `mask`.

    Parameters
    ----------
    phase
        (x, y, z, echo) [rad], wrapped.
    magnitude
        (x, y, z, echo), any unit.
    mask
        (x, y, z); it loses `peel` layers and its boundary.
    echo_times
        (echo,) [s].
    grid
        Geometry with field strength.
    params
        Parameters.
    device
        Where to compute.
    callback
        Receives the solver's status and may stop it.

    Raises
    ------
    InputError
        For mismatched shapes or echo times, a missing field strength, a magnitude without signal, or a mask of
        which nothing is left.
    """
    times = check_series(grid, echo_times, phase=phase, magnitude=magnitude)
    field_strength = grid.required_field_strength
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, 0.0, device)
    inside = interior(domain.insert(mask) > 0, params.peel)
    scale = 1.0 / median_magnitude(device.asarray(magnitude[..., 0]), mask)
    sources = device.empty(domain.shape)
    launch(
        WRAPPED_SOURCES, device, phase=_echoes(phase, mask, domain), magnitude=_echoes(magnitude, mask, domain),
        inside=device.asarray(inside, np.uint8), sources=sources, scale=scale,
        times=device.asarray(np.array([rad_per_ppm(field_strength, time) for time in times])),
        **{name: w for name, w in compact_weights(grid.voxel_size).items() if name != "centre"},
    )  # fmt: skip
    laplacian = MaskedLaplacian(inside, grid.voxel_size, device)
    local, _ = solve_cg(
        laplacian.apply, sources, device, Stopping(params.iterations, params.tolerance, 2, callback),
        laplacian.precondition,
    )  # fmt: skip
    return BackgroundResult(domain.extract(local), domain.extract(inside) > 0)


def _echoes(series: Array, mask: Array, domain: Domain) -> Array:
    """Return a series (x, y, z, echo) inside the mask as (echo, x, y, z) on the solver's grid."""
    inserted = domain.device.empty((series.shape[3], *domain.shape))
    for echo, image in enumerate(inserted):
        image[:] = domain.insert(series[..., echo], mask)
    return inserted


METHODS = (
    Method(
        stage="background", name="phase_lbv", run=phase_lbv, params=PhaseLbvParams,
        inputs=("phase", "magnitude", "mask", "echo_times"), outputs={"local_field": "ppm", "mask": "1"},
        summary="LBV directly from the wrapped phase, without unwrapping", doi="10.1002/nbm.3056",
        bytes_per_voxel=60, bytes_per_volume=12, reach=lambda _: 0.0, iterative=True,
    ),
)  # fmt: skip
