"""Simulated gradient-echo series with known truth."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import cpu
from qsmengine.grid import Grid

DEVICE = cpu(2)
TWO_PI = 2 * np.pi


def grid_of(shape, voxel_size=(1.0, 1.0, 1.0), field_strength=3.0):
    return Grid.from_voxel_size(shape, voxel_size, field_strength=field_strength)


def axes(shape):
    """Coordinates -1 .. 1 along x, y, z, broadcast to `shape`."""
    return np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")


def simulate(field_hz, times, *, offset=0.0, r2star=20.0, sigma=0.0, rng=None):
    """Magnitude and wrapped phase (x, y, z, echo) of unit proton density in a field (x, y, z) [Hz]."""
    times = np.asarray(times)
    angle = TWO_PI * np.asarray(field_hz)[..., None] * times + np.asarray(offset)[..., None]
    signal = np.exp(-np.asarray(r2star)[..., None] * times) * np.exp(1j * angle)
    if sigma:
        signal = signal + sigma * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    return np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32)


def wrapped(angle):
    return np.angle(np.exp(1j * np.asarray(angle, dtype=np.float64)))


def turns_apart(a, b):
    """(a - b) / 2 pi, and how far that is from whole numbers [rad]."""
    difference = (np.asarray(a, np.float64) - np.asarray(b, np.float64)) / TWO_PI
    return np.rint(difference), np.abs(difference - np.rint(difference)) * TWO_PI
