"""Masks of a two-pass reconstruction.

Strong sources (veins, haemorrhages, calcifications) and their steep fields cause streaks across the whole map.
Susceptibility is therefore reconstructed twice: in the *reliable* mask, with holes at voxels of poor phase, and
in the *filled* mask, in which gaps are closed and holes filled. The combined map is that of the reliable pass,
with its holes filled from the filled pass (`combination`/`two_pass`).

Voxels are reliable if their ROMEO quality is at least `threshold` times its median in the mask and they lie in
`field_mask`, if given. The filled mask never extends beyond the given mask.

Reference: Stewart et al. 2022, 10.1002/mrm.29048.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.components import filled, largest_component
from qsmengine.ops.morphology import closed
from qsmengine.ops.order_statistics import median
from qsmengine.stages.echoes import check_series, checked_mask, echo_first
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Length, Params
from qsmengine.stages.phase.growth import edge_costs, edge_quality


class TwoPassParams(Params):
    """Parameters of the two masks."""

    threshold: float = Field(
        0.7, gt=0, le=1, description="lowest reliable quality, relative to the median in the mask"
    )
    closing: Length = Field(3.0, ge=0, description="radius of the closing of gaps in the filled mask [mm]")


class TwoPassResult(NamedTuple):
    """Masks (x, y, z) of the first and the second pass."""

    reliable_mask: Array
    filled_mask: Array


def two_pass(
    phase: Array,
    magnitude: Array,
    mask: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: TwoPassParams,
    *,
    device: Device,
    field_mask: Array | None = None,
) -> TwoPassResult:
    """Return the reliable and the filled mask, bool (x, y, z).

    Parameters
    ----------
    phase
        (x, y, z, echo) [rad], wrapped; its offset does not matter.
    magnitude
        (x, y, z, echo), any unit.
    mask
        (x, y, z): contains both masks.
    echo_times
        (echo,) [s].
    grid
        Geometry.
    params
        Parameters.
    device
        Where to compute.
    field_mask
        (x, y, z): voxels that the reliable mask may contain.

    Raises
    ------
    InputError
        For shapes or echo times that do not match, and if nothing is reliable.
    """
    times = check_series(grid, echo_times, phase=phase, magnitude=magnitude)
    wrapped, weights = echo_first(phase[..., :2], device), echo_first(magnitude[..., :1], device)
    inside = checked_mask(mask, grid, device)
    second = {"other": wrapped[1], "ratio": times[0] / times[1]} if len(times) > 1 else {}
    quality = edge_quality(edge_costs(wrapped[0], weights[0], inside, device, **second), device)
    within = inside > 0
    reliable = within & (quality >= np.float32(params.threshold * median(quality[within])))
    if field_mask is not None:
        reliable &= device.asarray(field_mask, bool)
    reliable = largest_component(reliable, device)
    if not bool(reliable.any()):
        raise InputError("no voxel is reliable: threshold too high or field mask empty", field="mask")
    whole = filled(closed(reliable, params.closing, grid.voxel_size, device), device) & within
    return TwoPassResult(reliable, whole)


METHODS = (
    Method(
        stage="two-pass", name="phase_quality", run=two_pass, params=TwoPassParams,
        inputs=("phase", "magnitude", "mask", "echo_times", "field_mask?"),
        outputs={"reliable_mask": "1", "filled_mask": "1"},
        summary="masks of two passes: without and with the voxels of poor phase", doi="10.1002/mrm.29048",
        bytes_per_voxel=60, bytes_per_volume=8,
    ),
)  # fmt: skip
