"""Grid of a solver: the mask's bounding box with a margin, in sizes that are fast for FFTs."""

from __future__ import annotations

import math

import numpy as np

from qsmengine.backend.device import Device, array_module, to_numpy
from qsmengine.backend.fft import fast_shape
from qsmengine.data import Array, check_not_empty
from qsmengine.grid import Grid, Vector3
from qsmengine.memory_order import copy
from qsmengine.records import record

Box = tuple[tuple[int, ...], tuple[int, ...]]
"""First corner of a box, and one past its last."""
ROUNDING = 1e-5
"""Voxels by which a length may exceed a whole number: headers hold voxel sizes of 32 bits."""


@record
class Domain:
    """Box of an image, zero-padded for circular convolutions.

    Parameters
    ----------
    image_shape
        Shape of the input and output images.
    start, stop
        Corners of the box in the image.
    shape
        Shape of the solver's arrays; the box is at their first corner.
    device
        Device of the solver's arrays.
    """

    image_shape: tuple[int, ...]
    start: tuple[int, ...]
    stop: tuple[int, ...]
    shape: tuple[int, int, int]
    device: Device

    @classmethod
    def around(cls, mask: Array, margin: int | tuple[int, ...], device: Device) -> Domain:
        """Return the bounding box of `mask` with at least `margin` empty voxels after it (one or per axis).

        Raises
        ------
        InputError
            For an empty mask.
        """
        margins = (margin,) * 3 if isinstance(margin, int) else margin
        return cls._of_box(tuple(mask.shape), bounding_box(mask), margins, device)

    @classmethod
    def for_kernel(cls, mask: Array, grid: Grid, reach: float, device: Device) -> Domain:
        """Return the box of `mask` padded with `reach` [mm] of zeros, the reach of a kernel.

        The padding of an axis is at most the length of the box, which suffices to avoid wrapping.

        Raises
        ------
        InputError
            For an empty mask.
        """
        start, stop = bounding_box(mask)
        box = tuple(b - a for a, b in zip(start, stop, strict=True))
        margin = kernel_margin((box[0], box[1], box[2]), grid.voxel_size, reach)
        return cls._of_box(tuple(mask.shape), (start, stop), margin, device)

    @classmethod
    def _of_box(cls, image_shape: tuple[int, ...], box: Box, margin: tuple[int, ...], device: Device) -> Domain:
        nx, ny, nz = (b - a + m for a, b, m in zip(*box, margin, strict=True))
        return cls(image_shape, *box, fast_shape((nx, ny, nz)), device)

    @property
    def image_box(self) -> tuple[slice, ...]:
        """Slices of the box in the image."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    @property
    def box_shape(self) -> tuple[int, ...]:
        """Size of the box [voxels]."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def box(self) -> tuple[slice, ...]:
        """Slices of the box in solver arrays."""
        return tuple(slice(0, b - a) for a, b in zip(self.start, self.stop, strict=True))

    def insert(self, image: Array, mask: Array | None = None) -> Array:
        """Return a float32 solver array with the box of `image` (times `mask`), zero elsewhere."""
        array, part = self.device.zeros(self.shape), image[self.image_box]
        place = array[self.box]
        if self.device.kind == "cpu":
            copy(place, to_numpy(part))
        else:
            place[...] = self.device.asarray(part)
        if mask is not None:
            place[~self.device.asarray(mask[self.image_box], bool)] = 0
        return array

    def extract(self, array: Array) -> Array:
        """Return a float32 image with the box of a solver array, zero elsewhere."""
        image = self.device.zeros(self.image_shape)
        image[self.image_box] = array[self.box]
        return image


def kernel_margin(box: tuple[int, int, int], voxel_size: Vector3, reach: float) -> tuple[int, int, int]:
    """Return the padding [voxels] of a box for a kernel of `reach` [mm], at most the length of the box."""
    x, y, z = (min(whole_voxels(reach / h), n) for n, h in zip(box, voxel_size, strict=True))
    return x, y, z


def whole_voxels(length: float) -> int:
    """Return a length [voxels] rounded up; the rounding of a header's voxel size does not add a voxel."""
    return math.ceil(length - ROUNDING)


def bounding_box(mask: Array) -> Box:
    """Return the first corner and one past the last corner of the True voxels.

    Raises
    ------
    InputError
        For an empty mask.
    """
    axes = range(mask.ndim)
    profiles = [mask.any(axis=tuple(a for a in axes if a != axis)) for axis in axes]
    occupied = to_numpy(array_module(mask).concatenate(profiles))  # one copy, one wait
    check_not_empty(occupied)
    ends = np.split(occupied, np.cumsum(mask.shape)[:-1])
    places = [np.flatnonzero(end) for end in ends]
    start, stop = [int(p[0]) for p in places], [int(p[-1]) + 1 for p in places]
    return tuple(start), tuple(stop)
