"""Quadratic term that penalises deviations from the mean of a region, for ADMM."""

from __future__ import annotations

import numpy as np

from qsmengine.data import Array


class UniformRegion:
    """Term weight / 2 ||z - mean(z)||^2 with the split z = x in a region, mean over that region.

    Outside the region the penalty of the split is replaced by a proximal term, mu / 2 ||x - x_before||^2,
    so that the update of x stays diagonal in k-space.

    Parameters
    ----------
    region
        (nx, ny, nz) bool, not empty.
    weight
        Weight of the term.
    mu
        Penalty of the split; it changes the speed, not the solution.
    """

    def __init__(self, region: Array, weight: float, mu: float) -> None:
        self.mu, self._share = mu, np.float32(weight / (mu + weight))
        self._index = region.reshape(-1).nonzero()[0]
        self._multiplier: Array | None = None
        self._target: Array | None = None

    def mean(self, x: Array) -> Array:
        """Return the mean of x over the region, float32 and on the device of x."""
        value: Array = x.reshape(-1)[self._index].mean(dtype=np.float64).astype(np.float32)
        return value

    def add_target(self, x: Array, total: Array, factor: float, relax: float = 0.0) -> None:
        """Update split and multiplier; add `factor` times the target of x to `total`.

        Over-relaxed by 1 + `relax`, as the other splits: z of the last call takes part of the place of x.
        """
        own = x.reshape(-1)[self._index]
        v = own if self._multiplier is None else own + self._multiplier
        if relax and self._target is not None:
            v += np.float32(relax) * (own - self._target - self._multiplier)
        mean = v.mean(dtype=np.float64).astype(np.float32)
        self._multiplier = (v - mean) * self._share
        self._target = v - 2 * self._multiplier
        scale = np.float32(factor)
        total += scale * x
        total.reshape(-1)[self._index] += scale * (self._target - own)
