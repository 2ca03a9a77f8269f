"""Spherical mean value: a harmonic function equals its mean over every sphere around a point."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.data import Array
from qsmengine.grid import Vector3


def sphere_offsets(radius: float, voxel_size: Vector3) -> Array:
    """Return the voxel offsets (n, 3) whose centres are within `radius` [mm] of the origin's."""
    reach = sphere_reach(radius, voxel_size)
    x, y, z = ((np.arange(-r, r + 1) * h) ** 2 for r, h in zip(reach, voxel_size, strict=True))
    distance2 = x[:, None, None] + y[:, None] + z
    inside: Array = np.argwhere(distance2 <= (radius * (1 + 1e-6)) ** 2) - np.asarray(reach)
    return inside


def sphere_reach(radius: float, voxel_size: Vector3) -> tuple[int, int, int]:
    """Return the voxels that a sphere of `radius` [mm] reaches from its centre along each axis."""
    x, y, z = (int(radius / h + 1e-6) for h in voxel_size)
    return x, y, z


def sphere_fits(radius: float, voxel_size: Vector3, box: tuple[int, ...]) -> bool:
    """Return True if a sphere of `radius` [mm] fits into a box, the necessary condition for any mask in it."""
    reach = sphere_reach(radius, voxel_size)
    return all(2 * r + 1 <= n for r, n in zip(reach, box, strict=True))


def sphere_spectrum(fft: RealFFT, radius: float, voxel_size: Vector3, device: Device) -> tuple[Array, int]:
    """Return the half spectrum (complex64) of a sphere of `radius` [mm] with sum 1, and its number of voxels.

    The sphere is binary: voxels whose centre lies inside, centred on index 0 with wrap-around.
    """
    offsets = sphere_offsets(radius, voxel_size)
    count = len(offsets)
    host = np.zeros(fft.shape, dtype=np.float32)
    x, y, z = (offsets % np.asarray(fft.shape)).T
    host[x, y, z] = np.float32(1.0 / count)
    return fft.forward(device.asarray(host)), count


def mean_spectrum(fft: RealFFT, radius: float, voxel_size: Vector3, device: Device) -> tuple[Array, Array, int]:
    """Return half spectra (float32) of the balanced mean over a sphere and of the sphere, and its voxel count.

    The first filters a field (see :func:`balance_spectrum`), the second finds where the whole sphere lies in a
    mask. For isotropic voxels both are the same array.
    """
    spectrum, count = sphere_spectrum(fft, radius, voxel_size, device)
    sphere = spectrum.real.copy()
    if max(voxel_size) - min(voxel_size) <= 1e-6 * max(voxel_size):
        return sphere, sphere, count
    return sphere + balance_spectrum(fft.shape, radius, voxel_size, device), sphere, count


def balance_spectrum(shape: tuple[int, int, int], radius: float, voxel_size: Vector3, device: Device) -> Array:
    """Return a half spectrum (float32) that balances the mean over a sphere for harmonics of second order.

    A sphere of anisotropic voxels has different second moments m_d along the axes d, so it changes
    2 z^2 - x^2 - y^2. Adding sum_d (max m - m_d) / (2 h_d^2) times the second difference along d makes the
    moments equal and keeps the sum 1. The term is zero for isotropic voxels; `radius` [mm] must not be below
    the longest edge [mm], so that the sphere contains the neighbours with increased weight.
    """
    positions = sphere_offsets(radius, voxel_size) * np.asarray(voxel_size)
    moments = (positions**2).mean(axis=0)
    spectrum = device.zeros((shape[0], shape[1], shape[2] // 2 + 1))
    for axis, (n, h) in enumerate(zip(shape, voxel_size, strict=True)):
        weight = (moments.max() - moments[axis]) / (2.0 * h**2)
        difference = 2.0 * np.cos(2.0 * np.pi * np.arange(spectrum.shape[axis]) / n) - 2.0
        along = [1, 1, 1]
        along[axis] = -1
        spectrum += device.asarray(weight * difference).reshape(along)
    return spectrum
