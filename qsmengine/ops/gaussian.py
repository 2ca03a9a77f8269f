"""Gaussian means, plain and inside a mask."""

from __future__ import annotations

import math

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.grid import Grid, Vector3
from qsmengine.ops.domain import Domain

REACH = 4.0
"""Standard deviations after which the Gaussian counts as 0."""
FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Full width at half maximum of a Gaussian of standard deviation 1."""


def gaussian_response(shape: tuple[int, int, int], spacing: Vector3, sigma: Vector3, device: Device) -> Array:
    """Half spectrum of a Gaussian of sum 1: exp(-2 pi^2 sum_a (sigma_a k_a)^2).

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


class GaussianMean:
    """Means under a Gaussian over the voxels of a mask.

    Parameters
    ----------
    mask
        (x, y, z) bool; nothing outside it counts.
    grid
        Geometry.
    sigma
        Standard deviation along each axis [mm]; 0 leaves an axis alone.
    device
        Where images live.
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
