"""Spoiled gradient echoes at several flip angles.

S = m0 c sin(a) (1 - E1) / (1 - E1 cos(a)) exp(-R2* TE) with the flip angle a = B1 a_nominal, E1 = exp(-TR R1)
and the coil's receive sensitivity c. B1 is smooth: high in the middle of the head and low at its surface, as at
3 T. A voxel has the mean R1 of its tissues weighted by m0. Noise is Rician; its SNR is that of the brightest
volume in white matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qsmengine.data import VfaSeries
from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.phantom.labels import HeadIndex
from qsmengine.phantom.perfusion import perfusion_table
from qsmengine.phantom.resample import FloatImage, Resampler

SIGNAL_SCALE = 10000.0
"""Equilibrium signal of water in the coil's centre [arbitrary]."""


@dataclass(frozen=True)
class VfaSettings:
    """Acquisition: every flip angle has the same echoes.

    Parameters
    ----------
    flip_angles
        (angle,) [deg].
    repetition_times
        (angle,) [s].
    echo_times
        (echo,) [s].
    b1_spread
        Difference of B1 between the centre of the field of view and the middle of its faces [1].
    """

    flip_angles: tuple[float, ...] = (3.0, 20.0)
    repetition_times: tuple[float, ...] = (0.028, 0.028)
    echo_times: tuple[float, ...] = (0.0076, 0.0223)
    b1_spread: float = 0.25

    def __post_init__(self) -> None:
        if len(self.flip_angles) != len(self.repetition_times):
            raise UsageError(
                f"{len(self.flip_angles)} flip angles, {len(self.repetition_times)} repetition times"
            )

    @property
    def tables(self) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
        """Flip angle [deg], repetition time and echo time [s] of every volume."""
        rows = [
            (flip, tr, te)
            for flip, tr in zip(self.flip_angles, self.repetition_times, strict=True)
            for te in self.echo_times
        ]
        flips, repetitions, echoes = zip(*rows, strict=True)
        return flips, repetitions, echoes


def r1_map(head: HeadIndex, m0: FloatImage, resampler: Resampler) -> FloatImage:
    """Return R1 (x, y, z) [1/s] on the resampler's target, the mean of the tissues weighted by `m0`."""
    table = perfusion_table()
    weight = resampler.average(m0)
    total = resampler.average(head.lookup([table[region.tissue].r1 for region in head.regions]) * m0)
    return np.divide(total, weight, out=np.ones_like(total), where=weight > 0)


def b1_map(grid: Grid, tilt: tuple[float, float, float], spread: float) -> FloatImage:
    """Return B1 (x, y, z) [1], 1 on average along the axes, with `tilt` added at the faces."""
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in grid.shape]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    bowl = np.float32(1 + spread / 2) - np.float32(spread) * (x * x + y * y + z * z)
    field: FloatImage = np.clip(bowl + (tilt[0] * x + tilt[1] * y + tilt[2] * z), 0.4, 1.6).astype(np.float32)
    return field


def vfa_signal(
    *,
    r1: FloatImage,
    r2star: FloatImage,
    m0: FloatImage,
    b1: FloatImage,
    sensitivity: FloatImage,
    grid: Grid,
    settings: VfaSettings,
) -> VfaSeries:
    """Return the series (x, y, z, volume) without noise.

    Parameters
    ----------
    r1, r2star
        (x, y, z) [1/s].
    m0, b1, sensitivity
        (x, y, z) [1].
    grid, settings
        Geometry and acquisition.
    """
    flips, repetitions, echoes = settings.tables
    volumes = np.empty((len(flips), *grid.shape), np.float32)
    proton = np.float32(SIGNAL_SCALE) * m0 * sensitivity
    for volume, (flip, tr, te) in enumerate(zip(flips, repetitions, echoes, strict=True)):
        angle, e1 = np.float32(np.radians(flip)) * b1, np.exp(np.float32(-tr) * r1)
        steady = np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle))
        volumes[volume] = proton * steady * np.exp(np.float32(-te) * r2star)
    return VfaSeries(volumes.transpose(1, 2, 3, 0), flips, repetitions, echoes, grid)


def with_noise(
    signal: FloatImage, snr: float, reference: npt.NDArray[np.bool_], rng: np.random.Generator
) -> FloatImage:
    """Return a series (x, y, z, volume) with Rician noise; `snr` is that of the brightest in `reference`."""
    sigma = np.float32(signal[reference].mean(axis=0, dtype=np.float64).max() / snr)
    found = np.empty((signal.shape[3], *signal.shape[:3]), np.float32)
    for volume in range(signal.shape[3]):
        real = signal[..., volume] + sigma * rng.standard_normal(signal.shape[:3], dtype=np.float32)
        found[volume] = np.hypot(real, sigma * rng.standard_normal(signal.shape[:3], dtype=np.float32))
    return found.transpose(1, 2, 3, 0)
