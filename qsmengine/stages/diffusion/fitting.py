"""Common parts of the tensor fits: checks, voxel list, gradient deviation, results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tensor import MAPS, TENSOR_DEVIATION, VOXEL_TILE
from qsmengine.data import Array, check_not_empty
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.records import record
from qsmengine.stages.diffusion.design import Design, tensor_design
from qsmengine.stages.diffusion.planes import Planes, as_planes
from qsmengine.stages.params import Field, Params

MAX_VOXELS = 2**31 - 1
"""Largest number of voxels: their indices are 32-bit in the kernels."""

INPUTS = ("signal", "mask", "b_values", "b_vectors", "gradient_deviation?")

STATUS = {
    0: "not fitted",
    1: "fitted",
    2: "fitted, smallest eigenvalue negative",
    3: "no positive finite signal",
    4: "remaining measurements do not determine the model",
    5: "not converged",
    6: "free water only",
}
"""Meaning of the status map's values; other maps are 0 for 0, 3 and 4, those of tissue also for 6."""

TENSOR_OUTPUTS = {
    "tensor": "mm^2/s", "fa": "1", "md": "mm^2/s", "ad": "mm^2/s", "rd": "mm^2/s", "mo": "1",
    "l1": "mm^2/s", "l2": "mm^2/s", "l3": "mm^2/s", "v1": "1", "v2": "1", "v3": "1", "s0": "signal",
    "sigma": "signal", "status": "1",
}  # fmt: skip
"""Results that all fits share, with their units."""


class FitParams(Params):
    """Parameters that all fits share."""

    session_only = frozenset({"maximum_b", "mask"})

    b0_threshold: float = Field(
        0.0,
        ge=0,
        description="b-values up to this count as 0 and are fitted as 0 [s/mm^2]; 0: every b-value is fitted "
        "as given, and volumes with b <= 50, or the lowest shell if there are none, count as unweighted",
    )
    maximum_b: float | None = Field(
        None,
        gt=0,
        description="largest b-value fitted in a session [s/mm^2]; none: 1500 for a tensor if such shells "
        "determine it, else no limit",
    )
    mask: Literal["brain"] | None = Field(
        "brain",
        description="mask of a session without one: a brain mask from the unweighted volumes; none: the whole "
        "image",
    )


class Problem(NamedTuple):
    """A series ready for a kernel: `planes`, voxels to fit, coefficients, and maps to fill."""

    planes: Planes
    voxels: Array
    design: Design
    maps: Array

    def arguments(self, device: Device) -> dict[str, Array | float]:
        """Return the arguments common to all fitting kernels."""
        return {
            "signal": self.planes.array,
            "voxel_index": self.voxels,
            "basis": device.asarray(self.design.basis),
            "products": device.asarray(self.design.products),
            "up": device.asarray(self.design.up),
            "maps": self.maps,
            "b_max": self.design.b_max,
        }


@record
class TensorFit:
    """Maps of a fitted tensor, (x, y, z[, component]) float32 in the memory order of the signal.

    ``tensor`` xx, xy, xz, yy, yz, zz [mm^2/s]; ``fa`` fractional anisotropy [1]; ``md``, ``ad``, ``rd`` mean,
    axial (= l1) and radial diffusivity [mm^2/s]; ``mo`` mode, -1 planar .. 1 linear [1]; ``l1`` >= ``l2`` >=
    ``l3`` [mm^2/s]; ``v1``, ``v2``, ``v3`` unit eigenvectors; ``s0`` signal at b = 0 [unit of the signal];
    ``sigma`` root of the squared residuals of S over the degrees of freedom [unit of the signal]; ``status`` as
    :data:`STATUS`.
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
    sigma: Array
    status: Array


def pose(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    b0_threshold: float,
    device: Device,
    *,
    make_design: Callable[[Array, Array, float], Design] = tensor_design,
    n_maps: int = MAPS,
) -> Problem:
    """Check the inputs of a fit and bring them into the kernels' order.

    `make_design` returns the coefficients for b-values, directions and the b = 0 threshold; `n_maps` is the
    number of planes that the kernel fills.

    Raises
    ------
    InputError
        For mismatched shapes, an empty mask, and a gradient table that is malformed or cannot determine a
        tensor.
    """
    if signal.ndim != 4 or tuple(signal.shape[:3]) != grid.shape or tuple(mask.shape) != grid.shape:
        shapes = f"signal {tuple(signal.shape)} and mask {tuple(mask.shape)}"
        raise InputError(f"{shapes} do not fit the grid {grid.shape}", field="shape")
    if signal.shape[3] != len(b_values):
        raise InputError(f"{signal.shape[3]} volumes, {len(b_values)} b-values", field="bval/bvec")
    if grid.size > MAX_VOXELS:
        raise InputError(f"{grid.shape} has more than {MAX_VOXELS} voxels", field="shape")
    design = make_design(b_values, b_vectors, b0_threshold)
    planes = as_planes(signal, device)
    maps = device.xp.zeros((n_maps, grid.size), np.float32)
    return Problem(planes, _voxel_list(mask, planes, device), design, maps)


def correct_deviation(problem: Problem, deviation: Array | None, device: Device) -> None:
    """Correct the maps for the actual gradients in each voxel.

    `deviation` (x, y, z, 9) holds L [1] column by column, as FSL's ``--gradnonlin`` reads it: the gradient in a
    voxel is (I + L) g and its b-value b |(I + L) g|^2. The signal is then that of the tensor
    (I + L)' D (I + L) for the nominal table, for any estimator, so D follows from the fit to the nominal table
    without a design matrix for each voxel.
    """
    if deviation is None:
        return
    if deviation.ndim != 4 or deviation.shape[3] != 9:
        raise InputError(
            f"gradient_deviation has shape {tuple(deviation.shape)}, nine volumes are needed",
            field="gradient_deviation",
        )
    order = (3, *problem.planes.order)
    planes = device.asarray(deviation.transpose(order).reshape(9, -1), np.float32)
    launch(
        TENSOR_DEVIATION,
        device,
        voxel_index=problem.voxels,
        deviation=planes,
        tensor=problem.maps[:6].copy(),
        maps=problem.maps,
    )


def results(problem: Problem) -> dict[str, Array]:
    """Return the maps by the names of the outputs, in the memory order of the signal."""
    image, maps = problem.planes.unflatten, problem.maps
    single = {"l1": 6, "ad": 6, "l2": 7, "l3": 8, "fa": 18, "md": 19, "rd": 20, "mo": 21, "s0": 22}
    single |= {"status": 23, "sse": 24, "sigma": 25}
    several = {"tensor": (0, 6), "v1": (9, 12), "v2": (12, 15), "v3": (15, 18)}
    found = {name: image(maps[plane]) for name, plane in single.items()}
    return found | {name: image(maps[first:last]) for name, (first, last) in several.items()}


def _voxel_list(mask: Array, planes: Planes, device: Device) -> Array:
    xp = device.xp
    check_not_empty(mask)
    inside = xp.flatnonzero(planes.flatten(xp.asarray(mask))).astype(np.int32)
    padded: Array = xp.concatenate([inside, xp.full(-inside.size % VOXEL_TILE, inside[-1], np.int32)])
    return padded
