"""Voxels by truncation of k-space.

A scanner measures the spectrum of the signal up to the voxels' Nyquist frequency. Voxels sampled in this way
are not boxes, and there is no aliasing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.grid import Grid, Vector3
from qsmengine.phantom.resample import FloatImage, Resampler

QUADRATURE = 512
SLAB = 16
"""Source planes along x that are sampled together."""


@dataclass(frozen=True)
class KSpaceSampler:
    """From `source` to voxels of `voxel_size` [mm] that start at the same corner, by truncated k-space.

    Every axis is multiplied by a matrix: the inverse Fourier transform of the filter from each source voxel to
    each target voxel. The surroundings of the source count as 0.

    Parameters
    ----------
    source
        Grid of the images.
    voxel_size
        Of the target [mm].
    flat
        Fraction of k-space, per axis, in which the filter is 1; beyond it is a raised cosine that falls to 0
        at the target's Nyquist frequency. 1: sharp truncation.
    """

    source: Grid
    voxel_size: Vector3
    flat: float = 0.5

    @cached_property
    def resampler(self) -> Resampler:
        """Box averages between the same grids."""
        return Resampler(self.source, self.voxel_size)

    @property
    def grid(self) -> Grid:
        """Geometry of the target."""
        return Grid(self.resampler.shape, self.resampler.affine, self.source.field_strength)

    def sample(self, image: npt.NDArray[Any], *, order: int = 0) -> npt.NDArray[Any]:
        """Return `image` (x, y, z), real or complex, on the target.

        Parameters
        ----------
        image
            Image on the source grid.
        order
            0: values at the centres of source voxels; 1: constant within source voxels; n: B-splines, the
            convolution of n boxes, weighted by the values.
        """
        n = image.shape[0]
        slabs = (slice(x, min(x + SLAB, n)) for x in range(0, n, SLAB))
        return self.sample_slabs(((slab, image[slab]) for slab in slabs), order=order)

    def sample_slabs(
        self, slabs: Iterable[tuple[slice, npt.NDArray[Any]]], *, order: int = 0
    ) -> npt.NDArray[Any]:
        """Return an image given in slabs along x, as pairs of their planes (a slice) and values (x, y, z)."""
        along_x, along_y, along_z = self.matrices(order)
        total: npt.NDArray[Any] | None = None
        for planes, slab in slabs:
            part = _apply(slab, along_x[:, planes], along_y, along_z)
            total = part if total is None else np.add(total, part, out=total)
        if total is None:
            raise ValueError("an image needs at least one slab")
        return total

    def matrices(self, order: int = 0) -> list[FloatImage]:
        """Weights (target, source) of each axis."""
        shapes = zip(self.source.shape, self.resampler.ratios, self.resampler.shape, strict=True)
        return [_axis_matrix(n, ratio, target, order, self.flat) for n, ratio, target in shapes]


def _apply(slab: npt.NDArray[Any], *matrices: FloatImage) -> npt.NDArray[Any]:
    """Return `slab` (x, y, z) multiplied by the matrix of every axis."""
    if np.iscomplexobj(slab):
        parts = (np.ascontiguousarray(part) for part in (slab.real, slab.imag))  # BLAS takes no strided rows
        real, imaginary = (_apply(part, *matrices) for part in parts)
        return real + np.complex64(1j) * imaginary
    along_x, along_y, along_z = matrices
    across = along_y @ (slab @ along_z.T)
    return np.tensordot(along_x, across, axes=1)


def _axis_matrix(n: int, ratio: float, target: int, order: int, flat: float) -> FloatImage:
    """Return the weights (target, n) of source voxels in target voxels `ratio` times their size.

    w(x) = 2 int_0^(1/2) W(k) cos(2 pi k x) dk, k in cycles per target voxel, by the midpoint rule.
    """
    k = (np.arange(QUADRATURE) + 0.5) / (2 * QUADRATURE)
    weight = np.sinc(k / ratio) ** order
    if flat < 1:
        weight *= np.cos(0.5 * np.pi * np.clip((2 * k - flat) / (1 - flat), 0.0, 1.0)) ** 2
    away = (np.arange(n) + 0.5)[None, :] / ratio - (np.arange(target) + 0.5)[:, None]
    distances, where = np.unique(np.round(np.abs(away), 9), return_inverse=True)
    values = np.cos(2 * np.pi * distances[:, None] * k) @ weight / QUADRATURE / ratio
    return np.asarray(values[where].reshape(away.shape), dtype=np.float32)
