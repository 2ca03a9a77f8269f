"""Balanced steady-state free precession (x, y, z, volume), complex, by the formula of Freeman and Hill.

The phase of a voxel is that of its precession until the echo; the receive phase is 0.

Reference: Freeman & Hill 1971, 10.1016/0022-2364(71)90089-5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qsmengine.errors import UsageError
from qsmengine.phantom.resample import FloatImage


@dataclass(frozen=True)
class BalancedSettings:
    """Acquisition, echoes in the middle between pulses.

    Parameters
    ----------
    flip_angles, increments
        (volume,) flip angles and phase increments of the pulses [deg].
    repetition_time
        [s].
    """

    flip_angles: tuple[float, ...] = (15.0, 45.0)
    increments: tuple[float, ...] = (180.0, 180.0)
    repetition_time: float = 0.006

    def __post_init__(self) -> None:
        if len(self.flip_angles) != len(self.increments):
            raise UsageError(f"{len(self.flip_angles)} flip angles, {len(self.increments)} phase increments")


def bssfp_signal(
    *,
    r1: FloatImage,
    r2: FloatImage,
    amplitude: FloatImage,
    b1: FloatImage,
    frequency: FloatImage,
    settings: BalancedSettings,
) -> npt.NDArray[np.complex64]:
    """Return the images (x, y, z, volume) without noise.

    Parameters
    ----------
    r1, r2
        (x, y, z) [1/s].
    amplitude
        (x, y, z) equilibrium magnetisation times the receive field.
    b1
        (x, y, z) ratio of the actual to the nominal flip angle.
    frequency
        (x, y, z) off-resonance [Hz].
    settings
        Acquisition.
    """
    tr = settings.repetition_time
    e1, e2 = np.exp(-tr * r1.astype(np.float64)), np.exp(-tr * r2.astype(np.float64))
    turn = 2 * np.pi * tr * frequency.astype(np.float64)
    half = amplitude * np.sqrt(e2) * np.exp(0.5j * turn)
    images = []
    for flip, increment in zip(settings.flip_angles, settings.increments, strict=True):
        angle, theta = np.radians(flip) * b1, np.radians(increment) + turn
        cosine = np.cos(angle)
        below = (1 - e1 * cosine) * (1 - e2 * np.cos(theta)) - e2 * (e1 - cosine) * (e2 - np.cos(theta))
        images.append(half * (1 - e1) * np.sin(angle) * (1 - e2 * np.exp(1j * theta)) / below)
    return np.stack(images, axis=-1).astype(np.complex64)
