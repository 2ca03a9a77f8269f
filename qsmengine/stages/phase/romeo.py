"""ROMEO: path-based unwrapping, exact up to multiples of 2 pi.

A template echo is unwrapped in space, along a spanning tree of the voxels that follows the edges of best
quality (see `growth`). The other echoes, in order of distance from it, are brought to within pi of the
prediction from the previous echo for a phase that is linear in time and 0 at time 0:

    phase_e += 2 pi round((phase_ref TE_e / TE_ref - phase_e) / 2 pi).

Voxels that remain far from that prediction are unwrapped in space from the others instead.

The mode `individual` unwraps every echo separately in space, for phase that is not linear in time, and then
adds to each echo the multiple of 2 pi that brings most of its voxels to the prediction from the template.

The mode `template` assumes that the phase at echo time 0 was removed (for one receive channel: MCPC-3D-S).

Reference: Dymerska et al. 2021, 10.1002/mrm.28563.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.romeo import ROMEO_TEMPORAL
from qsmengine.data import Array
from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.ops.order_statistics import median
from qsmengine.stages.echoes import check_series, checked_mask, echo_first, echo_last
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params
from qsmengine.stages.phase.growth import edge_costs, edge_quality, regrow, unwrap_spatially
from qsmengine.units import TWO_PI


class RomeoParams(Params):
    """Parameters of ROMEO."""

    template_echo: int = Field(1, ge=1, description="echo unwrapped in space, counted from 1")
    mode: Literal["template", "individual"] = Field(
        "template", description="unwrap echoes in time from the template, or each in space"
    )
    magnitude_weights: bool = Field(
        False, description="also lower the weights of edges with low and with very high magnitude"
    )
    temporal_limit: float = Field(
        0.5,
        gt=0,
        le=1,
        description="unwrap in space where the prediction in time is missed by more than this times pi",
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
        (x, y, z); every voxel inside is unwrapped, also in several connected components.
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
        outside (a view of echo-first memory), and the mean edge weight of each voxel in the template.

    Raises
    ------
    InputError
        For shapes or echo times that do not match, or an empty mask.
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
    echoes = _Echoes(wrapped, weights, inside, times, template, params, device)
    cost = echoes.grow(template, unwrapped)
    if params.mode == "individual":
        echoes.grow_others(unwrapped)
    else:
        echoes.follow(unwrapped)
    return UnwrapResult(echo_last(unwrapped), edge_quality(cost, device))


class _Echoes(NamedTuple):
    """Series with the echo as the first axis, and the steps that unwrap it."""

    wrapped: Array
    weights: Array
    inside: Array
    times: tuple[float, ...]
    template: int
    params: RomeoParams
    device: Device

    def costs(self, echo: int, partner: int | None) -> Array:
        """Return the edge costs of an echo, including the gradient coherence with its partner."""
        ratio = 1.0 if partner is None else self.times[echo] / self.times[partner]
        return edge_costs(
            self.wrapped[echo],
            self.weights[echo],
            self.inside,
            self.device,
            other=None if partner is None else self.wrapped[partner],
            ratio=ratio,
            magnitude_weights=self.params.magnitude_weights,
        )

    def grow(self, echo: int, unwrapped: Array) -> Array:
        """Unwrap an echo in space and return its edge costs."""
        partner = self._partner(echo)
        cost = self.costs(echo, partner)
        ratio = 1.0 if partner is None else self.times[partner] / self.times[echo]
        other = None if partner is None else self.wrapped[partner]
        unwrapped[echo] = unwrap_spatially(
            self.wrapped[echo], cost, self.inside, self.device, other=other, ratio=ratio
        )
        return cost

    def _partner(self, echo: int) -> int | None:
        if len(self.times) == 1:
            return None
        return echo + 1 if echo + 1 < len(self.times) else echo - 1

    def grow_others(self, unwrapped: Array) -> None:
        """Unwrap every echo but the template in space, and shift each as a whole to its prediction."""
        selected = self.inside > 0
        reference = unwrapped[self.template][selected] / np.float32(self.times[self.template])
        for echo in (e for e in range(len(self.times)) if e != self.template):
            self.grow(echo, unwrapped)
            missing = np.float32(self.times[echo]) * reference - unwrapped[echo][selected]
            turns = round(median(missing) / TWO_PI)
            unwrapped[echo][selected] += np.float32(TWO_PI * turns)

    def follow(self, unwrapped: Array) -> None:
        """Unwrap the other echoes in time, starting next to the template."""
        outwards = [*range(self.template - 1, -1, -1), *range(self.template + 1, len(self.times))]
        for echo in outwards:
            reference = echo + 1 if echo < self.template else echo - 1
            self._follow(echo, reference, unwrapped)

    def _follow(self, echo: int, reference: int, unwrapped: Array) -> None:
        """Unwrap one echo in time from the unwrapped echo `reference`, in space where the prediction fails."""
        state = self.device.empty(tuple(self.inside.shape), np.uint8)
        launch(
            ROMEO_TEMPORAL,
            self.device,
            phase=self.wrapped[echo].reshape(-1),
            reference=unwrapped[reference].reshape(-1),
            mask=self.inside.reshape(-1),
            unwrapped=unwrapped[echo].reshape(-1),
            state=state.reshape(-1),
            ratio=self.times[echo] / self.times[reference],
            limit=self.params.temporal_limit * math.pi,
        )
        if bool((state == 1).any()):
            cost = self.costs(echo, reference)
            unwrapped[echo] = regrow(cost, state, unwrapped[echo], self.device)


METHODS = (
    Method(
        stage="unwrap", name="romeo", run=romeo, params=RomeoParams,
        inputs=("phase", "magnitude", "mask", "echo_times"),
        outputs={"unwrapped": "rad", "quality": "1"},
        summary="path-based unwrapping in space and along the echoes", doi="10.1002/mrm.28563",
        bytes_per_voxel=32, bytes_per_volume=8, within_mask=True,
    ),
)  # fmt: skip
