"""Thresholded k-space division (TKD).

chi^(k) = field^(k) / D(k) where |D(k)| > t, and field^(k) sign(D(k)) / t elsewhere; 0 on the cone D = 0.
Division by t instead of the small D underestimates chi; `rescale` divides by the mean of D(k) / D_t(k),
the gain of the whole filter.

Assumes that the field outside the mask is zero. It is not, so the truncated field at the mask's edge and
noise both cause streaks; the threshold trades these against underestimation.

References: Shmueli et al. 2009, 10.1002/mrm.22135; gain: Schweser et al. 2013, 10.1002/mrm.24405.
"""

from __future__ import annotations

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.inversion.setup import divide_field, thresholded_inverse
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Margin, Params


class TkdParams(Params):
    """Parameters of TKD."""

    threshold: float = Field(0.15, gt=0, lt=2 / 3, description="t: where |D| is smaller, divide by t")
    rescale: bool = Field(True, description="divide by the mean gain to undo the underestimation")
    margin: Margin = 40.0


def tkd(local_field: Array, mask: Array, grid: Grid, params: TkdParams, *, device: Device) -> Array:
    """Return susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm] inside `mask`; 0 outside."""

    def inverse(response: Array, fft: RealFFT) -> Array:
        return thresholded_inverse(response, fft, params.threshold, below="clip", rescale=params.rescale)

    return divide_field(local_field, mask, grid, inverse, margin=params.margin, device=device)


METHODS = (
    Method(
        stage="inversion", name="tkd", run=tkd, params=TkdParams,
        inputs=("local_field", "mask"), outputs={"chi": "ppm"},
        summary="thresholded k-space division",
        doi="10.1002/mrm.22135",
        bytes_per_voxel=60, reach=lambda params: params.margin, linear=True,
    ),
)  # fmt: skip
