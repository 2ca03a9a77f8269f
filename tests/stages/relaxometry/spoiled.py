"""Spoiled gradient echoes of voxels with known tissue, for tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.stages.gre import DEVICE, grid_of

DOUBLE = ((3.0, 3.0, 25.0, 25.0), (0.028, 0.028, 0.0098, 0.0098), (0.002, 0.006, 0.0023, 0.007))
"""Flip angles [deg], repetition and echo times [s] of two acquisitions with unlike repetition times."""
SINGLE = ((4.0, 21.0), (0.02, 0.02), (0.003, 0.003))
MANY = ((5.0, 10.0, 15.0, 20.0, 30.0), (0.02,) * 5, (0.004,) * 5)
VERY_MANY = (tuple(np.arange(3.0, 30.0, 3.0).tolist()), (0.02,) * 9, (0.004,) * 9)
"""More flip angles than the kernel keeps from one pass to the next."""


@dataclass(frozen=True)
class Tissue:
    """Maps (x, y, z): R1, R2* [1/s], amplitude and B1."""

    r1: np.ndarray
    r2star: np.ndarray
    amplitude: np.ndarray
    b1: np.ndarray

    @classmethod
    def draw(cls, seed, shape=(9, 10, 11)):
        rng = np.random.default_rng(seed)
        ranges = ((0.2, 3.0), (2.0, 80.0), (100.0, 2000.0), (0.7, 1.3))
        return cls(*(rng.uniform(low, high, shape) for low, high in ranges))

    def signal(self, protocol):
        """(x, y, z, volume) by the Ernst equation."""
        volumes = []
        for flip, tr, te in zip(*protocol, strict=True):
            angle, e1 = self.b1 * np.radians(flip), np.exp(-tr * self.r1)
            steady = np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle))
            volumes.append(self.amplitude * steady * np.exp(-te * self.r2star))
        return np.stack(volumes, axis=-1)


def apply(method, params, signal, protocol, mask=None, **more):
    """Result of a method of the stages."""
    mask = np.ones(signal.shape[:3], bool) if mask is None else mask
    return method(
        signal.astype(np.float32), mask, *protocol, grid_of(mask.shape), params, device=DEVICE, **more
    )
