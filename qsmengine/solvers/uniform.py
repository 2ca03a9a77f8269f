"""Quadratic terms that penalise deviations from the means of regions, for ADMM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qsmengine.backend.device import Device, array_module
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.uniform import UNIFORM_ADD, UNIFORM_MEAN, UNIFORM_STEP, UNIFORM_SUMS
from qsmengine.data import Array

_RUN = 16384
"""Number of voxels summed by one tile."""


class UniformRegions:
    """Terms weight_r / 2 ||z - mean_r(z)||^2 with the split z = x in regions r, mean_r over region r.

    Outside the regions the penalty of the split is replaced by a proximal term, mu / 2 ||x - x_before||^2,
    so that the update of x stays diagonal in k-space.

    Parameters
    ----------
    regions
        (nx, ny, nz) bool, not empty, without common voxels, each with the weight of its term.
    mu
        Penalty of the split; it changes the speed, not the solution.
    """

    def __init__(self, regions: Sequence[tuple[Array, float]], mu: float) -> None:
        self.mu = mu
        self._splits = [_Split(region, weight / (mu + weight)) for region, weight in regions]

    def add_target(self, x: Array, total: Array, factor: float, device: Device, relax: float = 0.0) -> None:
        """Update splits and multipliers; add `factor` times the target of x to `total`.

        With `relax` above 0 the split is over-relaxed: (1 + relax) x - relax z, with z of the last call, takes
        the place of x, which must be 0 at the first call.
        """
        flat, sums = x.reshape(-1), total.reshape(-1)
        launch(UNIFORM_ADD, device, total=sums, x=flat, scale=factor)
        for split in self._splits:
            split.add_target(flat, sums, factor, device, relax)


class UniformRegion(UniformRegions):
    """:class:`UniformRegions` of one region (nx, ny, nz) bool."""

    def __init__(self, region: Array, weight: float, mu: float) -> None:
        super().__init__([(region, weight)], mu)

    def mean(self, x: Array) -> Array:
        """Return the mean of x over the region, float32 and on the device of x."""
        (split,) = self._splits
        value: Array = x.reshape(-1)[split.index].mean(dtype=np.float64).astype(np.float32)
        return value


class _Split:
    """The split of one region; `share` is weight / (mu + weight)."""

    def __init__(self, region: Array, share: float) -> None:
        xp = array_module(region)
        self._share = share
        self.index = region.reshape(-1).nonzero()[0].astype(np.int64)
        shape = self.index.shape
        self._multiplier, self._target = xp.zeros(shape, np.float32), xp.zeros(shape, np.float32)
        self._v = xp.empty(shape, np.float32)
        self._partial, self._mean = xp.empty(-(-shape[0] // _RUN), np.float64), xp.empty(1, np.float64)

    def add_target(self, flat: Array, sums: Array, factor: float, device: Device, relax: float) -> None:
        split = {"multiplier": self._multiplier, "target": self._target, "v": self._v}
        launch(
            UNIFORM_SUMS, device, x=flat, place=self.index, partial=self._partial, relax=relax, **split
        )  # fmt: skip
        launch(UNIFORM_MEAN, device, partial=self._partial, mean=self._mean, size=float(self.index.size))
        launch(
            UNIFORM_STEP, device, x=flat, place=self.index, mean=self._mean, total=sums, share=self._share,
            scale=factor, **split,
        )  # fmt: skip
