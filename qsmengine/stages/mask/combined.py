"""Combination of a brain mask and a phase-quality mask.

The consensus recommendation asks for both: brain extraction on the magnitude, and voxels with usable phase
(QSM Consensus Organization Committee 2024, 10.1002/mrm.30006). The two masks are combined by AND or OR. Then
the largest connected component is kept, gaps are closed, holes are filled, and the mask is eroded, in this
order. Distances are in mm.
"""

from __future__ import annotations

from typing import Literal

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.components import filled, largest_component
from qsmengine.ops.morphology import closed, eroded
from qsmengine.stages.mask.bet import BetParams, bet
from qsmengine.stages.mask.phase_magnitude import PhaseMagnitudeParams, phase_magnitude
from qsmengine.stages.mask.phase_quality import PhaseQualityParams, phase_quality
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Length, Params


class CombinedParams(Params):
    """Parameters of the combined mask."""

    brain: Literal["bet", "phase_magnitude"] = Field("bet", description="method of the brain mask")
    operation: Literal["and", "or"] = Field("and", description="combination of brain and quality mask")
    bet: BetParams = Field(BetParams(), description="parameters of bet")
    phase_magnitude: PhaseMagnitudeParams = Field(
        PhaseMagnitudeParams(), description="parameters of phase_magnitude"
    )
    phase_quality: PhaseQualityParams = Field(
        PhaseQualityParams(), description="parameters of the quality mask"
    )
    largest: bool = Field(True, description="keep only the largest connected component")
    closing: Length = Field(0.0, ge=0, description="radius of the closing of gaps [mm]")
    fill: bool = Field(True, description="fill holes")
    erosion: Length = Field(0.0, ge=0, description="radius of the final erosion [mm]")


def combined(
    magnitude: Array,
    phase: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: CombinedParams,
    *,
    device: Device,
) -> Array:
    """Return brain mask AND (or OR) phase-quality mask, bool (x, y, z).

    Parameters
    ----------
    magnitude
        (x, y, z, echo), any unit.
    phase
        (x, y, z, echo) [rad], wrapped.
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
        As the two methods do, and if nothing is left.
    """
    if params.brain == "bet":
        brain = bet(magnitude, grid, params.bet, device=device)
    else:
        brain = phase_magnitude(magnitude, phase, echo_times, grid, params.phase_magnitude, device=device)
    coherent = phase_quality(phase, magnitude, echo_times, grid, params.phase_quality, device=device)
    mask = brain & coherent if params.operation == "and" else brain | coherent
    mask = largest_component(mask, device) if params.largest else mask
    mask = closed(mask, params.closing, grid.voxel_size, device)
    mask = filled(mask, device) if params.fill else mask
    mask = eroded(mask, params.erosion, grid.voxel_size, device)
    if not bool(mask.any()):
        raise InputError("nothing is left of brain mask and phase quality", field="mask")
    return mask


METHODS = (
    Method(
        stage="mask", name="combined", run=combined, params=CombinedParams,
        inputs=("magnitude", "phase", "echo_times"), outputs={"mask": "1"},
        summary="brain mask AND (or OR) phase-quality mask", doi="10.1002/mrm.30006", bytes_per_voxel=60,
    ),
)  # fmt: skip
