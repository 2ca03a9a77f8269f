"""Perfusion by fitting a residue function whose shape the whole brain shares, with a delay.

As :mod:`qsmengine.stages.perfusion.exponential`, but the shape of the residue function, a gamma distribution of
transit times after a plateau (:mod:`qsmengine.stages.perfusion.residue`), is first estimated from the mean
curves of blocks (:mod:`qsmengine.stages.perfusion.shape`). The exponential is kept where it fits as well as the
best shape. Flow and transit time of one curve depend on the assumed shape far more than on noise, by factors of
up to three; blood volume does not.

``flow_lowest`` and ``flow_highest`` are the factors by which the mean flow would change with other shapes that
fit about as well. They are 0 if the mask has too few blocks to estimate a shape: the exponential is then
assumed.

References: Mouridsen et al. 2006, 10.1016/j.neuroimage.2006.06.015 (gamma-distributed transit times).
"""

from __future__ import annotations

from typing import NamedTuple

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.perfusion.curves import curves_of
from qsmengine.stages.perfusion.exponential import MODEL_OUTPUTS, model_maps
from qsmengine.stages.perfusion.local import local_prior, neighbourhood
from qsmengine.stages.perfusion.maps import INPUTS, checked_aif
from qsmengine.stages.perfusion.residue import EXPONENTIAL
from qsmengine.stages.perfusion.shape import Shape, estimate_shape
from qsmengine.stages.perfusion.transit import UNKNOWNS, TransitParams, fit_transit


class CommonShapeMaps(NamedTuple):
    """Perfusion maps (x, y, z) float32, 0 outside the mask, with standard errors, and the common shape.

    As :class:`qsmengine.stages.perfusion.exponential.ModelMaps`, and ``residue_shape`` k [1],
    ``residue_plateau`` p [1], ``flow_lowest``, ``flow_highest`` [1].
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
    residue_shape: float
    residue_plateau: float
    flow_lowest: float
    flow_highest: float


def common_shape(
    dr2star: Array,
    mask: Array,
    frame_times: tuple[float, ...],
    aif: Array,
    grid: Grid,
    params: TransitParams,
    *,
    device: Device,
) -> CommonShapeMaps:
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
    shape = estimate_shape(near.blocks, near.share, artery, params, device) or Shape(EXPONENTIAL, 0.0, 0.0)
    prior = local_prior(curves, near, artery, params, shape.residue, "trapezoid", device)
    found = fit_transit(curves, artery, params, shape.residue, "trapezoid", prior, device)
    maps = model_maps(curves, artery, found, UNKNOWNS, params, device)
    return CommonShapeMaps(*maps, shape.residue.shape, shape.residue.plateau, shape.lowest, shape.highest)


METHODS = (
    Method(
        stage="deconvolution", name="common_shape", run=common_shape, params=TransitParams, inputs=INPUTS,
        outputs={
            **MODEL_OUTPUTS, "residue_shape": "1", "residue_plateau": "1", "flow_lowest": "1",
            "flow_highest": "1",
        },
        summary="fit of a residue function whose shape the whole brain shares, with delay, standard errors",
        doi="10.1016/j.neuroimage.2006.06.015", bytes_per_voxel=200, bytes_per_volume=8,
    ),
)  # fmt: skip
