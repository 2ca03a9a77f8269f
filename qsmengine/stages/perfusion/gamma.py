"""Perfusion by fitting gamma-distributed transit times with delay and dispersion.

Transit times t have a gamma distribution of shape k and mean M, so the residue function is R(t) = Q(k, k t /
M), with the regularised upper incomplete gamma function Q; k = 1 gives exp(-t / M), a large k a box. The AIF
is delayed by d and dispersed by exp(-t / D) / D on its way to the tissue. In the frequency domain

    C(w) = F A(w) exp(-i w d) / (1 + i w D) (1 - (1 + i w M / k)^-k) / (i w),

which is fitted to the curve in time by Levenberg-Marquardt least squares in F, log M, d, log k and log D,
from the exponential fit (:mod:`qsmengine.stages.perfusion.exponential`). One curve does not determine all
five: log k and log D have Gaussian priors, weighted by the noise, which is taken from the residuals of the
exponential fit. `dispersion_sd` 0 leaves dispersion out.

CBF, MTT and delay are those of the fit, with standard errors from the curvature of the penalised sum; CBV is
the ratio of areas, as for the other methods; Tmax is the delay.

References: Mouridsen et al. 2006, 10.1016/j.neuroimage.2006.06.015 (gamma-distributed transit times with
priors).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.transit import GAMMA_TRANSIT
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field
from qsmengine.stages.perfusion.curves import curves_of
from qsmengine.stages.perfusion.exponential import MODEL_OUTPUTS, model_maps
from qsmengine.stages.perfusion.local import local_prior, neighbourhood
from qsmengine.stages.perfusion.maps import INPUTS, checked_aif
from qsmengine.stages.perfusion.residue import EXPONENTIAL
from qsmengine.stages.perfusion.transform import inverse_weights, padded_spectrum, tables, work_space
from qsmengine.stages.perfusion.transit import TransitParams, fit_transit

_UNKNOWNS = 5
_LEAST_NOISE = 1e-8


class GammaParams(TransitParams):
    """Parameters of the gamma model."""

    shape: float = Field(2.0, ge=0.5, le=10, description="k: middle of its prior")
    shape_sd: float = Field(0.5, gt=0, le=5, description="standard deviation of the prior of log k")
    dispersion: float = Field(0.5, ge=0.05, le=10, description="D: middle of its prior [s]")
    dispersion_sd: float = Field(
        0.5, ge=0, le=5, description="standard deviation of the prior of log D; 0: no dispersion"
    )


class GammaMaps(NamedTuple):
    """Perfusion maps (x, y, z) float32, 0 outside the mask, with standard errors.

    As :class:`qsmengine.stages.perfusion.exponential.ModelMaps`, and ``shape`` k [1] and ``dispersion`` D [s].
    """

    cbv: Array
    cbf: Array
    mtt: Array
    tmax: Array
    ttp: Array
    residual: Array
    delay: Array
    cbf_sd: Array
    mtt_sd: Array
    delay_sd: Array
    shape: Array
    dispersion: Array


def gamma(
    dr2star: Array,
    mask: Array,
    frame_times: tuple[float, ...],
    aif: Array,
    grid: Grid,
    params: GammaParams,
    *,
    device: Device,
) -> GammaMaps:
    """Fit the model to `dr2star` (x, y, z, frame) [1/s] with `aif` (frame,) [1/s] inside `mask`.

    `frame_times` (frame,) [s].

    Raises
    ------
    InputError
        For shapes that do not match, an empty mask, frame times that are not even, an AIF without area.
    """
    curves = curves_of(dr2star, mask, frame_times, grid, device)
    artery, frames, step = checked_aif(aif, curves.frames), curves.frames, curves.step
    near = neighbourhood(curves, params, grid, device)
    prior = local_prior(curves, near, artery, params, EXPONENTIAL, "trapezoid", device)
    found = fit_transit(curves, artery, params, EXPONENTIAL, "trapezoid", prior, device)
    noise = device.xp.maximum(
        found.misfit / np.float32(frames - _UNKNOWNS), np.float32(_LEAST_NOISE) * found.power
    )
    shape, dispersion = device.zeros((curves.voxels,)), device.zeros((curves.voxels,))
    weights = inverse_weights(padded_spectrum(artery))
    work = work_space(10 * (frames + 1), curves.voxels, device)
    dispersed = params.dispersion_sd > 0
    fitted = {name: array for name, array in found._asdict().items() if name != "power"}
    arguments = {
        "change": curves.planes.array, "mask": curves.mask, **tables(frames, device)._asdict(),
        "re": device.asarray(weights.real), "im": device.asarray(weights.imag), "noise": noise,
        "scratch": work.scratch, **fitted, "shape": shape, "dispersion": dispersion,
        "shape_mean": math.log(params.shape), "shape_weight": params.shape_sd**-2.0,
        "dispersion_mean": math.log(params.dispersion / step),
        "dispersion_weight": params.dispersion_sd**-2.0 if dispersed else 1.0, "dispersed": float(dispersed),
        "shortest": params.shortest / step, "longest": params.longest / step,
        "earliest": params.earliest / step, "latest": params.latest / step, "iterations": params.iterations,
    }  # fmt: skip
    for begin, end in work.ranges:
        launch(GAMMA_TRANSIT, device, **arguments, begin=begin, end=end)
    maps = model_maps(curves, artery, found, _UNKNOWNS, params, device)
    image = curves.planes.unflatten
    return GammaMaps(*maps, image(shape), image(dispersion * np.float32(step)))


METHODS = (
    Method(
        stage="deconvolution", name="gamma", run=gamma, params=GammaParams, inputs=INPUTS,
        outputs={**MODEL_OUTPUTS, "shape": "1", "dispersion": "s"},
        summary="fit of gamma-distributed transit times with delay and dispersion, standard errors",
        doi="10.1016/j.neuroimage.2006.06.015", bytes_per_voxel=300, bytes_per_volume=52,
    ),
)  # fmt: skip
