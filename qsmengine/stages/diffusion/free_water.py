"""Free-water tensor: a tissue tensor and a fraction of free water in every voxel.

S_v = S0 [(1 - f) exp(-b_v g_v' D g_v) + f exp(-b_v D_water)]: nonlinear least squares over S0, D and
0 <= f < 1, started from the best of ten water fractions. All maps of the tensor are those of the tissue.

At a single b-value, tissue with water and tissue with faster diffusion give the same signals, so two shells or
more are needed. (Single-shell methods rely on smoothness, Pasternak et al. 2009, 10.1002/mrm.22055; they are
not implemented.)

If the mean diffusivity of the tissue is `free_md` or more f is set to 1; there, and where f exceeds 0.95, the
tissue is undetermined: its maps are 0, the status is 6.

References: Hoy et al. 2014, 10.1016/j.neuroimage.2014.09.053; Henriques et al. 2017, 10.5281/zenodo.495237.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.free_water import FREE_WATER_FIT, WATER_MAPS
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.records import record
from qsmengine.stages.diffusion.design import shells
from qsmengine.stages.diffusion.fitting import TENSOR_OUTPUTS, FitParams, TensorFit, pose, results
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field


class FreeWaterParams(FitParams):
    """Parameters of the free-water fit."""

    water_diffusivity: float = Field(
        3.0e-3, gt=0, lt=0.1, description="diffusivity of free water [mm^2/s]; 3.0e-3 at body temperature"
    )
    free_md: float = Field(
        2.7e-3, gt=0, description="mean diffusivity from which tissue counts as water [mm^2/s]"
    )
    max_steps: int = Field(100, ge=1, le=1000, description="steps after which a voxel counts as not converged")


@record
class FreeWaterResult(TensorFit):
    """Maps of the tissue's tensor and of free water.

    ``free_water`` fraction f of the signal at b = 0 [1]; ``s0`` of both together [unit of the signal].
    """

    free_water: Array


def free_water(
    signal: Array,
    mask: Array,
    b_values: Array,
    b_vectors: Array,
    grid: Grid,
    params: FreeWaterParams,
    *,
    device: Device,
) -> FreeWaterResult:
    """Fit the tissue's tensor and the fraction of free water in every voxel by nonlinear least squares.

    Parameters
    ----------
    signal, mask, b_values, b_vectors, grid
        As in :func:`qsmengine.stages.diffusion.tensor.ols`; two shells or more in addition to b = 0.

    Raises
    ------
    InputError
        As `ols` does, and for a series of one shell.
    """
    problem = pose(signal, mask, b_values, b_vectors, grid, params.b0_threshold, device, n_maps=WATER_MAPS)
    found = shells(np.asarray(b_values, dtype=np.float64), params.b0_threshold or None)
    if len(found) < 2:
        raise InputError(
            f"one shell (b = {found[0]:g} s/mm^2) does not distinguish free water from fast tissue; "
            "two shells are needed",
            field="bval",
        )
    b = np.where(np.asarray(b_values) <= params.b0_threshold, 0.0, b_values)
    water = np.zeros(problem.design.basis[:, 0].size)
    water[: len(b)] = np.exp(-b * params.water_diffusivity)
    launch(
        FREE_WATER_FIT,
        device,
        **problem.arguments(device),
        water=device.asarray(water.reshape(-1, problem.design.basis.shape[2]), np.float32),
        free_md=params.free_md,
        iterations=params.max_steps,
    )
    maps = results(problem)
    del maps["sse"]
    return FreeWaterResult(**maps, free_water=problem.planes.unflatten(problem.maps[26]))


METHODS = (
    Method(
        stage="diffusion", name="free_water", run=free_water, params=FreeWaterParams,
        inputs=("signal", "mask", "b_values", "b_vectors"), outputs={**TENSOR_OUTPUTS, "free_water": "1"},
        summary="tissue tensor and free water, from two shells or more",
        doi="10.1016/j.neuroimage.2014.09.053", bytes_per_voxel=84, bytes_per_volume=4,
    ),
)  # fmt: skip
