"""Shim fields: harmonic polynomials, which have no sources near the head.

Up to second order these are 1, x, y, z, xy, yz, xz, x^2 - y^2 and 2 z^2 - x^2 - y^2.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.shim import SHIM_MOMENTS, SHIM_SUBTRACT
from qsmengine.data import Array
from qsmengine.grid import Vector3

_MONOMIALS: tuple[tuple[dict[tuple[int, int, int], float], ...], ...] = (
    ({(0, 0, 0): 1.0},),
    ({(1, 0, 0): 1.0}, {(0, 1, 0): 1.0}, {(0, 0, 1): 1.0}),
    (
        {(1, 1, 0): 1.0},
        {(0, 1, 1): 1.0},
        {(1, 0, 1): 1.0},
        {(2, 0, 0): 1.0, (0, 2, 0): -1.0},
        {(0, 0, 2): 2.0, (2, 0, 0): -1.0, (0, 2, 0): -1.0},
    ),
)


class ShimProjection:
    """Weighted least-squares fit of harmonic polynomials p: min ||W (f - p)||^2.

    Parameters
    ----------
    weight
        W float32 (nx, ny, nz).
    voxel_size
        [mm].
    order
        Highest order: 0, 1 or 2.
    device
        Device of the arrays. Nothing is copied to the host after construction.
    """

    def __init__(self, weight: Array, voxel_size: Vector3, order: int, device: Device) -> None:
        self._weight, self._device = weight, device
        terms = [term for group in _MONOMIALS[: order + 1] for term in group]
        table = np.zeros((len(terms), 27))
        for row, term in enumerate(terms):
            for (j, a, b), value in term.items():
                table[row, 9 * j + 3 * a + b] = value
        self._place(voxel_size)
        self._terms = device.asarray(table, np.float64)
        gram = np.stack([self._products(table[row]) for row in range(len(terms))])
        self._solve = device.asarray(table.T @ np.linalg.pinv(gram, hermitian=True), np.float64)

    def fit(self, weighted: Array) -> Array:
        """Return the coefficients float64 (27,) of the polynomial closest to f, from W f."""
        coefficients: Array = self._solve @ (self._terms @ self._sums(weighted))
        return coefficients

    def subtract(self, field: Array, coefficients: Array, weight: Array) -> None:
        """Subtract weight p from `field` in place."""
        launch(
            SHIM_SUBTRACT, self._device, field=field, weight=weight, coefficients=coefficients, **self._origin
        )

    def project(self, weighted: Array) -> None:
        """Project W f, in place, onto the complement of all W p: a symmetric projection."""
        self.subtract(weighted, self.fit(weighted), self._weight)

    def _place(self, voxel_size: Vector3) -> None:
        """Define coordinates from -1 to 1 along the longest axis of the weights' box."""
        profiles: list[Array] = [self._weight.max(axis=others) for others in ((1, 2), (0, 2), (0, 1))]
        occupied = [np.flatnonzero(to_numpy(profile)) for profile in profiles]
        half = max((o[-1] - o[0] + 1) * h / 2 for o, h in zip(occupied, voxel_size, strict=True))
        self._origin: dict[str, float] = {}
        self._powers = []
        for axis, o, h, n in zip("xyz", occupied, voxel_size, self._weight.shape, strict=True):
            start, distance = -(o[0] + o[-1]) / 2 * h / half, h / half
            self._origin |= {f"{axis}0": float(start), f"d{axis}": float(distance)}
            coordinates = start + distance * np.arange(n)
            self._powers.append(self._device.asarray(coordinates[:, None] ** np.arange(3), np.float64))

    def _sums(self, weighted: Array) -> Array:
        """Return the sum of W times `weighted` times each of the 27 monomials, float64."""
        nx, ny, _ = weighted.shape
        moments = self._device.empty((3, nx, ny), np.float64)
        z0, dz = self._origin["z0"], self._origin["dz"]
        launch(SHIM_MOMENTS, self._device, weight=self._weight, field=weighted, moments=moments, z0=z0, dz=dz)
        x, y, _ = self._powers
        sums: Array = (x.T @ (moments @ y)).transpose(1, 2, 0).reshape(-1)
        return sums

    def _products(self, polynomial: Array) -> Array:
        """Return the inner products, weighted with W^2, of `polynomial` with every term."""
        field = self._device.zeros(self._weight.shape)
        coefficients = self._device.asarray(-polynomial, np.float64)
        self.subtract(field, coefficients, self._weight)
        return to_numpy(self._terms @ self._sums(field))
