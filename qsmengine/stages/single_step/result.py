"""Result type of all single-step methods."""

from __future__ import annotations

from typing import NamedTuple

from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.ops.domain import Domain


class SingleStepResult(NamedTuple):
    """Result of a single-step method."""

    chi: Array
    """(x, y, z) [ppm], 0 outside `mask`."""
    local_field: Array
    """(x, y, z) [ppm]: the field of chi inside `mask`; 0 outside it."""
    mask: Array
    """(x, y, z) bool: voxels in which chi is defined."""


def single_step_result(chi: Array, response: Array, region: Array, domain: Domain) -> SingleStepResult:
    """Return images from the solver's arrays: chi inside `region` (0 or 1), and the field of chi there."""
    chi *= region
    field = RealFFT(domain.shape, domain.device).filter(chi, response)
    field *= region
    return SingleStepResult(domain.extract(chi), domain.extract(field), domain.extract(region) > 0)
