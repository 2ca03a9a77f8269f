"""Spectra of finite differences on a periodic grid."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Vector3


def laplacian_spectra(shape: tuple[int, int, int], spacing: Vector3, device: Device) -> list[Array]:
    """Return per axis the half spectrum of grad^T grad for periodic forward differences.

    E_a(i) = (2 - 2 cos(2 pi i / n)) / h^2; their sum over the axes is |E|^2, the spectrum of minus the
    7-point Laplacian. `spacing` is h [mm]; float32 arrays (nx,), (ny,), (nz // 2 + 1,) [1/mm^2].
    """
    spectra = []
    for axis, (n, h) in enumerate(zip(shape, spacing, strict=True)):
        bins = n // 2 + 1 if axis == 2 else n
        values = (2.0 - 2.0 * np.cos(2.0 * np.pi * np.arange(bins) / n)) / h**2
        spectra.append(device.asarray(values))
    return spectra


def gradient_energy(shape: tuple[int, int, int], spacing: Vector3, device: Device) -> Array:
    """|E|^2, the sum of :func:`laplacian_spectra` over the axes: float32 (nx, ny, nz // 2 + 1) [1/mm^2]."""
    ex, ey, ez = laplacian_spectra(shape, spacing, device)
    energy: Array = ex[:, None, None] + ey[:, None] + ez
    return energy


def difference_spectra(shape: tuple[int, int, int], spacing: Vector3, device: Device) -> list[Array]:
    """Return per axis the half spectrum E_a(i) = (exp(2 pi i k / n) - 1) / h of forward differences.

    `spacing` is h [mm]; complex64 arrays (nx,), (ny,), (nz // 2 + 1,) [1/mm].
    """
    spectra = []
    for axis, (n, h) in enumerate(zip(shape, spacing, strict=True)):
        bins = n // 2 + 1 if axis == 2 else n
        values = (np.exp(2j * np.pi * np.arange(bins) / n) - 1.0) / h
        spectra.append(device.asarray(values, np.complex64))
    return spectra
