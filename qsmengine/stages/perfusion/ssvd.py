"""Deconvolution by a truncated singular value decomposition of the lower triangular matrix of the AIF.

C = A f with A_ij = dt a_(i-j) for i >= j, where a is the AIF smoothed by (1, 4, 1) / 6. Singular values below
`threshold` times the largest are dropped. CBF is the largest sample of f. The result depends on when the bolus
arrives: tissue that is reached before the artery loses blood flow. The method is here for comparison with older
results; use ``csvd`` or ``osvd`` otherwise.

Reference: Ostergaard et al. 1996, 10.1002/mrm.1910360510.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.deconvolution import MATRIX_RESIDUE
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field
from qsmengine.stages.perfusion.curves import curves_of
from qsmengine.stages.perfusion.maps import INPUTS, OUTPUTS, MapParams, Maps, checked_aif, perfusion_maps


class SsvdParams(MapParams):
    """Parameters of sSVD."""

    threshold: float = Field(
        0.2, ge=0.001, le=0.95, description="singular values below this share of the largest are dropped"
    )


def ssvd(
    dr2star: Array,
    mask: Array,
    frame_times: tuple[float, ...],
    aif: Array,
    grid: Grid,
    params: SsvdParams,
    *,
    device: Device,
) -> Maps:
    """Deconvolve `dr2star` (x, y, z, frame) [1/s] by `aif` (frame,) [1/s] inside `mask`.

    `frame_times` (frame,) [s].

    Raises
    ------
    InputError
        For shapes that do not match, an empty mask, frame times that are not even, an AIF without area.
    """
    curves = curves_of(dr2star, mask, frame_times, grid, device)
    artery = checked_aif(aif, curves.frames)
    smooth = np.convolve(artery, np.array([1.0, 4.0, 1.0]) / 6.0, mode="same")
    lag = np.subtract.outer(np.arange(curves.frames), np.arange(curves.frames))
    matrix = curves.step * np.where(lag >= 0, smooth[lag], 0.0)
    left, size, right = np.linalg.svd(matrix)
    kept = size >= params.threshold * size[0]
    response = right[kept].T @ (left[:, kept] / size[kept]).T
    found = {name: device.empty((curves.voxels,)) for name in ("height", "place", "missed")}
    launch(
        MATRIX_RESIDUE,
        device,
        change=curves.planes.array,
        mask=curves.mask,
        response=device.asarray(response),
        away=device.asarray(np.eye(curves.frames) - matrix @ response),
        **found,
    )
    return perfusion_maps(curves, artery, found["height"], found["place"], found["missed"], params, device)


METHODS = (
    Method(
        stage="deconvolution", name="ssvd", run=ssvd, params=SsvdParams, inputs=INPUTS, outputs=OUTPUTS,
        summary="truncated SVD of the triangular matrix, for comparison; depends on delay",
        doi="10.1002/mrm.1910360510", bytes_per_voxel=120, bytes_per_volume=8,
    ),
)  # fmt: skip
