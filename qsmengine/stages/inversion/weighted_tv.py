"""Total-variation inversion with the data term weighted inside the mask.

min_u 1/2 || W (D chi - field) ||^2 + lambda || M grad u ||_1 with chi = G u, solved by ADMM with the splits
grad u and D chi. W is the mask, or `weight` inside it scaled to mean 1, so lambda does not depend on the unit
of the weights. The total variation sums the absolute differences per mm along the three axes, so the result
does not depend on their storage order.

- G is a Gaussian of `point_spread` voxels, at most 0.75 mm: tissue has sharp edges, but voxels average it, and
  total variation of chi itself makes edges sharper than an image can show.
- M is 0 where a first chi has an edge (`own_edges`) and on the surface of the mask, where chi ends, since total
  variation lowers the contrast of what it penalises. A field that still contains background appears as chi
  next to the surface; for such fields `own_edges` = 0 keeps M = 1.
- lambda grows by `noise_gain` s^2 / (s + s_0), with s the noise of the field, given or estimated from it, and
  s_0 = 0.5 ppb: in proportion to the noise where it exceeds the fine structure of the field. An estimate of
  less noise contains this structure.

Unlike the plain k-space fit, this assumes nothing about the field outside the mask, where W = 0.

References: Bilgic et al. 2014, 10.1002/mrm.25029; Milovic et al. 2018, 10.1002/mrm.27073.
"""

from __future__ import annotations

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.solvers.stopping import SolverCallback
from qsmengine.solvers.tv_admm import squared_error
from qsmengine.stages.inversion.total_variation import (
    NoiseGainParams,
    TvParams,
    invert_tv,
    typical_noise,
)
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Mm

FINE_STRUCTURE = 5e-4
"""s_0: noise of the field at which half of `noise_gain` applies [ppm]."""


class WeightedTvParams(TvParams, NoiseGainParams):
    """Parameters of weighted total variation."""

    lam: Mm = Field(2e-6, gt=0, alias="lambda", description="weight of the total variation [ppm mm]")
    noise_gain: Mm = Field(
        0.09,
        ge=0,
        description="added to lambda per ppm of the field's median noise, if that is over 0.5 ppb [mm]",
    )
    mu_gradient: float = Field(5e-3, gt=0, description="ADMM penalty of the gradient split")
    mu_data: float = Field(0.02, gt=0, description="ADMM penalty of the data split")
    point_spread: float = Field(
        0.5,
        ge=0,
        le=2,
        description="standard deviation of the Gaussian that chi is smooth by [voxels], at most 0.75 mm",
    )
    own_edges: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="share of the faces in the mask that count as edges of a first chi of half the iterations; "
        "0: no edges and no first chi",
    )


def weighted_tv(
    local_field: Array,
    mask: Array,
    grid: Grid,
    params: WeightedTvParams,
    *,
    device: Device,
    weight: Array | None = None,
    noise: Array | None = None,
    callback: SolverCallback | None = None,
) -> Array:
    """Return the susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm]; 0 outside `mask`.

    `weight` (x, y, z), any unit, is best 1 / noise of the field; `noise` (x, y, z) [ppm] adapts lambda;
    without it the noise is estimated from the field. `callback` receives the solver's status and may stop it.
    """
    mask = device.asarray(mask, bool)
    typical = typical_noise(noise, local_field, mask, device, weight=weight)
    return invert_tv(
        local_field, mask, grid, params, squared_error,
        lam=params.lam + params.noise_gain * typical**2 / (typical + FINE_STRUCTURE), device=device,
        weight=weight, callback=callback, point_spread=params.point_spread, own_edges=params.own_edges,
    )  # fmt: skip


METHODS = (
    Method(
        stage="inversion", name="weighted_tv", run=weighted_tv, params=WeightedTvParams,
        inputs=("local_field", "mask", "weight?", "noise?"), outputs={"chi": "ppm"},
        summary="total variation, data weighted inside the mask (ADMM)",
        doi="10.1002/mrm.25029",
        bytes_per_voxel=150, reach=lambda params: params.margin, iterative=True,
    ),
)  # fmt: skip
