"""Diffusion tensor by log-linear least squares, unweighted (OLS) or weighted (WLS), with all its maps.

log S_v = log S0 - b_v g_v' D g_v. OLS minimises sum (log S_v - model)^2. WLS minimises
sum w_v (log S_v - model)^2 with w_v = exp(2 model_OLS), the squared signal that OLS predicts: the noise of
log S is sigma / S. (FSL's `dtifit --wls` weights with the measured signal instead.)

Directions are read, and tensor and eigenvectors returned, in FSL's frame: array axes, with x negated where
the affine's determinant is positive. This is what dtifit does; FA, MD and the other scalars do not depend
on it. Eigenvectors have an arbitrary sign. Nothing forces D to be positive: noise can give negative
eigenvalues, which are kept (FA can then exceed 1, up to sqrt(3/2)).

References: Basser et al. 1994, 10.1006/jmrb.1994.1037; weights: Chung et al. 2006,
10.1016/j.neuroimage.2006.07.001, and Veraart et al. 2013, 10.1016/j.neuroimage.2013.05.028; mode: Ennis
and Kindlmann 2006, 10.1002/mrm.20741.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import Field

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tensor import TENSOR_FIT, VOXEL_TILE
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.diffusion.design import tensor_design
from qsmengine.stages.diffusion.planes import Planes, as_planes
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params

MAX_VOXELS = 2**31 - 1
"""Voxel numbers are 32-bit in the kernel."""


class TensorParams(Params):
    """Parameters of the tensor fit."""

    min_signal: float = Field(
        1e-3, gt=0, lt=1, description="signals below this part of the voxel's largest are raised to it"
    )
    b0_threshold: float = Field(
        0.0, ge=0, description="b-values up to this are taken as 0 [s/mm^2]; 0: every b-value is used as given"
    )


class TensorResult(NamedTuple):
    """Maps of the tensor, (x, y, z[, component]) float32 in the memory order of the signal.

    ``tensor`` xx, xy, xz, yy, yz, zz [mm^2/s]; ``fa`` fractional anisotropy [1]; ``md``, ``ad``, ``rd`` mean,
    axial (= l1) and radial diffusivity [mm^2/s]; ``mo`` mode, -1 planar .. 1 linear [1]; ``l1`` >= ``l2`` >=
    ``l3`` [mm^2/s]; ``v1``, ``v2``, ``v3`` unit eigenvectors; ``s0`` signal at b = 0 [unit of the signal].
    """

    tensor: Array
    fa: Array
    md: Array
    ad: Array
    rd: Array
    mo: Array
    l1: Array
    l2: Array
    l3: Array
    v1: Array
    v2: Array
    v3: Array
    s0: Array


def ols(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: TensorParams,
    *,
    device: Device,
) -> TensorResult:
    """Tensor of every voxel by ordinary log-linear least squares.

    Parameters
    ----------
    signal
        (x, y, z, volume), any unit, any memory order. Float32 in Fortran order is read without a copy.
        Values below `min_signal` times the voxel's largest signal, zero, negative and NaN are raised to it.
    mask
        (x, y, z); only voxels inside are fitted. Outputs are 0 outside, and where no signal is positive or
        the largest is infinite.
    b_values
        (volume,) [s/mm^2].
    b_vectors
        (volume, 3), unit vectors in FSL's frame, or zero at b = 0.
    grid
        Geometry.

    Raises
    ------
    InputError
        For shapes that do not fit, an empty mask, and a gradient table that is malformed or cannot determine
        a tensor.
    """
    return _fit(signal, mask, b_values, b_vectors, grid, params, device, reweightings=0)


def wls(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: TensorParams,
    *,
    device: Device,
) -> TensorResult:
    """Tensor of every voxel by least squares weighted with the squared signal that OLS predicts; see `ols`."""
    return _fit(signal, mask, b_values, b_vectors, grid, params, device, reweightings=1)


def _fit(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: TensorParams,
    device: Device,
    *,
    reweightings: int,
) -> TensorResult:
    _check_shapes(signal, mask, b_values, grid)
    design = tensor_design(b_values, b_vectors, params.b0_threshold)
    planes = as_planes(signal, device)
    maps = device.xp.zeros((23, grid.size), np.float32)
    launch(
        TENSOR_FIT,
        device,
        signal=planes.array,
        voxel_index=_voxel_list(mask, planes, device),
        basis=device.asarray(design.basis),
        products=device.asarray(design.products),
        up=device.asarray(design.up),
        maps=maps,
        min_signal=params.min_signal,
        b_max=design.b_max,
        reweightings=reweightings,
    )
    return _result(maps, planes)


def _check_shapes(signal: Array, mask: Array, b_values: Array, grid: Grid) -> None:
    if signal.ndim != 4 or tuple(signal.shape[:3]) != grid.shape or tuple(mask.shape) != grid.shape:
        shapes = f"signal {tuple(signal.shape)} and mask {tuple(mask.shape)}"
        raise InputError(f"{shapes} do not fit the grid {grid.shape}", field="shape")
    if signal.shape[3] != len(b_values):
        raise InputError(f"{signal.shape[3]} volumes, {len(b_values)} b-values", field="bval/bvec")
    if grid.size > MAX_VOXELS:
        raise InputError(f"{grid.shape} has more than {MAX_VOXELS} voxels", field="shape")


def _voxel_list(mask: Array, planes: Planes, device: Device) -> Array:
    xp = device.xp
    inside = xp.flatnonzero(planes.flatten(xp.asarray(mask))).astype(np.int32)
    if not inside.size:
        raise InputError("the mask is empty", field="mask")
    padded: Array = xp.concatenate([inside, xp.full(-inside.size % VOXEL_TILE, inside[-1], np.int32)])
    return padded


def _result(maps: Array, planes: Planes) -> TensorResult:
    image = planes.unflatten
    l1 = image(maps[6])
    return TensorResult(
        tensor=image(maps[0:6]),
        fa=image(maps[18]),
        md=image(maps[19]),
        ad=l1,
        rd=image(maps[20]),
        mo=image(maps[21]),
        l1=l1,
        l2=image(maps[7]),
        l3=image(maps[8]),
        v1=image(maps[9:12]),
        v2=image(maps[12:15]),
        v3=image(maps[15:18]),
        s0=image(maps[22]),
    )


_OUTPUTS = {
    "tensor": "mm^2/s", "fa": "1", "md": "mm^2/s", "ad": "mm^2/s", "rd": "mm^2/s", "mo": "1",
    "l1": "mm^2/s", "l2": "mm^2/s", "l3": "mm^2/s", "v1": "1", "v2": "1", "v3": "1", "s0": "signal",
}  # fmt: skip

METHODS = (
    Method(
        stage="diffusion", name="ols", run=ols, params=TensorParams,
        inputs=("signal", "mask", "b_values", "b_vectors"), outputs=_OUTPUTS,
        summary="tensor by ordinary log-linear least squares",
        doi="10.1006/jmrb.1994.1037", bytes_per_voxel=24, bytes_per_volume=4,
    ),
    Method(
        stage="diffusion", name="wls", run=wls, params=TensorParams,
        inputs=("signal", "mask", "b_values", "b_vectors"), outputs=_OUTPUTS,
        summary="tensor by least squares weighted with the predicted signal",
        doi="10.1016/j.neuroimage.2006.07.001", bytes_per_voxel=24, bytes_per_volume=4,
    ),
)  # fmt: skip
