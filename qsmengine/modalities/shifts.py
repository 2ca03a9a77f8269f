"""Translation of the head between the volumes of a series, by phase correlation.

The inverse transform of the phase of conj(F a) F b has its peak at the translation from image a to b (Kuglin
and Hines 1975; Foroosh et al. 2002, 10.1109/83.988953, for the fraction of a voxel). It needs no registration
library and takes two transforms per volume, so every run can afford it. Rotations count only as far as they
translate the head.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array
from qsmengine.grid import FloatArray, Vector3
from qsmengine.io.in_parallel import in_parallel
from qsmengine.ops.order_statistics import medians

SHARP = 4.0
"""Distance [voxels] in the spectrum's Gaussian weight: exp(-(|k| / k_Nyquist)^2 SHARP)."""
SAMPLES = 64
"""Samples along an axis; larger images are averaged over blocks first."""
FEWEST = 12
"""Voxels along an axis below which a translation is not determined."""
LEAST_VOLUMES = 3
"""Volumes of like contrast below which a group says nothing."""


def largest_translation(
    signal: Array, voxel_size: Vector3, groups: Sequence[npt.NDArray[np.intp]]
) -> float | None:
    """Return the largest of :func:`volume_translations` [mm]; None if none is known."""
    found = volume_translations(signal, voxel_size, groups)
    return float(np.nanmax(found)) if np.isfinite(found).any() else None


def volume_translations(
    signal: Array, voxel_size: Vector3, groups: Sequence[npt.NDArray[np.intp]]
) -> FloatArray:
    """Return the translation (volume,) [mm] of each volume from its group's median image.

    Parameters
    ----------
    signal
        (x, y, z, volume).
    voxel_size
        [mm].
    groups
        Indices of volumes of like contrast; groups of fewer than three are left out.

    Returns
    -------
    FloatArray
        NaN for volumes in no such group, and for images of fewer than 12 voxels along an axis.
    """
    found = np.full(signal.shape[3], np.nan)
    if min(signal.shape[:3]) < FEWEST:
        return found
    for group in groups:
        if len(group) >= LEAST_VOLUMES:
            blocks = [-(-size // SAMPLES) for size in signal.shape[:3]]
            volumes = [_averaged(to_numpy(signal[..., k]), blocks) for k in group.tolist()]
            middle = medians(np.stack(volumes[:: max(1, len(volumes) // 9)]), axis=0)
            edges = tuple(edge * block for edge, block in zip(voxel_size, blocks, strict=True))
            found[group] = np.linalg.norm(translations(middle, volumes, edges), axis=1)
    return found


def _averaged(volume: npt.NDArray[np.floating], blocks: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return the means over blocks of voxels; voxels beyond the last whole block are left out."""
    counts = [size // block for size, block in zip(volume.shape, blocks, strict=True)]
    whole = volume[tuple(slice(0, n * block) for n, block in zip(counts, blocks, strict=True))]
    mean: npt.NDArray[np.float32] = np.asarray(whole, dtype=np.float32)
    for axis, block in enumerate(blocks):
        ahead = (slice(None),) * axis
        parts = [mean[(*ahead, slice(first, None, block))] for first in range(block)]
        mean = functools.reduce(np.add, parts)
    return mean / np.float32(math.prod(blocks))


def translations(
    reference: npt.NDArray[np.float32], volumes: Sequence[npt.NDArray[np.float32]], voxel_size: Sequence[float]
) -> FloatArray:
    """Return the translations (volume, 3) [mm], along the array axes, from `reference` (x, y, z)."""
    shape = reference.shape
    k = np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2])
    square = sum((2.0 * part) ** 2 for part in np.meshgrid(*k, indexing="ij", sparse=True))
    weight = np.exp(-SHARP * square).astype(np.float32)
    base = np.conj(np.fft.rfftn(reference))

    def shift(volume: npt.NDArray[np.float32]) -> FloatArray:
        product = base * np.fft.rfftn(volume)
        peak = np.fft.irfftn(product / np.maximum(np.abs(product), 1e-30) * weight, shape, (0, 1, 2))
        moved: FloatArray = _peak(peak) * np.asarray(voxel_size)
        return moved

    return np.array(in_parallel(shift, volumes))


def _peak(image: npt.NDArray[np.floating]) -> FloatArray:
    """Return the position [voxels] of the maximum, from -n/2 to n/2, refined by a Gaussian."""
    place = [int(index) for index in np.unravel_index(int(image.argmax()), image.shape)]
    position = []
    for axis, (index, size) in enumerate(zip(place, image.shape, strict=True)):
        along: list[Any] = [*place]
        along[axis] = slice(None)
        line = np.log(np.maximum(image[tuple(along)], 1e-30))
        low, middle, high = (float(line[(index + step) % size]) for step in (-1, 0, 1))
        bend = low - 2 * middle + high
        part = 0.5 * (low - high) / bend if bend < 0 else 0.0
        position.append((index + size // 2) % size - size // 2 + part)
    return np.array(position)
