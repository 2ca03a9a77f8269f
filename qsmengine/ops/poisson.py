"""Poisson's equation on a box, solved by the transform that the boundary condition makes diagonal."""

from __future__ import annotations

from typing import Literal

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.trigonometric import TrigonometricTransform
from qsmengine.data import Array
from qsmengine.grid import FloatArray, Vector3

Boundary = Literal["neumann", "dirichlet", "periodic"]


class PoissonSolver:
    """Inverse of the 7-point Laplacian [mm^-2] on a box.

    Parameters
    ----------
    boundary
        "neumann": no gradient across the faces of the box, mean 0; "dirichlet": 0 on the faces; "periodic":
        the box repeats, mean 0. Faces lie half a voxel outside the array.
    shape
        (nx, ny, nz) of the box.
    voxel_size
        [mm].
    device
        Where arrays live.
    """

    def __init__(
        self, boundary: Boundary, shape: tuple[int, int, int], voxel_size: Vector3, device: Device
    ) -> None:
        self._fft = RealFFT(shape, device) if boundary == "periodic" else None
        self._transform = TrigonometricTransform("sine" if boundary == "dirichlet" else "cosine", device)
        sizes = (*shape[:2], shape[2] // 2 + 1) if boundary == "periodic" else shape
        x, y, z = (
            device.asarray(_eigenvalues(boundary, count, n, h))
            for count, n, h in zip(sizes, shape, voxel_size, strict=True)
        )
        total = x[:, None, None] + y[:, None] + z
        if boundary != "dirichlet":
            total[0, 0, 0] = np.inf
        self._response: Array = np.float32(1.0) / total

    def solve(self, source: Array) -> Array:
        """The float32 array u with Laplacian `source`, whose content is lost."""
        if self._fft is not None:
            return self._fft.filter(source, self._response)
        coefficients = self._transform.forward(source)
        coefficients *= self._response
        return self._transform.inverse(coefficients)


def _eigenvalues(boundary: Boundary, count: int, n: int, h: float) -> FloatArray:
    """2 (cos(step) - 1) / h^2 of the first `count` waves on an axis of n voxels."""
    wave = np.arange(count) + (1.0 if boundary == "dirichlet" else 0.0)
    step = (2.0 if boundary == "periodic" else 1.0) * np.pi * wave / n
    return np.asarray(-((2.0 * np.sin(step / 2.0) / h) ** 2), dtype=np.float64)
