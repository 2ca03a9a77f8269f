"""Spectra of padded curves, and work space of the deconvolution kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device
from qsmengine.data import Array

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

_TILE = 256
"""Voxels that share a tile on a GPU; a multiple of those on a CPU."""
_WORK = {"cpu": 1 << 24, "cuda": 1 << 28}
"""Largest work space [bytes] by kind of device."""


class Tables(NamedTuple):
    """Cosines and sines of one period of 2N samples, on the device."""

    cosine: Array
    sine: Array


def padded_spectrum(curve: FloatArray) -> ComplexArray:
    """Return the half spectrum (N + 1,) of a curve (N,) that zeros extend to 2N samples."""
    return np.asarray(np.fft.rfft(curve, 2 * curve.size))


def multiplicity(frames: int) -> FloatArray:
    """Return how often each bin of a half spectrum of 2N samples occurs in the whole: 1, 2, ..., 2, 1."""
    counts = np.full(frames + 1, 2.0)
    counts[[0, -1]] = 1.0
    return counts


def tables(frames: int, device: Device) -> Tables:
    """Return the tables of a transform of 2 `frames` samples; multiples of a quarter turn are exact."""
    quarters = np.arange(2 * frames) / (frames / 2)
    angle = np.pi / 2 * quarters
    cosine, sine = np.cos(angle), np.sin(angle)
    cosine[quarters % 2 == 1], sine[quarters % 2 == 0] = 0.0, 0.0
    return Tables(device.asarray(cosine), device.asarray(sine))


class Work(NamedTuple):
    """Work space for `rows` numbers per voxel, and the ranges of voxels that use it in turn."""

    scratch: Array
    ranges: tuple[tuple[int, int], ...]


def work_space(rows: int, voxels: int, device: Device) -> Work:
    """Return work space for as many voxels at a time as fit."""
    most = max(_WORK[device.kind] // (4 * rows * _TILE), 1) * _TILE
    at_once = min(most, -(-voxels // _TILE) * _TILE)
    ranges = tuple((begin, min(begin + at_once, voxels)) for begin in range(0, voxels, at_once))
    return Work(device.empty((rows * at_once,)), ranges)


def inverse_weights(factors: ComplexArray) -> ComplexArray:
    """Return weights (..., N + 1) of an inverse transform that sums each bin once, from factors of the bins."""
    frames = factors.shape[-1] - 1
    return np.asarray(factors * multiplicity(frames) / (2 * frames))
