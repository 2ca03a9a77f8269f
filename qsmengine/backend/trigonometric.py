"""Cosine and sine transforms in three dimensions, for boundary conditions on a box, by SciPy and CuPy."""

from __future__ import annotations

from typing import Any, Literal

from qsmengine.backend.device import Device
from qsmengine.data import Array

Kind = Literal["cosine", "sine"]


class TrigonometricTransform:
    """Transforms of type 2 on every axis, whose waves have the box's faces half a voxel outside the array.

    Cosines have no gradient across the faces, sines are 0 there. Wave j of an axis with n voxels has the phase
    step pi j / n (cosine) or pi (j + 1) / n (sine) from voxel to voxel.

    Parameters
    ----------
    kind
        "cosine" or "sine".
    device
        Device of the arrays.
    """

    def __init__(self, kind: Kind, device: Device) -> None:
        self._options: dict[str, Any] = {"type": 2, "overwrite_x": True}
        if device.kind == "cuda":
            import cupyx.scipy.fft as library
        else:
            import scipy.fft as library

            self._options["workers"] = device.threads
        self._forward = library.dctn if kind == "cosine" else library.dstn
        self._inverse = library.idctn if kind == "cosine" else library.idstn

    def forward(self, x: Array) -> Array:
        """Return the coefficients of a float32 array, whose content is overwritten."""
        coefficients: Array = self._forward(x, **self._options)
        return coefficients

    def inverse(self, coefficients: Array) -> Array:
        """Return the array with given coefficients, whose content is overwritten."""
        x: Array = self._inverse(coefficients, **self._options)
        return x
