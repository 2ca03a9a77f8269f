"""Averages over blocks of voxels, for masks that need no more detail, on CPU and GPU.

The lattice of blocks is centred on the image: a flipped image has flipped means. Where the blocks extend beyond
the image, its outermost voxels are repeated. If blocks of an even number of voxels cover an axis with an odd
number, the middle voxel of the axis counts twice.
"""

from __future__ import annotations

import math

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.block_mean import BLOCK_MEAN, BLOCK_PHASOR, BLOCK_SPREAD
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Vector3
from qsmengine.ops.order_statistics import percentile

Factors = tuple[int, int, int]

_LARGEST = 256
_BINS = 256


def block_factors(voxel_size: Vector3, resolution: float) -> Factors:
    """Return the voxels per block along each axis for edges up to `resolution` [mm]: 1 to 256."""
    x, y, z = (min(_LARGEST, max(1, math.floor(resolution / h + 1e-3))) for h in voxel_size)
    return x, y, z


def block_size(voxel_size: Vector3, factors: Factors) -> Vector3:
    """Return the edges of the blocks [mm]."""
    x, y, z = (h * f for h, f in zip(voxel_size, factors, strict=True))
    return x, y, z


def block_grid(shape: tuple[int, ...], factors: Factors) -> Factors:
    """Return the number of blocks that cover each axis of an image of `shape` and can be centred on it."""
    x, y, z = (_count(n, f) for n, f in zip(shape, factors, strict=True))
    return x, y, z


def _count(voxels: int, factor: int) -> int:
    """Return the number of blocks; for an odd factor it is as odd or even as the number of voxels."""
    count = -(-voxels // factor)
    return count + (factor % 2 * (count - voxels)) % 2


def voxel_positions(positions: FloatArray, shape: tuple[int, ...], factors: Factors) -> FloatArray:
    """Return positions (n, 3) among the blocks as positions among the voxels; whole numbers are centres.

    The two copies of a middle voxel that counts twice are compressed into one.
    """
    missing = np.multiply(block_grid(shape, factors), factors) - shape
    places = positions * factors + (np.asarray(factors) - 1) / 2 - missing // 2
    first_copy = np.asarray(shape) // 2 - 0.5
    found: FloatArray = places - np.where(missing % 2, np.clip((places - first_copy) / 2, 0.0, 1.0), 0.0)
    return found


def block_mean(image: Array, factors: Factors, device: Device) -> Array:
    """Return the float32 mean of `image` (x, y, z) over blocks of voxels; non-finite values count as 0.

    Returns an array of :func:`block_grid`'s shape.
    """
    values = device.asarray(image)
    mean = device.empty(block_grid(values.shape, factors))
    launch(BLOCK_MEAN, device, image=values, mean=mean, **_named(factors))
    return mean


def block_signal(magnitude: Array, phase: Array, factors: Factors, device: Device) -> tuple[Array, Array]:
    """Return magnitude and phase [rad] of the mean complex signal over blocks; see :func:`block_mean`."""
    if max(factors) == 1:
        return block_mean(magnitude, factors, device), block_mean(phase, factors, device)
    modulus, angle = (device.asarray(array) for array in (magnitude, phase))
    re, im = (device.empty(block_grid(modulus.shape, factors)) for _ in range(2))
    launch(BLOCK_PHASOR, device, magnitude=modulus, phase=angle, re=re, im=im, **_named(factors))
    return device.xp.hypot(re, im), device.xp.arctan2(im, re)


def onto_voxels(mask: Array, factors: Factors, shape: tuple[int, int, int], device: Device) -> Array:
    """Return a mask of blocks on the grid of voxels: linear interpolation, thresholded at one half."""
    if max(factors) == 1:
        return mask
    blocks = device.asarray(mask, bool).view(np.uint8)
    spread = device.empty(shape, np.uint8)
    launch(BLOCK_SPREAD, device, blocks=blocks, mask=spread, **_named(factors))
    return spread.view(bool)


def otsu(values: Array, device: Device) -> float:
    """Return Otsu's threshold, which maximises the variance between two classes.

    It is computed from 256 bins up to the 99.9th percentile.

    Raises
    ------
    InputError
        For an empty array.

    Reference: Otsu 1979, 10.1109/TSMC.1979.4310076.
    """
    if values.size == 0:
        raise InputError("no voxel has signal and coherent phase", field="phase")
    ordered = device.xp.sort(device.asarray(values).reshape(-1))
    edges = np.linspace(0.0, max(percentile(ordered, 99.9, ordered=True), 1e-30), _BINS + 1, dtype=np.float32)
    counts = np.diff(_places(ordered, edges, device))
    centres = (edges[1:] + edges[:-1]) / 2
    below, moment = np.cumsum(counts), np.cumsum(counts * centres)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (moment[-1] * below / below[-1] - moment) ** 2 / (below * above)
    return float(edges[int(np.nanargmax(np.where(above > 0, between, 0))) + 1])


def _places(ordered: Array, edges: np.ndarray, device: Device) -> np.ndarray:
    """Count the sorted values below each edge; the last bin includes its upper edge."""
    xp = device.xp
    below = xp.searchsorted(ordered, device.asarray(edges))
    upto = xp.searchsorted(ordered, device.asarray(edges[-1:]), side="right")
    return to_numpy(xp.concatenate([below[:-1], upto]))


def _named(factors: Factors) -> dict[str, int]:
    return dict(zip(("fx", "fy", "fz"), factors, strict=True))
