"""Brain mask of images in which the scalp is little brighter than the brain."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.mask.bet import BetParams, bet


def brain_of(images: Array, grid: Grid, device: Device, origin: str) -> tuple[Array, str]:
    """Return the brain (x, y, z) in `images` (x, y, z, volume) by BET, and a note that names their `origin`.

    Raises
    ------
    InputError
        If no brain is found.
    """
    try:
        mask = bet(images, grid, BetParams(), device=device)
    except InputError as error:
        raise InputError(f"no brain mask found: {error.message}; give a brain mask", field="mask") from error
    part = 100 * float(mask.mean(dtype=np.float64))
    return mask, f"no mask given: brain mask from {origin} ({part:.0f} % of the image)"
