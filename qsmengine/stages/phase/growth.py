"""Edge weights and region growing of ROMEO, shared by several steps.

Growing from a seed, always across the cheapest open edge, visits the voxels along the minimum spanning tree
of the edge costs. Kruskal's algorithm finds this tree on a CPU, Boruvka's on a GPU. The turns along it are
integers, so the results of both devices are identical.

Reference: Dymerska et al. 2021, 10.1002/mrm.28563.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.host import hostcall
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.romeo import (
    ROMEO_BRANCH,
    ROMEO_CONTINUE,
    ROMEO_COUNT,
    ROMEO_FIRST,
    ROMEO_FOLLOW,
    ROMEO_FOREST,
    ROMEO_LINK,
    ROMEO_MISFIT,
    ROMEO_NARROW,
    ROMEO_QUALITY,
    ROMEO_RESET,
    ROMEO_ROOTS,
    ROMEO_START,
    ROMEO_TURN,
    ROMEO_WEIGHTS,
)
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.ops.order_statistics import percentile

MOST_VOXELS = 1 << 29
"""The kernels number edges with 32 bits."""
ROUNDS_PER_LOOK = 4
"""Rounds of the growth on a GPU between two checks for completion."""
QUARTER_TURN = 1 << 14
"""A full turn in the unit of the kernels' angles."""


def edge_costs(
    phase: Array,
    magnitude: Array,
    mask: Array,
    device: Device,
    *,
    other: Array | None = None,
    ratio: float = 1.0,
    magnitude_weights: bool = False,
) -> Array:
    """Return the cost of every edge between neighbours, uint8 (axis, x, y, z): 1 (best) to 255, 0 for no edge.

    cost = 255 (1 - w), where w is the product of 0.1 + 0.9 w_i over the terms: phase coherence 1 - |d| / pi
    with d the wrapped step; gradient coherence max(0, 1 - |d - d_other ratio|); phase linearity, the product
    of max(0, 1 - |wrap(a - 2b + c)| / 2) over the two triplets in line, 0.9 for a triplet that leaves the
    mask; magnitude coherence (min / max)^2. `magnitude_weights` adds two terms, where h is half the 95th
    percentile of the magnitude in the mask: 1/2 + 1/2 min(1, min / h) and 1/2 + 1/2 min(1, h / max), which
    are low for voxels without signal and for voxels as bright as flowing blood.

    Parameters
    ----------
    phase
        float32 (x, y, z) [rad], wrapped.
    magnitude
        float32 (x, y, z), any unit.
    mask
        uint8 (x, y, z); edges join voxels inside it. Voxels outside have no influence.
    device
        Device of these arrays.
    other
        Phase of another echo, for the gradient coherence; None omits that term.
    ratio
        TE / TE of the other echo.
    magnitude_weights
        Add the two magnitude terms.
    """
    cost = device.empty((3, *phase.shape), np.uint8)
    second = phase if other is None else other
    launch(
        ROMEO_WEIGHTS,
        device,
        phase=phase,
        other=second,
        magnitude=magnitude,
        mask=mask,
        cost=cost,
        ratio=ratio,
        bright=_half_brightness(magnitude, mask) if magnitude_weights else 1.0,
        second=int(other is not None),
        magnitude_weights=int(magnitude_weights),
    )
    return cost


def _half_brightness(magnitude: Array, mask: Array) -> float:
    value = 0.5 * percentile(magnitude[mask > 0], 95)
    return value if value > 0.0 else 1.0


def edge_quality(cost: Array, device: Device) -> Array:
    """Return the mean weight of each voxel's edges (x, y, z), 0 (worst) to 1; 0 without edges."""
    quality = device.empty(tuple(cost.shape[1:]))
    launch(ROMEO_QUALITY, device, cost=cost, quality=quality)
    return quality


def unwrap_spatially(
    phase: Array, cost: Array, mask: Array, device: Device, *, other: Array | None = None, ratio: float = 1.0
) -> Array:
    """Return the unwrapped phase (x, y, z) [rad] of every voxel in `mask`; 0 outside.

    The phase is unwrapped along the minimum spanning forest of the edges. The multiple of 2 pi of each
    connected component is then set as a whole: its median lies in the branch around 0, unless a few turns more
    or less give a better fit of `other` (the phase of another echo, TE ratio times longer) to a phase that is
    linear in time and 0 at time 0. With an integer ratio the other echo carries no information about the
    branch, and the one around 0 is kept.
    """
    tree = spanning_forest(phase, cost, mask, device).reshape(-1)
    voxels = {"phase": phase.reshape(-1), "state": mask.reshape(-1), "tree": tree}
    branches = _Branches.of(voxels, device)
    for step in branches.steps:
        branches.narrow(step)
    if other is not None:
        branches.compare(other.reshape(-1), ratio)
    unwrapped = device.empty(tuple(phase.shape))
    branches.apply(unwrapped.reshape(-1), ratio)
    return unwrapped


def regrow(cost: Array, state: Array, unwrapped: Array, device: Device) -> Array:
    """Return the unwrapped phase (x, y, z) [rad] with voxels of state 1 grown again from those of state 2.

    Voxels of state 1 that are not connected to state 2 keep their value.
    """
    tree = spanning_forest(unwrapped, cost, state, device)
    result = device.empty(tuple(unwrapped.shape))
    launch(
        ROMEO_CONTINUE,
        device,
        phase=unwrapped.reshape(-1),
        state=state.reshape(-1),
        tree=tree.reshape(-1),
        unwrapped=result.reshape(-1),
    )
    return result


def spanning_forest(phase: Array, cost: Array, state: Array, device: Device) -> Array:
    """Return the minimum spanning forest of the voxels of states 1 and 2, int64 (x, y, z): root + 2^32 turns.

    Edges are ordered by cost, then by 3 voxel + axis, counted from the edge's lower end. Adding the turns of
    both to the phase of a voxel and of its root makes every step along the forest at most pi. All voxels of
    state 2 form one tree, whose root is the number of voxels. Voxels of state 0 have no defined value. The CPU
    uses Kruskal's algorithm, a GPU Boruvka's: the roots may differ, but the trees and the turns from voxel to
    voxel do not.

    Raises
    ------
    InputError
        For more than 2^29 voxels.
    """
    if device.kind == "cuda":
        return forest_by_rounds(phase, cost, state, device)
    tree = device.empty((phase.size + 1,), np.int64)
    hostcall(ROMEO_FOREST, phase=phase, cost=cost, state=state, tree=tree)
    return tree[:-1].reshape(phase.shape)


def forest_by_rounds(phase: Array, cost: Array, state: Array, device: Device) -> Array:
    """Compute :func:`spanning_forest` by kernels: Boruvka's algorithm, on CPU or GPU."""
    shape, n = tuple(phase.shape), int(phase.size)
    if n > MOST_VOXELS:
        raise InputError(f"shape {shape} has more than {MOST_VOXELS} voxels", field="shape")
    tree, first, link = (device.empty(shape, np.int64) for _ in range(3))
    done = device.empty((32,), np.int64)
    done[...], done[:1] = 1, 0
    launch(ROMEO_START, device, state=state.reshape(-1), tree=tree.reshape(-1), first=first.reshape(-1))
    for number in range(n.bit_length()):
        if number and number % ROUNDS_PER_LOOK == 0 and int(done[number]) == 1:
            break
        now: dict[str, Any] = {"state": state, "tree": tree, "first": first, "done": done, "round": number}
        launch(ROMEO_FIRST, device, cost=cost, **now)
        launch(ROMEO_LINK, device, phase=phase, link=link, **now)
        now |= {name: array.reshape(-1) for name, array in now.items() if name not in {"done", "round"}}
        launch(ROMEO_FOLLOW, device, link=link.reshape(-1), **now)
    return tree


class _Branches(NamedTuple):
    """Search for the multiple of 2 pi of each tree; flat arrays, with one value per tree."""

    voxels: dict[str, Array]
    number: Array
    median: Array
    cosine: Array
    sine: Array
    steps: tuple[int, ...]
    device: Device

    @classmethod
    def of(cls, voxels: dict[str, Array], device: Device) -> _Branches:
        """Number the trees; every median starts at the lowest branch of any voxel."""
        n = voxels["phase"].size
        flags, number = device.empty((n,), np.uint8), device.empty((n,), np.int32)
        extent = device.zeros((2,), np.int64)
        launch(ROMEO_ROOTS, device, **voxels, roots=flags, range=extent)
        roots = device.xp.flatnonzero(flags.view(np.bool_))
        low, minus_high = (int(v) for v in to_numpy(extent))
        median, counts, sine = (device.empty((int(roots.size),), np.int64) for _ in range(3))
        launch(
            ROMEO_RESET, device, roots=roots, number=number, median=median, counts=counts, sine=sine, lowest=low
        )
        steps = tuple(1 << bit for bit in reversed(range((-minus_high - low).bit_length())))
        return cls(voxels, number, median, counts, sine, steps, device)

    def narrow(self, step: int) -> None:
        """Halve the interval that contains each median."""
        search: dict[str, Any] = {"median": self.median, "counts": self.cosine, "step": step}
        launch(ROMEO_COUNT, self.device, **self.voxels, number=self.number, **search)
        launch(ROMEO_NARROW, self.device, **search)

    def compare(self, other: Array, ratio: float) -> None:
        """Return the mean misfit of the other echo, as a vector for each tree."""
        for sums, shift in ((self.cosine, QUARTER_TURN), (self.sine, 0)):
            launch(
                ROMEO_MISFIT, self.device, **self.voxels, number=self.number, other=other, sums=sums,
                ratio=_fixed(ratio), shift=shift,
            )  # fmt: skip

    def apply(self, unwrapped: Array, ratio: float) -> None:
        """Write the phase, including the turns of its voxels and trees."""
        added = self.device.empty(tuple(self.median.shape), np.int64)
        launch(
            ROMEO_BRANCH, self.device, median=self.median, cosine=self.cosine, sine=self.sine, added=added,
            ratio=_fixed(ratio),
        )  # fmt: skip
        launch(ROMEO_TURN, self.device, **self.voxels, number=self.number, added=added, unwrapped=unwrapped)


def _fixed(ratio: float) -> int:
    return round(ratio * 4 * QUARTER_TURN)
