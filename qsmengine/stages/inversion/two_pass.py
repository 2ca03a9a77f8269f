"""Combination of the two passes of a reconstruction (see `two-pass`).

    chi = chi_reliable where the reliable pass has a value, else chi_filled + constant.

Each map is known up to a constant: the filled one is shifted so that both have the same mean in the voxels
that they share.

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
    """The combination has no parameters."""


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
    """Susceptibility (x, y, z) [ppm] of both passes combined.

    Parameters
    ----------
    reliable_chi, filled_chi
        (x, y, z) [ppm] of the passes.
    reliable_mask
        (x, y, z) where the first is defined.
    mask
        (x, y, z) where the second is; the result is 0 outside.
    grid, params, device
        As everywhere.

    Raises
    ------
    InputError
        When the masks share no voxel.
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
        summary="the reliable pass, and the filled one in its holes", doi="10.1002/mrm.29048",
        bytes_per_voxel=40,
    ),
)  # fmt: skip
