"""Result type of all methods of background removal."""

from __future__ import annotations

from typing import NamedTuple

from qsmengine.data import Array


class BackgroundResult(NamedTuple):
    """Result of background removal."""

    local_field: Array
    """(x, y, z) [ppm], 0 outside `mask`."""
    mask: Array
    """(x, y, z) bool: voxels with a reliable local field."""
