"""Field of a susceptibility distribution, computed in image space.

Every voxel is a uniformly magnetised box. Its field at the centres of all voxels is exact: with the
demagnetising tensor N(r) of the box and the unit vector b of B0,

    field = chi (1/3 [r = 0] - b^T N(r) b),

N from sums over the box's corners (arc tangents on the diagonal, logarithms off it), Lorentz sphere
included. The sum over voxels is a convolution on a grid padded to twice the size, which avoids wrapping. The
k-space dipole of the solvers is not used, so that reconstructions do not invert the formula that generated the
fields.

References: Newell et al. 1993, 10.1029/93JB00694; Salomir et al. 2003, 10.1002/cmr.b.10083.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, resolve_device
from qsmengine.backend.fft import RealFFT, fast_size
from qsmengine.errors import InputError
from qsmengine.grid import Vector3
from qsmengine.phantom.resample import FloatImage

Octant = npt.NDArray[np.float64]
Octants = tuple[Octant, dict[tuple[int, int], Octant]]


@dataclass(frozen=True)
class FieldModel:
    """Fields of sources on one grid, in free space of susceptibility 0.

    Parameters
    ----------
    shape
        (nx, ny, nz) of sources and field.
    voxel_size
        [mm].
    b0_direction
        Unit vector in array axes.
    device
        CPU device that transforms.
    """

    shape: tuple[int, int, int]
    voxel_size: Vector3
    b0_direction: Vector3
    device: Device

    @classmethod
    def on_cpu(cls, shape: tuple[int, int, int], voxel_size: Vector3, b0_direction: Vector3) -> FieldModel:
        """Model with the default number of threads."""
        return cls(shape, voxel_size, b0_direction, resolve_device("cpu"))

    @cached_property
    def _fft(self) -> RealFFT:
        x, y, z = (fast_size(2 * n) for n in self.shape)
        return RealFFT((x, y, z), self.device)

    @cached_property
    def _response(self) -> FloatImage:
        kernel = self.device.zeros(self._fft.shape)
        fill_box_dipole(kernel, self.shape, self.voxel_size, self.b0_direction)
        spectrum = self._fft.forward(kernel)
        return np.ascontiguousarray(spectrum.real)

    def field(self, chi: FloatImage) -> FloatImage:
        """Return the field (x, y, z) [ppm] of the sources `chi` (x, y, z) [ppm], relative to the surroundings.

        Raises
        ------
        InputError
            If `chi` has another shape.
        """
        check_sources(chi, self.shape)
        return convolve(chi, self._response, self._fft)


def check_sources(chi: FloatImage, shape: tuple[int, int, int]) -> None:
    """Raise InputError if `chi` does not have the `shape` of the field model."""
    if chi.shape != shape:
        raise InputError(f"chi has shape {chi.shape}, the field model {shape}", field="chi")


def convolve(image: FloatImage, response: FloatImage, fft: RealFFT) -> FloatImage:
    """Return the convolution of `image` (x, y, z), padded with zeros to the grid of `fft`, at its voxels."""
    box = tuple(slice(0, n) for n in image.shape)
    padded = fft.device.zeros(fft.shape)
    padded[box] = image
    return np.ascontiguousarray(fft.filter(padded, response)[box])


def fill_box_dipole(
    kernel: FloatImage, reach: tuple[int, int, int], voxel_size: Vector3, b0_direction: Vector3
) -> None:
    """Write the field of one unit voxel at index 0 into `kernel`, up to `reach` - 1 voxels either way."""
    fill_octants(kernel, reach, *box_octants(reach, voxel_size, b0_direction))


def fill_octants(
    kernel: FloatImage, reach: tuple[int, int, int], even: Octant, odd: Mapping[tuple[int, int], Octant]
) -> None:
    """Write a kernel into `kernel` for circular convolution, up to `reach` - 1 voxels either way.

    Parameters
    ----------
    kernel
        (x, y, z); offset 0 is stored at index 0, negative offsets at the end of each axis.
    reach
        Shape of the octants.
    even
        Values for offsets >= 0 that are the same for either sign.
    odd
        Values by pair of axes that change sign with each axis of the pair.
    """
    for signs in itertools.product((1, -1), repeat=3):
        values = even.copy()
        for (i, j), octant in odd.items():
            values += signs[i] * signs[j] * octant
        target, source = [], []
        for sign, n, size in zip(signs, reach, kernel.shape, strict=True):
            target.append(slice(0, n) if sign > 0 else slice(size - n + 1, size))
            source.append(slice(0, n) if sign > 0 else slice(n - 1, 0, -1))
        kernel[tuple(target)] = values[tuple(source)]


def box_octants(
    reach: tuple[int, int, int], voxel_size: Vector3, b: Vector3, shift: Vector3 = (0.0, 0.0, 0.0)
) -> Octants:
    """Return -b^T N b for offsets >= 0: the even part, and per pair of axes the part odd in both.

    Parameters
    ----------
    reach
        Number of offsets per axis.
    voxel_size
        [mm].
    b
        Unit vector of B0 in array axes.
    shift
        Points of the field relative to the voxels' centres [voxels].
    """
    corners = [(np.arange(n + 1) - 0.5 + s) * h for n, h, s in zip(reach, voxel_size, shift, strict=True)]
    x = np.meshgrid(*corners, indexing="ij", sparse=True)
    radius = np.sqrt(x[0] ** 2 + x[1] ** 2 + x[2] ** 2)
    even = np.zeros(reach)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        if b[i]:
            even -= b[i] ** 2 * _corner_sum(np.arctan(x[j] * x[k] / (x[i] * radius)))
    inside = [np.abs(np.arange(n) + s) < 0.5 for n, s in zip(reach, shift, strict=True)]
    even[np.ix_(*inside)] += (b[0] ** 2 + b[1] ** 2 + b[2] ** 2) / 3.0
    odd = {}
    for i, j in itertools.combinations(range(3), 2):
        if b[i] and b[j]:
            k = 3 - i - j
            odd[i, j] = 2.0 * b[i] * b[j] * _corner_sum(np.arcsinh(x[k] / np.hypot(x[i], x[j])))
    return even, odd


def _corner_sum(values: Octant) -> Octant:
    """Return the sum over the eight corners of every box with the product of their signs, over 4 pi."""
    for axis in range(3):
        values = np.diff(values, axis=axis)
    return values / (4.0 * math.pi)
