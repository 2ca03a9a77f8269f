"""Result type of all single-step methods."""

from __future__ import annotations

from typing import NamedTuple

from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.domain import Domain

FIELD_MARGIN = 40.0
"""Zero padding for the field of chi [mm]."""


class SingleStepResult(NamedTuple):
    """Result of a single-step method."""

    chi: Array
    """(x, y, z) [ppm], 0 outside `mask`."""
    local_field: Array
    """(x, y, z) [ppm]: the field of chi inside `mask`; 0 outside it."""
    mask: Array
    """(x, y, z) bool: voxels in which chi is defined."""


def single_step_result(chi: Array, region: Array, domain: Domain, grid: Grid) -> SingleStepResult:
    """Return images from the solver's arrays: chi inside `region` (0 or 1), and the field of chi there.

    The field is computed with a padding of :data:`FIELD_MARGIN`; that of `domain` may be smaller.
    """
    chi *= region
    mask = domain.extract(region) > 0
    chi = domain.extract(chi)
    padded = Domain.for_kernel(mask, grid, FIELD_MARGIN, domain.device)
    response = dipole_response(padded.shape, grid.voxel_size, grid.b0_direction, padded.device)
    field = padded.extract(RealFFT(padded.shape, padded.device).filter(padded.insert(chi), response))
    field *= mask
    return SingleStepResult(chi, field, mask)
