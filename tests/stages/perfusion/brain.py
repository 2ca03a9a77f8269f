"""A brain with grey and white matter, an artery and a vein, and its bolus series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qsmengine.grid import Grid
from tests.stages.perfusion.curves import AREA, STEP, TIMES, Curve, artery, exponential

Image = np.ndarray[Any, np.dtype[Any]]
SHAPE = (26, 24, 12)
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 3.0, 1.0]), 3.0)
ECHO_TIME, SECOND_ECHO_TIME = 0.03, 0.05
PEAK = 40.0
"""Peak of dR2* in pure arterial blood [1/s]."""
FLOW = {"grey": 0.010, "white": 0.004}
"""F [1/s]."""
TRANSIT = {"grey": 4.0, "white": 5.0}
"""M [s]."""


@dataclass(frozen=True)
class Brain:
    """Images (x, y, z) of a brain, and dR2* (x, y, z, frame) [1/s] of its tissue without leakage."""

    mask: Image
    grey: Image
    artery: Image
    vein: Image
    change: Image
    aif: Curve

    @property
    def tissue(self) -> Image:
        return self.mask & ~self.artery & ~self.vein

    def signal(self, rng: np.random.Generator, *, snr: float | None, echo_time: float = ECHO_TIME) -> Image:
        """The series, any unit; SNR at baseline, None: without noise. The first frames are brighter."""
        settling = 1.0 + 0.3 * np.exp(-TIMES / 0.7)
        clean = np.where(self.mask, 500.0, 4.0)[..., None] * settling * np.exp(-echo_time * self.change)
        noise = 0.0 if snr is None else 500.0 / snr * rng.normal(size=clean.shape)
        return np.abs(clean + noise).astype(np.float32)


def brain(arrival: float = 20.0) -> Brain:
    points = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    mask = (points**2).sum(axis=0) < 1.0
    grey = mask & (points[0] > 0)
    vessel = (np.arange(SHAPE[0])[:, None, None] - 9) ** 2 + (np.arange(SHAPE[1])[:, None] - 9) ** 2 <= 2
    artery_mask = mask & vessel & (np.arange(SHAPE[2]) > 3) & (np.arange(SHAPE[2]) < 9)
    vein = mask & np.roll(vessel, (7, 6), (0, 1)) & (np.arange(SHAPE[2]) > 3) & (np.arange(SHAPE[2]) < 9)
    scale = PEAK / float(artery(np.array([19.5]), 15.0)[0])
    aif = scale * artery(TIMES, arrival)
    change = np.zeros((*SHAPE, TIMES.size))
    for name, where in (("grey", grey), ("white", mask & ~grey)):
        change[where] = FLOW[name] * scale * exponential(TIMES, TRANSIT[name], arrival + 1.0)
    change[artery_mask] = 0.8 * aif
    change[vein] = scale * 0.9 * exponential(TIMES, 3.0, arrival + 4.0) / 3.0
    return Brain(mask, grey, artery_mask, vein, change, aif)


AIF_AREA = PEAK / float(artery(np.array([19.5]), 15.0)[0]) * AREA / STEP
"""Sum over the samples of the arterial curve [1/s]."""
