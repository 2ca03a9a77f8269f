"""Total-variation inversion with the data term weighted inside the mask.

min_u 1/2 || W (D chi - field) ||^2 + lambda || grad u ||_1 with chi = G u, solved by ADMM with the splits
grad u and D chi. G is a Gaussian of `point_spread` voxels, at most 0.75 mm: tissue has sharp edges, but voxels
average it, and total variation of chi itself makes edges sharper than an image can show. W is the mask, or
`weight` inside it scaled to mean 1, so lambda does not depend on the weights' unit. The total variation sums
the absolute differences per mm along the three axes, so the result does not depend on their storage order.
`noise_gain` times the noise of the field, given or estimated from the field, is added to lambda.

Unlike the plain k-space fit, this assumes nothing about the field outside the mask, where W = 0.

References: Bilgic et al. 2014, 10.1002/mrm.25029; Milovic et al. 2018, 10.1002/mrm.27073.
"""

from __future__ import annotations

from pydantic import Field

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
from qsmengine.stages.params import Mm


class WeightedTvParams(TvParams, NoiseGainParams):
    """Parameters of weighted total variation."""

    lam: Mm = Field(2e-6, gt=0, alias="lambda", description="weight of the total variation [ppm mm]")
    noise_gain: Mm = Field(0.075, ge=0, description="added to lambda per ppm of the field's median noise [mm]")
    mu_gradient: float = Field(5e-3, gt=0, description="ADMM penalty of the gradient split")
    mu_data: float = Field(0.02, gt=0, description="ADMM penalty of the data split")
    point_spread: float = Field(
        0.5,
        ge=0,
        le=2,
        description="standard deviation of the Gaussian that chi is smooth by [voxels], at most 0.75 mm",
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
        lam=params.lam + params.noise_gain * typical, device=device, weight=weight, callback=callback,
        point_spread=params.point_spread,
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
