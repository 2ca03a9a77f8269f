"""Truncated singular value decomposition (TSVD) of the dipole.

chi^(k) = field^(k) / D(k) where |D(k)| > t, and 0 elsewhere: the k-space bins are the singular vectors of
the convolution, |D(k)| its singular values. `rescale` divides by the fraction of k-space that is kept, the
mean gain of the filter. Less of the energy of tissue lies near the magic angle than this fraction implies, so
rescaling overshoots for large t and is off by default.

Like TKD, assumes that the field outside the mask is zero. Compared with TKD less noise is amplified near the
magic angle, at the cost of stronger streaks and more loss of contrast.

References: Wharton et al. 2010, 10.1002/mrm.22334; gain: Schweser et al. 2013, 10.1002/mrm.24405.
"""

from __future__ import annotations

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.inversion.setup import divide_field, thresholded_inverse
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Margin, Params


class TsvdParams(Params):
    """Parameters of TSVD."""

    threshold: float = Field(0.05, gt=0, lt=2 / 3, description="t: where |D| is smaller, chi^ is 0")
    rescale: bool = Field(False, description="divide by the mean gain to undo the underestimation")
    margin: Margin = 40.0


def tsvd(local_field: Array, mask: Array, grid: Grid, params: TsvdParams, *, device: Device) -> Array:
    """Return susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm] inside `mask`; 0 outside."""

    def inverse(response: Array, fft: RealFFT) -> Array:
        return thresholded_inverse(response, fft, params.threshold, below="zero", rescale=params.rescale)

    return divide_field(local_field, mask, grid, inverse, margin=params.margin, device=device)


METHODS = (
    Method(
        stage="inversion", name="tsvd", run=tsvd, params=TsvdParams,
        inputs=("local_field", "mask"), outputs={"chi": "ppm"},
        summary="truncated k-space division",
        doi="10.1002/mrm.22334",
        bytes_per_voxel=60, reach=lambda params: params.margin, linear=True,
    ),
)  # fmt: skip
