"""Diffusion tensor by log-linear least squares: OLS and three weighted fits, with all maps.

log S_v = log S0 - b_v g_v' D g_v. All minimise sum w_v (log S_v - model)^2; the noise of log S is sigma / S:

- ``ols``: w = 1.
- ``wls``: w = exp(2 model_OLS), the squared signal predicted by OLS (Chung 2006; WLS in DIPY).
- ``wls_fsl``: w = S^2 as measured (Salvador 2005; FSL's ``dtifit --wls``). Measured weights correlate with the
  noise they weigh, which biases the fit.
- ``iwls``: weights from measured signals, then `iterations` fits with weights predicted by the previous fit
  (as MRtrix3's ``dwi2tensor -iter``; Veraart 2013). With `start` "ols" the first fit is not weighted.

Directions are read, and tensor and eigenvectors returned, in FSL's frame: array axes, with x negated where
the affine's determinant is positive. dtifit does the same; FA, MD and the other scalars do not depend on it.
Eigenvectors have an arbitrary sign. D is not constrained to be positive: noise can cause negative eigenvalues,
which are kept (FA can then exceed 1, up to sqrt(3/2)) and marked in the status map.

References: Basser et al. 1994, 10.1006/jmrb.1994.1037; weights: Salvador et al. 2005, 10.1002/hbm.20076, Chung
et al. 2006, 10.1016/j.neuroimage.2006.07.001, and Veraart et al. 2013, 10.1016/j.neuroimage.2013.05.028; mode:
Ennis and Kindlmann 2006, 10.1002/mrm.20741.
"""

from __future__ import annotations

from typing import Literal

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tensor import TENSOR_FIT
from qsmengine.data import Array
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
from qsmengine.stages.params import Field, model_validator


class TensorParams(FitParams):
    """Parameters of the linear fits.

    `floor` selects the treatment of signals too small for a logarithm: "relative" raises those below
    `min_signal` times the voxel's largest signal, "absolute" those below `lowest_signal` [unit of the signal],
    for instance the noise. "fsl" follows dtifit: fit once with log S = 0 where S <= 0 (which depends on the
    unit of the signal), raise signals to 1 % of the fitted S0, fit again, and return an S0 not below the mean
    signal.
    """

    floor: Literal["relative", "absolute", "fsl"] = Field(
        "relative",
        description="floor to which small signals are raised: relative, absolute or fsl (two passes)",
    )
    min_signal: float = Field(
        1e-3,
        gt=0,
        lt=1,
        description="floor relative: signals below this fraction of the voxel's maximum are raised",
    )
    lowest_signal: float | None = Field(
        None, gt=0, description="floor absolute: lower signals are raised to this value [unit of the signal]"
    )

    @model_validator(mode="after")
    def _floor_is_given(self) -> TensorParams:
        if (self.floor == "absolute") != (self.lowest_signal is not None):
            raise ValueError("lowest_signal belongs to floor=absolute, which needs it")
        return self


class IwlsParams(TensorParams):
    """Parameters of the iterated weighted fit."""

    iterations: int = Field(
        2, ge=0, le=100, description="fits with predicted weights after the first; 0: only the first fit"
    )
    start: Literal["measured", "ols"] = Field(
        "measured", description="weights of the first fit: from measured signals, or none (ols)"
    )


@record
class TensorResult(TensorFit):
    """Maps of the tensor; ``sse`` is the unweighted sum of squared residuals of log S [1]."""

    sse: Array


def ols(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: TensorParams,
    *,
    device: Device,
    gradient_deviation: Array | None = None,
) -> TensorResult:
    """Fit a tensor in every voxel by ordinary log-linear least squares.

    Parameters
    ----------
    signal
        (x, y, z, volume), any unit, any memory order. Float32 in Fortran order is read without a copy.
        Small, zero, negative and NaN values are raised according to `floor`.
    mask
        (x, y, z); only voxels inside are fitted. Outputs are 0 outside, and where no signal is positive or
        the largest is infinite.
    b_values
        (volume,) [s/mm^2].
    b_vectors
        (volume, 3), unit vectors in FSL's frame, or zero at b = 0.
    grid
        Geometry.
    gradient_deviation
        (x, y, z, 9) [1], see :func:`qsmengine.stages.diffusion.fitting.correct_deviation`.

    Raises
    ------
    InputError
        For mismatched shapes, an empty mask, and a gradient table that is malformed or cannot determine a
        tensor.
    """
    return _fit(signal, mask, b_values, b_vectors, gradient_deviation, grid, params, device, 0)


def wls(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: TensorParams,
    *,
    device: Device,
    gradient_deviation: Array | None = None,
) -> TensorResult:
    """Fit a tensor in every voxel by least squares weighted with the squared OLS prediction; see `ols`."""
    return _fit(signal, mask, b_values, b_vectors, gradient_deviation, grid, params, device, 1)


def wls_fsl(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: TensorParams,
    *,
    device: Device,
    gradient_deviation: Array | None = None,
) -> TensorResult:
    """Fit a tensor in every voxel by least squares weighted with the squared measured signal; see `ols`.

    With `floor` "fsl" the weights are those of the signals before they are raised, and 1 where S <= 0.
    """
    return _fit(signal, mask, b_values, b_vectors, gradient_deviation, grid, params, device, 1, measured=True)


def iwls(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: IwlsParams,
    *,
    device: Device,
    gradient_deviation: Array | None = None,
) -> TensorResult:
    """Fit a tensor in every voxel by iterated weighted least squares; see `ols`."""
    measured = params.start == "measured"
    steps = params.iterations + (1 if measured else 0)
    return _fit(
        signal, mask, b_values, b_vectors, gradient_deviation, grid, params, device, steps, measured=measured
    )


def _fit(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    deviation: Array | None,
    grid: Grid,
    params: TensorParams,
    device: Device,
    reweightings: int,
    *,
    measured: bool = False,
) -> TensorResult:
    problem = pose(signal, mask, b_values, b_vectors, grid, params.b0_threshold, device)
    launch(
        TENSOR_FIT,
        device,
        **problem.arguments(device),
        min_signal=params.min_signal if params.floor == "relative" else 0.0,
        lowest=params.lowest_signal or 0.0,
        fsl=int(params.floor == "fsl"),
        reweightings=reweightings,
        measured=int(measured),
    )
    correct_deviation(problem, deviation, device)
    return TensorResult(**results(problem))


_OUTPUTS = {**TENSOR_OUTPUTS, "sse": "1"}

METHODS = (
    Method(
        stage="diffusion", name="ols", run=ols, params=TensorParams, inputs=INPUTS, outputs=_OUTPUTS,
        summary="tensor by ordinary log-linear least squares",
        doi="10.1006/jmrb.1994.1037", bytes_per_voxel=84, bytes_per_volume=4,
    ),
    Method(
        stage="diffusion", name="wls", run=wls, params=TensorParams, inputs=INPUTS, outputs=_OUTPUTS,
        summary="tensor by least squares weighted with the predicted signal",
        doi="10.1016/j.neuroimage.2006.07.001", bytes_per_voxel=84, bytes_per_volume=4,
    ),
    Method(
        stage="diffusion", name="wls_fsl", run=wls_fsl, params=TensorParams, inputs=INPUTS, outputs=_OUTPUTS,
        summary="tensor by least squares weighted with the measured signal, as dtifit --wls",
        doi="10.1002/hbm.20076", bytes_per_voxel=84, bytes_per_volume=4,
    ),
    Method(
        stage="diffusion", name="iwls", run=iwls, params=IwlsParams, inputs=INPUTS, outputs=_OUTPUTS,
        summary="tensor by iterated weighted least squares, as MRtrix3 dwi2tensor",
        doi="10.1016/j.neuroimage.2013.05.028", bytes_per_voxel=84, bytes_per_volume=4,
    ),
)  # fmt: skip
