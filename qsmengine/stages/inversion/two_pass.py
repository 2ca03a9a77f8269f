"""Combination of the two passes of a reconstruction (see `two-pass`).

    chi = chi_reliable where the reliable pass has a value, else chi_filled + constant.

Each map is determined up to a constant; the filled map is shifted so that both have the same mean in their
common voxels.

Reference: Stewart et al. 2022, 10.1002/mrm.29048.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params


class CombinationParams(Params):
    """Parameters of the combination (none)."""


def combine_passes(
    reliable_chi: Array,
    filled_chi: Array,
    reliable_mask: Array,
    mask: Array,
    grid: Grid,
    params: CombinationParams,
    *,
    device: Device,
) -> Array:
    """Return the combined susceptibility (x, y, z) [ppm] of both passes.

    Parameters
    ----------
    reliable_chi, filled_chi
        (x, y, z) [ppm] of the passes.
    reliable_mask
        (x, y, z): voxels where the first is defined.
    mask
        (x, y, z): voxels where the second is defined; the result is 0 outside.
    grid, params, device
        Geometry, parameters, and where to compute.

    Raises
    ------
    InputError
        If the masks have no common voxel.
    """
    del grid, params
    inside = device.asarray(mask, bool)
    common = device.asarray(reliable_mask, bool) & inside
    if not bool(common.any()):
        raise InputError("the masks of the two passes share no voxel", field="reliable_mask")
    first, second = device.asarray(reliable_chi), device.asarray(filled_chi)
    shift = float((first[common].astype(np.float64) - second[common]).mean())
    zero = np.float32(0)
    chi: Array = device.xp.where(common, first, device.xp.where(inside, second + np.float32(shift), zero))
    return chi


METHODS = (
    Method(
        stage="combination", name="two_pass", run=combine_passes, params=CombinationParams,
        inputs=("reliable_chi", "filled_chi", "reliable_mask", "mask"), outputs={"chi": "ppm"},
        summary="reliable pass, with holes filled from the filled pass", doi="10.1002/mrm.29048",
        bytes_per_voxel=40,
    ),
)  # fmt: skip
