"""Closed-form L2 inversion with gradient regularisation.

min_chi || D chi - field ||^2 + lambda || grad chi ||^2 has the solution
chi^(k) = D(k) field^(k) / (D(k)^2 + lambda |E(k)|^2), with |E|^2 the spectrum of grad^T grad for periodic
forward differences per mm. One pair of FFTs.

Assumes that the field outside the mask is zero and the noise is uniform; the weighted form is
`iterative_tikhonov`.

Reference: Bilgic et al. 2014, 10.1002/mrm.25029.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.gradient import gradient_energy
from qsmengine.stages.inversion.setup import divide_field
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Margin, Mm2, Params


class ClosedFormL2Params(Params):
    """Parameters of the closed-form L2 inversion."""

    lam: Mm2 = Field(4e-2, gt=0, alias="lambda", description="weight of the squared gradient [mm^2]")
    margin: Margin = 40.0


def closed_form_l2(
    local_field: Array, mask: Array, grid: Grid, params: ClosedFormL2Params, *, device: Device
) -> Array:
    """Return susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm] inside `mask`; 0 outside."""

    def inverse(response: Array, fft: RealFFT) -> Array:
        energy = gradient_energy(fft.shape, grid.voxel_size, device)
        denominator = response * response + np.float32(params.lam) * energy
        denominator[0, 0, 0] = 1.0
        result: Array = response / denominator
        return result

    return divide_field(local_field, mask, grid, inverse, margin=params.margin, device=device)


METHODS = (
    Method(
        stage="inversion", name="closed_form_l2", run=closed_form_l2, params=ClosedFormL2Params,
        inputs=("local_field", "mask"), outputs={"chi": "ppm"},
        summary="regularisation by the squared gradient, closed form",
        doi="10.1002/mrm.25029",
        bytes_per_voxel=60, reach=lambda params: params.margin, linear=True,
    ),
)  # fmt: skip
