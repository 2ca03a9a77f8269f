"""Images averaged over blocks of voxels, for masks that need no more detail; on the host."""

from __future__ import annotations

import math
import warnings
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Vector3

Volume: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]


def finite(image: Array) -> Volume:
    """`image` in host memory, 0 where it is not finite."""
    host = to_numpy(image)
    return np.where(np.isfinite(host), host, 0).astype(np.float32)


def block_factors(voxel_size: Vector3, resolution: float) -> tuple[int, int, int]:
    """Voxels along each axis of blocks with edges up to `resolution` [mm], one at least."""
    x, y, z = (max(1, math.floor(resolution / h + 1e-3)) for h in voxel_size)
    return x, y, z


def block_size(voxel_size: Vector3, factors: tuple[int, int, int]) -> Vector3:
    """Edges of the blocks [mm]."""
    x, y, z = (h * f for h, f in zip(voxel_size, factors, strict=True))
    return x, y, z


def block_mean(image: Volume, factors: tuple[int, int, int]) -> Volume:
    """Mean over blocks of voxels; the last block of an axis repeats the last voxel where it is not full."""
    padded = np.pad(image, [(0, -n % f) for n, f in zip(image.shape, factors, strict=True)], mode="edge")
    for axis, factor in enumerate(factors):
        if factor > 1:
            shape = (*padded.shape[:axis], -1, factor, *padded.shape[axis + 1 :])
            padded = padded.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return padded


def onto_voxels(mask: Mask, factors: tuple[int, int, int], shape: tuple[int, int, int]) -> Mask:
    """Mask of blocks on the grid of voxels: interpolated linearly, at least one half."""
    from scipy.ndimage import affine_transform

    if max(factors) == 1:
        return mask
    scale = 1.0 / np.asarray(factors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # older SciPy tells that it has changed in 0.18
        image = affine_transform(
            mask.astype(np.float32), scale, (scale - 1) / 2, output_shape=shape, order=1, mode="nearest"
        )
    return np.asarray(image >= 0.5, dtype=np.bool_)


def otsu(values: npt.NDArray[Any]) -> float:
    """Threshold that maximises the variance between two classes, from 256 bins up to the 99.9th percentile.

    Reference: Otsu 1979, 10.1109/TSMC.1979.4310076.
    """
    flat = values.ravel()
    if flat.size == 0:
        raise InputError("no voxel has signal and coherent phase", field="phase")
    counts, edges = np.histogram(flat, 256, (0.0, max(float(np.percentile(flat, 99.9)), 1e-30)))
    centres = (edges[1:] + edges[:-1]) / 2
    below, moment = np.cumsum(counts), np.cumsum(counts * centres)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (moment[-1] * below / below[-1] - moment) ** 2 / (below * above)
    return float(edges[int(np.nanargmax(np.where(above > 0, between, 0))) + 1])
