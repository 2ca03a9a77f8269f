"""Gaussian filters: direct convolution with a window, and means inside a mask by FFT."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.window import WINDOW_SUM
from qsmengine.data import Array
from qsmengine.grid import Grid, Vector3
from qsmengine.ops.domain import Domain

REACH = 4.0
"""Standard deviations at which the Gaussian is truncated."""
FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Full width at half maximum of a Gaussian of standard deviation 1."""


def gaussian_response(shape: tuple[int, int, int], spacing: Vector3, sigma: Vector3, device: Device) -> Array:
    """Return the half spectrum of a Gaussian of sum 1: exp(-2 pi^2 sum_a (sigma_a k_a)^2).

    `spacing` and the standard deviations `sigma` of the axes in [mm]; float32 (nx, ny, nz // 2 + 1).
    """
    response = device.zeros((shape[0], shape[1], shape[2] // 2 + 1))
    response += np.float32(1)
    for axis, (n, h, s) in enumerate(zip(shape, spacing, sigma, strict=True)):
        k = np.fft.fftfreq(n, h)[: response.shape[axis]]
        along = [1, 1, 1]
        along[axis] = -1
        response *= device.asarray(np.exp(-2.0 * (np.pi * s * k) ** 2)).reshape(along)
    return response


def gaussian_filter(
    image: Array, voxel_size: Vector3, sigma: float, device: Device, *, mirror: bool = True
) -> Array:
    """Smooth `image` float32 (x, y, z) with a Gaussian of standard deviation `sigma` [mm] and sum 1.

    The window is truncated at four standard deviations. The image is mirrored at its faces, or continued by
    zeros without `mirror`. Sums are in double precision and in a fixed order, axis after axis.
    """
    result = device.asarray(image)
    for axis, h in enumerate(voxel_size):
        weights = _half_window(sigma / h)
        if len(weights) == 1:
            continue
        n = result.shape[axis]
        weights = weights if mirror else weights[:n]
        reach = len(weights) - 1
        beyond = (0, 0) if mirror else (reach, reach)
        source = (
            result if mirror else device.xp.pad(result, [beyond if a == axis else (0, 0) for a in range(3)])
        )
        places = np.pad(np.arange(source.shape[axis], dtype=np.int32), reach, mode="symmetric")
        filtered = device.empty(tuple(source.shape))
        launch(
            WINDOW_SUM, device, x=source, weights=device.asarray(weights, np.float64),
            places=device.asarray(places, np.int32), sum=filtered, axis=axis,
        )  # fmt: skip
        inner = tuple(slice(beyond[0], beyond[0] + n) if a == axis else slice(None) for a in range(3))
        result = device.asarray(filtered[inner])
    return result


def _half_window(sigma: float) -> npt.NDArray[np.float64]:
    """Return samples 0, 1, .. of a Gaussian of `sigma` [voxels] whose samples on both sides sum to 1."""
    reach = int(REACH * sigma + 0.5)
    if reach == 0:
        return np.ones(1)
    window = np.exp(-0.5 / sigma**2 * np.arange(-reach, reach + 1) ** 2)
    return np.asarray(window / window.sum())[reach:]


class GaussianMean:
    """Gaussian means over the voxels of a mask.

    Parameters
    ----------
    mask
        (x, y, z) bool; voxels outside are ignored.
    grid
        Geometry.
    sigma
        Standard deviation along each axis [mm]; 0: no smoothing along that axis.
    device
        Device of the images.
    """

    def __init__(self, mask: Array, grid: Grid, sigma: Vector3, device: Device) -> None:
        self._mask, self._device = mask, device
        self._domain = Domain.for_kernel(mask, grid, REACH * max(sigma), device)
        self._fft = RealFFT(self._domain.shape, device)
        self._response = gaussian_response(self._domain.shape, grid.voxel_size, sigma, device)
        self._share = self._sum(mask)

    def sum(self, image: Array) -> Array:
        """Sum (x, y, z) of `image` (x, y, z) times the Gaussian over the mask; 0 outside the mask."""
        result: Array = self._device.xp.where(self._mask, self._sum(image), np.float32(0))
        return result

    def __call__(self, image: Array) -> Array:
        """Mean (x, y, z) of `image` (x, y, z) over the mask, weighted by the Gaussian; 0 outside the mask."""
        xp = self._device.xp
        share = xp.where(self._mask, self._share, np.float32(1))
        result: Array = xp.where(self._mask, self._sum(image) / share, np.float32(0))
        return result

    def _sum(self, image: Array) -> Array:
        filtered = self._fft.filter(self._domain.insert(image, self._mask), self._response)
        return self._domain.extract(filtered)
