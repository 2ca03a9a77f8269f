"""ROMEO: path-based unwrapping, exact up to multiples of 2 pi.

A template echo is unwrapped in space, over a spanning tree of the voxels that follows the edges of best
quality (see `growth`). The other echoes, walking outwards from it, are brought to within pi of what the
echo before predicts for a phase that is linear in time and 0 at time 0:

    phase_e += 2 pi round((phase_ref TE_e / TE_ref - phase_e) / 2 pi).

Voxels that end up far from that prediction are unwrapped in space from the others instead.

Assumes that the phase at echo time 0 was removed (for one receive channel: MCPC-3D-S). The spanning tree
grows on the host, also for arrays on a GPU, which are copied there and back.

Reference: Dymerska et al. 2021, 10.1002/mrm.28563.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from pydantic import Field

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.romeo import ROMEO_TEMPORAL
from qsmengine.data import Array
from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.stages.echoes import check_series, checked_mask, echo_first, echo_last
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params
from qsmengine.stages.phase.growth import edge_costs, edge_quality, regrow, unwrap_spatially


class RomeoParams(Params):
    """Parameters of ROMEO."""

    template_echo: int = Field(1, ge=1, description="echo unwrapped in space, counted from 1")
    temporal_limit: float = Field(
        0.5,
        gt=0,
        le=1,
        description="grow again where the prediction in time is missed by more than this times pi",
    )


class UnwrapResult(NamedTuple):
    """Unwrapped phase (x, y, z, echo) [rad] and quality (x, y, z), 0 (worst) to 1."""

    unwrapped: Array
    quality: Array


def romeo(
    phase: Array,
    magnitude: Array,
    mask: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: RomeoParams,
    *,
    device: Device,
) -> UnwrapResult:
    """Unwrap a multi-echo phase.

    Parameters
    ----------
    phase
        (x, y, z, echo) [rad], wrapped.
    magnitude
        (x, y, z, echo), any unit.
    mask
        (x, y, z); every voxel inside is unwrapped, whatever the number of connected components.
    echo_times
        (echo,) [s].
    grid
        Geometry.
    params
        Parameters.
    device
        Where to compute.

    Returns
    -------
    UnwrapResult
        Unwrapped phase, which differs from the input by multiples of 2 pi inside the mask and is 0
        outside (a view of echo-first memory); and the mean edge weight of each voxel in the template.

    Raises
    ------
    InputError
        For shapes or echo times that do not fit, or an empty mask.
    UsageError
        For a template echo that does not exist.
    """
    times = check_series(grid, echo_times, phase=phase, magnitude=magnitude)
    template = params.template_echo - 1
    if template >= len(times):
        raise UsageError(f"template_echo is {params.template_echo}, there are {len(times)} echoes")
    wrapped, weights = echo_first(phase, device), echo_first(magnitude, device)
    inside = checked_mask(mask, grid, device)
    unwrapped = device.empty(tuple(wrapped.shape))
    cost = _template(wrapped, weights, inside, times, template, unwrapped, device)
    limit = params.temporal_limit * math.pi
    outwards = [*range(template - 1, -1, -1), *range(template + 1, len(times))]
    for echo in outwards:
        reference = echo + 1 if echo < template else echo - 1
        _follow(wrapped, weights, inside, times, (echo, reference), limit, unwrapped, device)
    return UnwrapResult(echo_last(unwrapped), edge_quality(cost, device))


def _template(
    wrapped: Array,
    weights: Array,
    inside: Array,
    times: tuple[float, ...],
    template: int,
    unwrapped: Array,
    device: Device,
) -> Array:
    """Unwrap the template echo into `unwrapped`; returns its edge costs."""
    partner = template + 1 if template + 1 < len(times) else template - 1
    other = wrapped[partner] if len(times) > 1 else None
    ratio = times[partner] / times[template] if len(times) > 1 else 1.0
    phase = wrapped[template]
    cost = edge_costs(phase, weights[template], inside, device, other=other, ratio=1.0 / ratio)
    unwrapped[template] = unwrap_spatially(phase, cost, inside, device, other=other, ratio=ratio)
    return cost


def _follow(
    wrapped: Array,
    weights: Array,
    inside: Array,
    times: tuple[float, ...],
    pair: tuple[int, int],
    limit: float,
    unwrapped: Array,
    device: Device,
) -> None:
    """Unwrap echo pair[0] along time from the unwrapped echo pair[1], and again in space where that is poor."""
    echo, reference = pair
    ratio = times[echo] / times[reference]
    state = device.empty(tuple(inside.shape), np.uint8)
    launch(
        ROMEO_TEMPORAL,
        device,
        phase=wrapped[echo].reshape(-1),
        reference=unwrapped[reference].reshape(-1),
        mask=inside.reshape(-1),
        unwrapped=unwrapped[echo].reshape(-1),
        state=state.reshape(-1),
        ratio=ratio,
        limit=limit,
    )
    if bool((state == 1).any()):
        cost = edge_costs(wrapped[echo], weights[echo], inside, device, other=wrapped[reference], ratio=ratio)
        unwrapped[echo] = regrow(cost, state, unwrapped[echo], device)


METHODS = (
    Method(
        stage="unwrap", name="romeo", run=romeo, params=RomeoParams,
        inputs=("phase", "magnitude", "mask", "echo_times"),
        outputs={"unwrapped": "rad", "quality": "1"},
        summary="path-based unwrapping in space and along the echoes", doi="10.1002/mrm.28563",
        bytes_per_voxel=40,
    ),
)  # fmt: skip
