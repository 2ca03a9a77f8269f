"""Smooth fields as sums of products of Legendre polynomials along the image's axes.

P_a(u) P_b(v) P_c(w) with 0 <= a + b + c <= order; u, v, w are -1 at the first and 1 at the last plane of a mask
along their axis.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.grid import FloatArray
from qsmengine.ops.domain import bounding_box
from qsmengine.records import record

PLANES = 16
"""Planes of an image whose values are summed at once, in double precision."""


@record
class LegendreBasis:
    """Products of Legendre polynomials over the bounding box of a mask.

    Parameters
    ----------
    powers
        (a, b, c) of every product; the first is (0, 0, 0), the constant.
    axes
        Polynomials (order + 1, plane) along every axis.
    """

    powers: tuple[tuple[int, int, int], ...]
    axes: tuple[FloatArray, FloatArray, FloatArray]

    @classmethod
    def over(cls, mask: Array, order: int) -> LegendreBasis:
        """Return the products up to `order` over `mask` (x, y, z), which has a voxel."""
        axes = []
        for first, end, n in zip(*bounding_box(mask), mask.shape, strict=True):
            middle, half = (first + end - 1) / 2, max((end - 1 - first) / 2, 0.5)
            place = (np.arange(n) - middle) / half
            axes.append(_polynomials(place, order))
        counts = range(order + 1)
        powers = [(a, b, c) for a, b, c in product(counts, counts, counts) if a + b + c <= order]
        return cls(tuple(sorted(powers, key=lambda p: (sum(p), p))), (axes[0], axes[1], axes[2]))

    def columns(self, voxels: tuple[npt.NDArray[np.intp], ...]) -> FloatArray:
        """Return the products (product, voxel) at voxels given by their indices along x, y and z."""
        along = [axis[:, index] for axis, index in zip(self.axes, voxels, strict=True)]
        return np.stack([along[0][a] * along[1][b] * along[2][c] for a, b, c in self.powers])

    def image(self, coefficients: FloatArray, device: Device) -> Array:
        """Return the sum of the products (x, y, z) float32 with `coefficients` (product,)."""
        cube = np.zeros((len(self.axes[0]),) * 3)
        for power, value in zip(self.powers, coefficients, strict=True):
            cube[power] = value
        first, second, third = (device.asarray(axis, np.float64) for axis in self.axes)
        xp = device.xp
        partial = xp.tensordot(device.asarray(cube, np.float64), third, axes=(2, 0))
        partial = xp.tensordot(second, partial, axes=(0, 1))
        image = device.empty(tuple(axis.shape[1] for axis in self.axes))
        for plane in range(0, image.shape[0], PLANES):
            some = slice(plane, plane + PLANES)
            image[some] = xp.tensordot(first[:, some], partial, axes=(0, 1))
        return image


def spread_voxels(inside: Array, most: int) -> tuple[npt.NDArray[np.intp], ...]:
    """Return indices along x, y and z of at most `most` voxels of a mask, spread evenly in memory order."""
    flat = np.flatnonzero(to_numpy(inside).reshape(-1))
    step = -(-flat.size // most)
    return tuple(np.unravel_index(flat[:: max(step, 1)], inside.shape))


def _polynomials(place: FloatArray, order: int) -> FloatArray:
    """Return P_0 to P_order (order + 1, place): (n + 1) P_n+1 = (2 n + 1) u P_n - n P_n-1."""
    found = [np.ones_like(place), place]
    for n in range(1, order):
        found.append(((2 * n + 1) * place * found[n] - n * found[n - 1]) / (n + 1))
    return np.stack(found[: order + 1])
