"""Densities of intensities in voxels of one tissue, or of two in any proportion."""

from __future__ import annotations

import numpy as np

from qsmengine.grid import FloatArray

ALIKE = 0.5
"""Difference of two means below which their mixtures count as one tissue [standard deviation]."""


def normal(image: FloatArray, mean: FloatArray, spread: FloatArray) -> FloatArray:
    """Return the normal density of `image` (voxel,) with `mean` and standard deviation `spread`."""
    return np.asarray(np.exp(-0.5 * ((image - mean) / spread) ** 2) / (np.sqrt(2 * np.pi) * spread))


def mixture(
    image: FloatArray, first: FloatArray, second: FloatArray, spread: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the density of mixtures in every proportion, and the expected share [1] of the second tissue.

    The density is the mean over v in 0 .. 1 of N(I; v b + (1 - v) a, s), and the share that of v given I.
    Tissues of nearly the same mean have the density of the first, and equal shares.

    Parameters
    ----------
    image
        (voxel,) intensity I.
    first, second
        (voxel,) means a and b.
    spread
        (voxel,) standard deviation s.
    """
    from scipy.special import ndtr

    apart = second - first
    alike = np.abs(apart) < ALIKE * spread
    apart = np.where(alike, 1.0, apart)
    width, most = spread / np.abs(apart), (image - first) / apart
    low, high = -most / width, (1 - most) / width
    mass = np.maximum(ndtr(high) - ndtr(low), 1e-300)
    fall = (np.exp(-0.5 * low**2) - np.exp(-0.5 * high**2)) / np.sqrt(2 * np.pi)
    share = np.clip(most + width * fall / mass, 0, 1)
    density = np.where(alike, normal(image, first, spread), mass / np.abs(apart))
    return np.asarray(density), np.where(alike, 0.5, share)
