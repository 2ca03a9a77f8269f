"""Mask of coherent phase: voxels whose ROMEO quality exceeds a threshold.

The quality of a voxel is the mean weight of its edges (see `unwrap`/`romeo`): high where the phase varies
smoothly and in proportion to the echo time, low in noise, bone, air, vessels, haemorrhages and near sinuses.
Skin and muscle are coherent too; for a brain, combine this mask with a brain mask (`combined`).

Reference: Dymerska et al. 2021, 10.1002/mrm.28563.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.components import filled, largest_component
from qsmengine.ops.morphology import closed
from qsmengine.stages.echoes import check_series
from qsmengine.stages.mask.blocks import block_mean, otsu
from qsmengine.stages.mask.quality import image_quality
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Length, Params


class PhaseQualityParams(Params):
    """Parameters of the quality mask."""

    threshold: float | None = Field(None, gt=0, lt=1, description="threshold of the quality; none: Otsu's")
    closing: Length = Field(0.0, ge=0, description="radius of the closing of gaps [mm]")
    fill: bool = Field(False, description="fill holes")
    largest: bool = Field(True, description="keep only the largest connected component")


def phase_quality(
    phase: Array,
    magnitude: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: PhaseQualityParams,
    *,
    device: Device,
) -> Array:
    """Return the mask of coherent phase, bool (x, y, z).

    Parameters
    ----------
    phase
        (x, y, z, echo) [rad], wrapped; its offset does not matter. Non-finite voxels count as 0.
    magnitude
        (x, y, z, echo), any unit; voxels without signal are left out.
    echo_times
        (echo,) [s].
    grid
        Geometry.
    params
        Parameters.
    device
        Where to compute.

    Raises
    ------
    InputError
        For shapes or echo times that do not match, or if no voxel is above the threshold.
    """
    times = check_series(grid, echo_times, phase=phase, magnitude=magnitude)
    magnitudes, phases = (
        [block_mean(array[..., e], (1, 1, 1), device) for e in range(min(2, len(times)))]
        for array in (magnitude, phase)
    )
    quality = image_quality(magnitudes, phases, times, device)
    signal = magnitudes[0] > 0
    if not bool(signal.any()):
        raise InputError("no signal: the magnitude is 0 everywhere", field="magnitude")
    threshold = otsu(quality[signal], device) if params.threshold is None else params.threshold
    mask = signal & (quality > np.float32(threshold))
    if not bool(mask.any()):
        raise InputError(f"no voxel has a phase quality above {threshold:.3g}", field="phase")
    mask = largest_component(mask, device) if params.largest else mask
    mask = closed(mask, params.closing, grid.voxel_size, device)
    return filled(mask, device) if params.fill else mask


METHODS = (
    Method(
        stage="mask", name="phase_quality", run=phase_quality, params=PhaseQualityParams,
        inputs=("phase", "magnitude", "echo_times"), outputs={"mask": "1"},
        summary="voxels of coherent phase (ROMEO quality)", doi="10.1002/mrm.28563", bytes_per_voxel=60,
    ),
)  # fmt: skip
