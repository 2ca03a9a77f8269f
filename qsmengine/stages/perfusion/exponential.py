"""Perfusion by fitting an exponential residue function with a delay.

    C(t) = F int a(s - d) exp(-(t - s) / M) ds

with the flow F, the mean transit time M and the delay d, by Levenberg-Marquardt least squares in F, log M and
d from the best point of a grid. The AIF a is interpolated between frames by a cubic spline
(:mod:`qsmengine.stages.perfusion.residue`). The rule `rectangle` of the integral is for simulated curves that
were made so, such as OSIPI's: there, the integral's F is too large by a factor of about 1 + dt / (2 M).

At the noise of a single voxel, least squares alone scatter M widely and overestimate the mean flow, by a third
to a half at an SNR of 50. log M and d therefore have Gaussian priors about their values in the neighbourhood
(:mod:`qsmengine.stages.perfusion.local`), with the standard deviations `transit_sd` and `delay_sd`. Where the
curve determines M and d, the priors change nothing; 0 leaves a prior out.

CBF and MTT are those of the fit; CBV is the ratio of areas, as for the other methods. Tmax is the delay: the
model's residue function is largest when the agent arrives. Standard errors follow from the curvature at the
minimum and the residuals of n frames, noise^2 = misfit / (n - 3); they are limited to the range of the
parameter. Curves that no positive flow explains have flow 0.

Reference: Fieselmann et al. 2011, 10.1155/2011/467563 (residue functions); Ostergaard et al. 1996,
10.1002/mrm.1910360510.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field
from qsmengine.stages.perfusion.curves import Curves, curves_of
from qsmengine.stages.perfusion.local import local_prior, neighbourhood
from qsmengine.stages.perfusion.maps import INPUTS, OUTPUTS, checked_aif, perfusion_maps
from qsmengine.stages.perfusion.residue import EXPONENTIAL, Rule
from qsmengine.stages.perfusion.transform import FloatArray
from qsmengine.stages.perfusion.transit import UNKNOWNS, Fitted, TransitParams, fit_transit

MODEL_OUTPUTS = {
    **OUTPUTS, "delay": "s", "cbf_sd": "mL/100 g/min", "mtt_sd": "s", "delay_sd": "s",
}  # fmt: skip
_LARGEST_SD = 1e4


class ExponentialParams(TransitParams):
    """Parameters of the exponential model."""

    rule: Rule = Field("trapezoid", description="rule of the convolution integral")


class ModelMaps(NamedTuple):
    """Perfusion maps (x, y, z) float32, 0 outside the mask, with standard errors.

    As :class:`qsmengine.stages.perfusion.maps.Maps`, and ``delay`` [s] after the artery, ``cbf_sd``
    [mL/100 g/min], ``mtt_sd``, ``delay_sd`` [s].
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


def exponential(
    dr2star: Array,
    mask: Array,
    frame_times: tuple[float, ...],
    aif: Array,
    grid: Grid,
    params: ExponentialParams,
    *,
    device: Device,
) -> ModelMaps:
    """Fit the model to `dr2star` (x, y, z, frame) [1/s] with `aif` (frame,) [1/s] inside `mask`.

    `frame_times` (frame,) [s].

    Raises
    ------
    InputError
        For shapes that do not match, an empty mask, frame times that are not even, an AIF without area.
    """
    curves = curves_of(dr2star, mask, frame_times, grid, device)
    artery = checked_aif(aif, curves.frames)
    near = neighbourhood(curves, params, grid, device)
    prior = local_prior(curves, near, artery, params, EXPONENTIAL, params.rule, device)
    found = fit_transit(curves, artery, params, EXPONENTIAL, params.rule, prior, device)
    return model_maps(curves, artery, found, UNKNOWNS, params, device)


def model_maps(
    curves: Curves, artery: FloatArray, found: Fitted, unknowns: int, params: TransitParams, device: Device
) -> ModelMaps:
    """Return the maps of a fit with `unknowns` parameters."""
    xp, step = device.xp, np.float32(curves.step)
    seconds = found.delay * step
    share = found.misfit / xp.where(found.power > 0, found.power, np.float32(1))
    common = perfusion_maps(
        curves,
        artery,
        found.flow / step,
        found.delay,
        xp.sqrt(xp.minimum(share, np.float32(1))),
        params,
        device,
    )
    noise = xp.sqrt(found.misfit / np.float32(curves.frames - unknowns))
    per_flow = np.float32(6000.0 * params.scale) / step
    deviations = (
        (per_flow * noise * xp.sqrt(found.flow_variance), _LARGEST_SD),
        (step * found.transit * noise * xp.sqrt(found.transit_variance), params.longest),
        (step * noise * xp.sqrt(found.delay_variance), params.latest - params.earliest),
    )
    image = curves.planes.unflatten
    maps = common._replace(mtt=image(found.transit * step))
    limited = (image(xp.minimum(deviation, np.float32(limit))) for deviation, limit in deviations)
    return ModelMaps(*maps, image(seconds), *limited)


METHODS = (
    Method(
        stage="deconvolution", name="exponential", run=exponential, params=ExponentialParams, inputs=INPUTS,
        outputs=MODEL_OUTPUTS, summary="fit of an exponential residue function with delay, standard errors",
        doi="10.1155/2011/467563", bytes_per_voxel=200, bytes_per_volume=8,
    ),
)  # fmt: skip
