"""R1 at nominal flip angles as tissue times a smooth field: the common part of methods without a B1 map.

R1 that was fitted with the nominal flip angles is R1 / B1^2, so that ln R1_nominal = ln R1 - 2 b,
b = ln B1. b is a sum of products of Legendre polynomials; its mean is not determined by the data.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.legendre import LegendreBasis, spread_voxels
from qsmengine.records import record
from qsmengine.stages.echoes import checked_mask

RATES = (0.1, 5.0)
"""Range of R1 [1/s] that is used."""
VOXELS = 40_000
"""Most voxels that are used."""
LEAST = 20
"""Least number of voxels per polynomial."""


@record
class ApparentRate:
    """Voxels of a map of R1 at nominal flip angles.

    Parameters
    ----------
    inside
        (x, y, z) mask.
    basis
        Products of polynomials over the mask.
    logarithm
        (voxel,) ln R1.
    columns
        (product, voxel) products except the constant, with a mean of 0.
    device
        Device of the field.
    """

    inside: Array
    basis: LegendreBasis
    logarithm: FloatArray
    columns: FloatArray
    device: Device

    @classmethod
    def of(cls, r1: Array, mask: Array, grid: Grid, order: int, device: Device) -> ApparentRate:
        """Return the voxels of `r1` (x, y, z) [1/s] in `mask`, for polynomials up to a total degree of `order`.

        Raises
        ------
        InputError
            For an empty mask, and for one with too few voxels for the polynomials.
        """
        inside = checked_mask(mask, grid, device)
        rates = device.asarray(r1)
        known = (inside > 0) & (rates > np.float32(RATES[0])) & (rates < np.float32(RATES[1]))
        basis = LegendreBasis.over(inside, order)
        count, needed = int(known.sum()), LEAST * len(basis.powers)
        if count < needed:
            raise InputError(
                f"{count} voxels with R1 between {RATES[0]:g} and {RATES[1]:g} 1/s; a field of order {order} "
                f"needs {needed}",
                field="mask",
            )
        voxels = spread_voxels(known, VOXELS)
        columns = basis.columns(voxels)[1:]
        columns -= columns.mean(axis=1, keepdims=True)
        return cls(inside, basis, np.log(to_numpy(rates)[voxels].astype(np.float64)), columns, device)

    def b1(self, coefficients: FloatArray, mean: float) -> Array:
        """Return exp(b) (x, y, z) with the geometric mean `mean` in the mask, 0 outside.

        b is the sum of the products with `coefficients` (product,).
        """
        xp, within = self.device.xp, self.inside > 0
        field = self.basis.image(np.concatenate([[0.0], coefficients]), self.device)
        field -= np.float32(float(field[within].mean(dtype=np.float64)) - np.log(mean))
        b1: Array = xp.where(within, xp.exp(field), np.float32(0))
        return b1
