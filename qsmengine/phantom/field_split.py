"""Field of a susceptibility distribution on a large grid, as the sum of a near and a far part.

A point dipole at distance r has the field K(r) = 3 (cos^2 theta - 1/3) / (4 pi r^3). The field of a Gaussian
distribution of dipoles with the standard deviation 1 / (a sqrt 2) is K(r) E(a r) with

    E(u) = erf(u) - 2 / sqrt(pi) exp(-u^2) (u + 2 u^3 / 3).

It is smooth, so this far part is computed on a grid that is RATIO times coarser and padded to twice the size;
cubic splines lead there and back. The near part, exact field minus far part, vanishes at REACH voxels
and is computed on the fine grid padded by REACH only. This is Ewald's method on a mesh
(Darden et al. 1993, 10.1063/1.464397), with open instead of periodic boundaries.

Sources are cubic B-splines, the convolution of four boxes, weighted by the voxels' chi. Their field is that of
a box averaged with a quadratic B-spline, by Gauss-Legendre quadrature; beyond EXACT voxels it is that of a
point. Box-shaped sources contain high frequencies that sampling at the centres would alias into the field.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qsmengine.backend.device import Device, resolve_device
from qsmengine.backend.fft import RealFFT, fast_size
from qsmengine.errors import InputError
from qsmengine.grid import Vector3
from qsmengine.phantom.field import Octant, Octants, box_octants, check_sources, convolve, fill_octants
from qsmengine.phantom.resample import FloatImage, interpolate, interpolate_adjoint

Shape = tuple[int, int, int]
RATIO = 2
"""Edge of the coarse voxels [voxels]."""
REACH = 32
"""Distance at which the near part has vanished [voxels]."""
DECAY = 3.6
"""a r at that distance: E differs from 1 by 1e-4."""
EXACT = 9
"""Distance from which a source counts as a point [voxels]."""
NODES = 4
"""Quadrature points per axis of a voxel."""
SOURCE_ORDER = 4
"""Boxes in the convolution that makes a source, for :class:`~qsmengine.phantom.sampling.KSpaceSampler`."""


@dataclass(frozen=True)
class SplitFieldModel:
    """Fields of sources on one grid, in free space of susceptibility 0; sources are cubic B-splines.

    Parameters
    ----------
    shape
        (nx, ny, nz) of sources and field.
    voxel_size
        [mm], isotropic.
    b0_direction
        Unit vector in array axes.
    device
        CPU device that transforms.

    Raises
    ------
    InputError
        For voxels that are not isotropic.
    """

    shape: Shape
    voxel_size: Vector3
    b0_direction: Vector3
    device: Device

    def __post_init__(self) -> None:
        if max(self.voxel_size) - min(self.voxel_size) > 1e-6 * max(self.voxel_size):
            raise InputError(
                f"voxel size {self.voxel_size}: isotropic voxels are needed to split the field",
                field="voxel_size",
            )

    @classmethod
    def on_cpu(cls, shape: tuple[int, int, int], voxel_size: Vector3, b0_direction: Vector3) -> SplitFieldModel:
        """Model with the default number of threads."""
        return cls(shape, voxel_size, b0_direction, resolve_device("cpu"))

    def field(self, chi: FloatImage) -> FloatImage:
        """Return the field (x, y, z) [ppm] of the sources `chi` (x, y, z) [ppm], relative to the surroundings.

        Raises
        ------
        InputError
            If `chi` has another shape.
        """
        check_sources(chi, self.shape)
        coarse = interpolate_adjoint(chi, self._coarse_shape, (RATIO,) * 3)
        far = convolve(coarse, self._far_response, self._far_fft)
        total = convolve(chi, self._near_response, self._near_fft)
        total += interpolate(far, self.shape, (RATIO,) * 3)
        return total

    @property
    def _coarse_shape(self) -> Shape:
        x, y, z = (math.ceil(n / RATIO) for n in self.shape)
        return x, y, z

    @cached_property
    def _far_fft(self) -> RealFFT:
        x, y, z = (fast_size(2 * n) for n in self._coarse_shape)
        return RealFFT((x, y, z), self.device)

    @cached_property
    def _near_fft(self) -> RealFFT:
        x, y, z = (fast_size(n + REACH) for n in self.shape)
        return RealFFT((x, y, z), self.device)

    @cached_property
    def _far_response(self) -> FloatImage:
        reach = self._coarse_shape
        return self._response(self._far_fft, reach, _gaussian_octants(reach, RATIO, self.b0_direction))

    @cached_property
    def _near_response(self) -> FloatImage:
        x, y, z = (min(n, REACH + 1) for n in self.shape)
        reach = (x, y, z)
        near = _source_octants(reach, self.b0_direction)
        far = _gaussian_octants(reach, 1, self.b0_direction)
        near[0][...] -= far[0]
        for pair, octant in far[1].items():
            near[1][pair] -= octant
        return self._response(self._near_fft, reach, near)

    def _response(self, fft: RealFFT, reach: Shape, octants: Octants) -> FloatImage:
        kernel = self.device.zeros(fft.shape)
        fill_octants(kernel, reach, *octants)
        return np.ascontiguousarray(fft.forward(kernel).real)


def _gaussian_octants(reach: Shape, step: int, b: Vector3) -> Octants:
    """Return K E for the moment of one voxel at offsets of `step` voxels."""
    from scipy.special import erf

    u = _distance(reach) * (step * DECAY / REACH)
    share = erf(u) - 2.0 / math.sqrt(math.pi) * np.exp(-u * u) * (u + u**3 * (2.0 / 3.0))
    even, odd = _point_octants(reach, b)
    share /= step**3
    return even * share, {pair: octant * share for pair, octant in odd.items()}


def _source_octants(reach: Shape, b: Vector3) -> Octants:
    """Return the field of a cubic B-spline of unit moment at offsets of one voxel."""
    x, y, z = (min(n, EXACT) for n in reach)
    near = (x, y, z)
    even, odd = _point_octants(reach, b)
    box = tuple(slice(0, n) for n in near)
    even[box] = 0.0
    for octant in odd.values():
        octant[box] = 0.0
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    points = np.concatenate([nodes / 2.0 + cell for cell in (-1.0, 0.0, 1.0)])
    spline = np.where(np.abs(points) < 0.5, 0.75 - points**2, 0.5 * (1.5 - np.abs(points)) ** 2)
    spline *= np.tile(weights / 2.0, 3)
    for i, j, k in itertools.product(range(len(points)), repeat=3):
        weight = spline[i] * spline[j] * spline[k]
        box_even, box_odd = box_octants(near, (1.0, 1.0, 1.0), b, (points[i], points[j], points[k]))
        even[box] += weight * box_even
        for pair, octant in box_odd.items():
            odd[pair][box] += weight * octant
    return even, odd


def _point_octants(reach: Shape, b: Vector3) -> Octants:
    """Return K for unit moment at offsets of one voxel, 0 at the origin: even part, parts odd in two axes."""
    x = np.meshgrid(*(np.arange(n, dtype=float) for n in reach), indexing="ij", sparse=True)
    distance = _distance(reach)
    distance[0, 0, 0] = np.inf
    size = 3.0 / (4.0 * math.pi) * distance**-5
    even = size * ((b[0] * x[0]) ** 2 + (b[1] * x[1]) ** 2 + (b[2] * x[2]) ** 2)
    even -= 1.0 / (4.0 * math.pi) * distance**-3
    odd = {
        (i, j): 2.0 * b[i] * b[j] * size * (x[i] * x[j])
        for i, j in itertools.combinations(range(3), 2)
        if b[i] and b[j]
    }
    return even, odd


def _distance(reach: Shape) -> Octant:
    x, y, z = np.meshgrid(*(np.arange(n, dtype=float) for n in reach), indexing="ij", sparse=True)
    return np.asarray(np.sqrt(x * x + y * y + z * z))
