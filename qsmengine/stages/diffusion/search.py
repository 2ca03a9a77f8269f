"""Diffusion tensor from the signals, not their logarithm: nonlinear, robust and positive semidefinite fits.

All minimise sum_v loss(S_v - e_v) where e_v = S0 exp(-b_v g_v' D g_v), or, with `noise_floor`, the mean of the
corresponding Rice distribution for noise sigma, and start from the weighted linear fit:

- ``nlls``: loss d^2, Gauss-Newton with steps that are shortened until the sum decreases.
- ``restore``: the same, then three times, five steps each, with the loss d^2 C^2 / (d^2 + C^2) of Geman and
  McClure, C = 1.4826 median |d| sqrt(N / (N - 7)) at the previous fit, not below sigma. Volumes that deviate
  from this model by more than `threshold` sigma (C if sigma is unknown) are then excluded and marked, and the
  others are fitted by nlls.
- ``constrained``: D = S S with S symmetric, so that no eigenvalue is negative; Newton's method, whose second
  derivatives stay exact where D touches the boundary. (With Koay's Cholesky factor instead of S the search
  converges slowly where a leading minor of D vanishes.)

Frames and signs of eigenvectors are as in :mod:`qsmengine.stages.diffusion.tensor`.

References: Jones and Basser 2004, 10.1002/mrm.20033; Koay et al. 2006, 10.1016/j.jmr.2006.06.020; Chang, Jones
and Pierpaoli 2005, 10.1002/mrm.20426; Koay and Basser 2006, 10.1016/j.jmr.2006.01.016 (mean of the Rice
distribution).
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tensor import TENSOR_SEARCH
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.records import record
from qsmengine.stages.diffusion.fitting import (
    INPUTS,
    TENSOR_OUTPUTS,
    FitParams,
    TensorFit,
    correct_deviation,
    pose,
    results,
)
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field

START_FLOOR = 1e-3
"""Fraction of a voxel's largest signal to which lower signals are raised for the initial linear fit."""


class SearchParams(FitParams):
    """Parameters of the nonlinear fits."""

    sigma: float = Field(
        0.0, ge=0, description="standard deviation of the noise [unit of the signal]; 0: unknown"
    )
    noise_floor: bool = Field(
        default=False, description="model the mean of Rician magnitudes; needs sigma or a map of it"
    )
    max_steps: int = Field(50, ge=1, le=1000, description="steps after which a voxel counts as not converged")


class RestoreParams(SearchParams):
    """Parameters of the robust fit."""

    threshold: float = Field(
        3.0,
        gt=0,
        description="volumes that deviate from the robust model by more than this times sigma are excluded",
    )


@record
class RestoreResult(TensorFit):
    """Maps of the tensor; ``outliers`` (x, y, z, volume) uint8 is 1 where a measurement was excluded.

    ``sigma`` is computed over the included volumes.
    """

    outliers: Array


def nlls(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: SearchParams,
    *,
    device: Device,
    gradient_deviation: Array | None = None,
    sigma: Array | None = None,
) -> TensorFit:
    """Fit a tensor in every voxel by nonlinear least squares.

    Parameters
    ----------
    signal, mask, b_values, b_vectors, grid, gradient_deviation
        As in :func:`qsmengine.stages.diffusion.tensor.ols`; signals are used unchanged, NaN as 0.
    sigma
        (x, y, z) standard deviation of the noise [unit of the signal]; replaces the number in `params`.

    Raises
    ------
    InputError
        As `ols` does, and for a noise floor without sigma.
    """
    inputs = signal, mask, b_values, b_vectors, gradient_deviation, sigma
    return TensorFit(**_search(*inputs, grid, params, device))


def restore(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: RestoreParams,
    *,
    device: Device,
    gradient_deviation: Array | None = None,
    sigma: Array | None = None,
) -> RestoreResult:
    """Fit a tensor in every voxel by robust nonlinear least squares that excludes outliers; see `nlls`."""
    inputs = signal, mask, b_values, b_vectors, gradient_deviation, sigma
    return RestoreResult(**_search(*inputs, grid, params, device, threshold=params.threshold))


def constrained(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: SearchParams,
    *,
    device: Device,
    gradient_deviation: Array | None = None,
    sigma: Array | None = None,
) -> TensorFit:
    """Fit a positive semidefinite tensor in every voxel by nonlinear least squares; see `nlls`."""
    inputs = signal, mask, b_values, b_vectors, gradient_deviation, sigma
    return TensorFit(**_search(*inputs, grid, params, device, positive=True))


def _search(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    deviation: Array | None,
    sigma: Array | None,
    grid: Grid,
    params: SearchParams,
    device: Device,
    *,
    threshold: float | None = None,
    positive: bool = False,
) -> dict[str, Array]:
    """Return the maps by name; outliers are excluded if there is a `threshold`."""
    if params.noise_floor and sigma is None and params.sigma == 0:
        raise InputError("a noise floor needs the noise: give sigma", field="sigma")
    if sigma is not None and sigma.ndim != 3:
        raise InputError(f"has {sigma.ndim} dimensions, tensor fits take one map (x, y, z)", field="sigma")
    problem = pose(signal, mask, b_values, b_vectors, grid, params.b0_threshold, device)
    planes = problem.planes
    if sigma is None:
        noise = device.asarray(np.array([params.sigma], np.float32))
    else:
        noise = device.asarray(planes.flatten(sigma), np.float32)
    volumes = len(b_values) if threshold is not None else 0
    outliers = device.xp.zeros((volumes, grid.size), np.uint8)
    launch(
        TENSOR_SEARCH,
        device,
        **problem.arguments(device),
        down=device.asarray(problem.design.down),
        sigma=noise,
        outliers=outliers,
        min_signal=START_FLOOR,
        threshold=threshold or 0.0,
        rician=int(params.noise_floor),
        robust=int(threshold is not None),
        positive=int(positive),
        iterations=params.max_steps,
    )
    correct_deviation(problem, deviation, device)
    found = results(problem)
    del found["sse"]
    return found if threshold is None else found | {"outliers": planes.unflatten(outliers)}


_INPUTS = (*INPUTS, "sigma?")

METHODS = (
    Method(
        stage="diffusion", name="nlls", run=nlls, params=SearchParams, inputs=_INPUTS, outputs=TENSOR_OUTPUTS,
        summary="tensor by nonlinear least squares, with or without a Rician noise floor",
        doi="10.1016/j.jmr.2006.06.020", bytes_per_voxel=92, bytes_per_volume=4,
    ),
    Method(
        stage="diffusion", name="restore", run=restore, params=RestoreParams, inputs=_INPUTS,
        outputs={**TENSOR_OUTPUTS, "outliers": "1"},
        summary="tensor by robust nonlinear least squares that excludes outliers",
        doi="10.1002/mrm.20426", bytes_per_voxel=92, bytes_per_volume=4,
    ),
    Method(
        stage="diffusion", name="constrained", run=constrained, params=SearchParams, inputs=_INPUTS,
        outputs=TENSOR_OUTPUTS,
        summary="tensor by nonlinear least squares, kept positive semidefinite",
        doi="10.1016/j.jmr.2006.06.020", bytes_per_voxel=92, bytes_per_volume=4,
    ),
)  # fmt: skip
