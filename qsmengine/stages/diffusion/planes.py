"""Series as planes, one volume after the other: the memory order of the voxel kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, array_module, to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.series import SERIES_MEDIAN, SERIES_TO_PLANES
from qsmengine.data import Array, DwiSeries

_ORDERS = ((0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1))


class Planes(NamedTuple):
    """Series in planes.

    `array` is (volume, voxel), C-contiguous float32 on the device; `order` the image axes from slowest to
    fastest along voxel; `shape` (x, y, z).
    """

    array: Array
    order: tuple[int, int, int]
    shape: tuple[int, int, int]

    def flatten(self, image: Array) -> Array:
        """Return the values of an image (x, y, z) in the order of the voxels."""
        return image.transpose(self.order).reshape(-1)

    def unflatten(self, planes: Array) -> Array:
        """Return a view of (voxel,) as (x, y, z), or of (component, voxel) as (x, y, z, component)."""
        sizes = tuple(self.shape[axis] for axis in self.order)
        back = tuple(int(i) for i in np.argsort(self.order))
        if planes.ndim == 1:
            return planes.reshape(sizes).transpose(back)
        return planes.reshape((len(planes), *sizes)).transpose((*(i + 1 for i in back), 0))


def as_planes(signal: Array, device: Device) -> Planes:
    """Bring a series (x, y, z, volume) into planes.

    A float32 array whose volumes are contiguous in memory, such as a NIfTI file read in Fortran order, is used
    without a copy. One with contiguous volumes of each voxel (C order) is transposed once; any other array is
    copied once.
    """
    x, y, z, volumes = signal.shape
    for order in _ORDERS:
        planes = signal.transpose((3, *order))
        if planes.flags.c_contiguous:
            array = device.asarray(planes.reshape(volumes, -1))
            return Planes(array, order, (x, y, z))
    for order in _ORDERS:
        rows = signal.transpose((*order, 3))
        if rows.flags.c_contiguous:
            source = device.asarray(rows.reshape(-1, volumes))
            array = device.empty((volumes, x * y * z))
            launch(SERIES_TO_PLANES, device, series=source, planes=array)
            return Planes(array, order, (x, y, z))
    array = device.asarray(to_numpy(signal).transpose(3, 2, 1, 0)).reshape(volumes, -1)
    return Planes(array, (2, 1, 0), (x, y, z))


def volume_median(series: DwiSeries, volumes: npt.NDArray[np.intp], device: Device) -> tuple[Array, Array]:
    """Return the median of some volumes of a series, and where all of them are positive.

    Float32 and bool (x, y, z); the median is NaN where a value is NaN.
    """
    signal = series.signal.transpose(3, 2, 1, 0)
    copy = signal[array_module(signal).asarray(volumes)]  # the kernel sorts the values in place
    chosen = as_planes(copy.transpose(3, 2, 1, 0), device)
    median = device.empty(chosen.array.shape[1:])
    positive = device.empty(chosen.array.shape[1:], np.uint8)
    launch(SERIES_MEDIAN, device, planes=chosen.array, median=median, positive=positive)
    return chosen.unflatten(median), chosen.unflatten(positive.view(bool))
