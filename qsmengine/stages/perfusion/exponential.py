"""Perfusion by fitting an exponential residue function with a delay.

    C(t) = F sum over samples of a(s - d) exp(-(t - s) / M)

with the flow F, the mean transit time M and the delay d, by Levenberg-Marquardt least squares in F, log M and
d from the best point of a grid. The AIF a is interpolated between frames by a cubic spline. The sum is an
integral by the rule `trapezoid`, which counts the sample of the last time, exp(0) a(t - d), by half, or by
`rectangle`, which counts it in full. The trapezoid is the better integral of measured curves. Some simulated
curves, such as OSIPI's, are made with rectangles: there, the trapezoid's F is too large by a factor of about
1 + dt / (2 M).

At the noise of a single voxel, least squares alone scatter M widely and overestimate the mean flow, by a third
to a half at an SNR of 50. log M therefore has a Gaussian prior about that of the mask's mean curve without
large vessels, with the standard deviation s = `transit_sd`. With n frames, the mode for noise of unknown size
minimises

    misfit * exp((log M - log M_mean)^2 / (s^2 (n - 3))).

Where the curve determines M, the prior changes nothing; `transit_sd` 0 leaves it out.

CBF and MTT are those of the fit; CBV is the ratio of areas, as for the other methods. Tmax is the delay: the
model's residue function is largest when the agent arrives. Standard errors follow from the residuals and the
curvature at the minimum, noise^2 = misfit / (n - 3); they are limited to the range of the parameter. Curves
that no positive flow explains have flow 0.

Reference: Fieselmann et al. 2011, 10.1155/2011/467563 (residue functions); Ostergaard et al. 1996,
10.1002/mrm.1910360510.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.transit import EXPONENTIAL_TRANSIT
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.diffusion.planes import Planes
from qsmengine.stages.method import Method
from qsmengine.stages.perfusion.curves import Curves, curves_of
from qsmengine.stages.perfusion.maps import (
    INPUTS,
    OUTPUTS,
    MapParams,
    checked_aif,
    mean_curve,
    perfusion_maps,
    without_vessels,
)
from qsmengine.stages.perfusion.transform import FloatArray

MODEL_OUTPUTS = {
    **OUTPUTS, "delay": "s", "cbf_sd": "mL/100 g/min", "mtt_sd": "s", "delay_sd": "s",
}  # fmt: skip
_TRANSITS = (2.0, 5.0, 12.0)
_DELAY_STEP = 2.5
_LARGEST_SD = 1e4
_UNKNOWNS = 3


class TransitParams(MapParams):
    """Parameters that both models share."""

    earliest: float = Field(-10.0, ge=-60, le=0, description="earliest delay [s]")
    latest: float = Field(15.0, ge=0, le=60, description="latest delay [s]")
    shortest: float = Field(0.5, gt=0, le=10, description="shortest mean transit time [s]")
    longest: float = Field(60.0, gt=0, le=600, description="longest mean transit time [s]")
    iterations: int = Field(20, ge=1, le=200, description="steps of the fit")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.shortest >= self.longest:
            raise ValueError(f"shortest ({self.shortest:g}) must be below longest ({self.longest:g})")
        return self


class ExponentialParams(TransitParams):
    """Parameters of the exponential model."""

    rule: Literal["trapezoid", "rectangle"] = Field("trapezoid", description="rule of the convolution integral")
    transit_sd: float = Field(
        0.5, ge=0, le=5, description="standard deviation of the prior of log M; 0: no prior"
    )


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


class Prior(NamedTuple):
    """Gaussian prior of log M in frames: its `middle`, and its inverse variance over the degrees of freedom."""

    middle: float
    strength: float


NO_PRIOR = Prior(0.0, 0.0)


class Fitted(NamedTuple):
    """Results of a fit (voxel,), in units of frames: flow, transit, delay, their variances for unit noise."""

    flow: Array
    transit: Array
    delay: Array
    misfit: Array
    power: Array
    flow_variance: Array
    transit_variance: Array
    delay_variance: Array


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
    corner = 0.5 if params.rule == "trapezoid" else 0.0
    prior = _prior(curves, artery, params, corner, device) if params.transit_sd > 0 else NO_PRIOR
    found = fit_exponential(curves, artery, params, corner, prior, device)
    return model_maps(curves, artery, found, _UNKNOWNS, params, device)


def _prior(
    curves: Curves, artery: FloatArray, params: ExponentialParams, corner: float, device: Device
) -> Prior:
    """Return the prior about the transit time of the mean curve; none if that has no flow."""
    mean = device.asarray(mean_curve(curves, without_vessels(curves, device)))[:, np.newaxis]
    one = Curves(Planes(mean, (0, 1, 2), (1, 1, 1)), device.asarray(np.ones(1), np.uint8), curves.step)
    found = fit_exponential(one, artery, params, corner, NO_PRIOR, device)
    transit = float(to_numpy(found.transit)[0])
    if not transit > 0:
        return NO_PRIOR
    return Prior(math.log(transit), params.transit_sd**-2.0 / (curves.frames - _UNKNOWNS))


def fit_exponential(
    curves: Curves, artery: FloatArray, params: TransitParams, corner: float, prior: Prior, device: Device
) -> Fitted:
    """Fit F, M and d to every curve; `corner` is the part of the last sample that the integral leaves out."""
    step = curves.step
    margin = math.ceil(max(-params.earliest, params.latest) / step) + 2
    delays = np.arange(params.earliest, params.latest + 1e-9, _DELAY_STEP)
    transits = np.clip(_TRANSITS, params.shortest, params.longest)
    starts = np.stack(np.meshgrid(transits, delays, indexing="ij"), axis=-1).reshape(-1, 2) / step
    found = Fitted(*(device.empty((curves.voxels,)) for _ in Fitted._fields))
    launch(
        EXPONENTIAL_TRANSIT,
        device,
        change=curves.planes.array,
        mask=curves.mask,
        artery=device.asarray(spline_pieces(artery, margin)),
        starts=device.asarray(starts),
        **found._asdict(),
        **prior._asdict(),
        corner=corner,
        shortest=params.shortest / step,
        longest=params.longest / step,
        earliest=params.earliest / step,
        latest=params.latest / step,
        margin=margin,
        iterations=params.iterations,
    )
    return found


def spline_pieces(curve: FloatArray, margin: int) -> FloatArray:
    """Return the cubic pieces (piece, 4) of a curve (frame,), lowest power first, each on a unit interval.

    Piece k begins at frame k - `margin`. The curve is 0 before its first frame and constant after its last.
    """
    from scipy.interpolate import CubicSpline

    extended = np.concatenate([np.zeros(margin), curve, np.full(margin + 1, curve[-1])])
    pieces = CubicSpline(np.arange(extended.size), extended, bc_type="natural").c
    return np.ascontiguousarray(pieces[::-1].T)


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
