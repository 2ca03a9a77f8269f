"""Faces between voxels across which a regulariser expects similar values.

A face array is uint8 (nx, ny, nz); bit a of a voxel represents the face to the next voxel along axis a.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from qsmengine.backend.device import array_module
from qsmengine.data import Array
from qsmengine.grid import Vector3
from qsmengine.ops.domain import bounding_box

THREADS = 2
"""Threads that compare neighbours along different axes on the CPU."""


def faces_within(mask: Array) -> Array:
    """Return the faces with both voxels in `mask` (nx, ny, nz)."""
    inside = mask != 0
    faces: Array = array_module(inside).zeros(inside.shape, np.uint8)
    for axis in range(3):
        _add(faces, axis, _both(inside, axis))
    return faces


def faces_without(mask: Array) -> Array:
    """Return the faces with neither voxel in `mask`; the array is periodic."""
    xp = array_module(mask)
    outside = mask == 0
    faces: Array = xp.zeros(outside.shape, np.uint8)
    for axis in range(3):
        faces |= (outside & xp.roll(outside, -1, axis)).astype(np.uint8) << np.uint8(axis)
    return faces


def smooth_faces(image: Array, mask: Array, voxel_size: Vector3, edges: float) -> Array:
    """Return the faces within `mask` across which `image` changes little: those of :func:`without_steepest`."""
    faces: Array = faces_within(mask) & without_steepest(image, mask, voxel_size, edges)
    return faces


def without_steepest(image: Array, mask: Array, voxel_size: Vector3, edges: float) -> Array:
    """Return all faces except the steepest within `mask`.

    The fraction `edges` of the faces within the mask with the largest differences of `image` per mm is
    excluded; in a tie with the steepest remaining face, faces are kept.
    """
    xp = array_module(image)
    inside = mask != 0
    faces: Array = xp.full(inside.shape, 0xFF, np.uint8)
    if not bool(inside.any()):
        return faces
    start, stop = bounding_box(inside)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    image, inside = image[box], inside[box]

    def seen(axis: int) -> tuple[Array, Array, Array]:
        step, pair = _steps(image, axis, voxel_size[axis]), _both(inside, axis)
        return step, pair, step[pair]

    if xp is np:
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(seen, range(3)))
    else:
        found = [seen(axis) for axis in range(3)]
    known = xp.concatenate([values for _, _, values in found])
    if not known.size:
        return faces
    last = max(0, round((1.0 - edges) * known.size) - 1)
    known.partition(last)
    limit = known[last]
    for axis, (step, pair, _) in enumerate(found):
        _, lower = _cut(axis)
        steep = pair & ~(step <= limit)
        faces[box][lower] &= ~(steep.view(np.uint8) << np.uint8(axis))
    return faces


def _steps(image: Array, axis: int, h: float) -> Array:
    upper, lower = _cut(axis)
    difference: Array = image[upper] - image[lower]
    array_module(image).abs(difference, out=difference)
    difference *= np.float32(1.0 / h)
    return difference


def _both(inside: Array, axis: int) -> Array:
    upper, lower = _cut(axis)
    both: Array = inside[upper] & inside[lower]
    return both


def _cut(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    ahead = (slice(None),) * axis
    return (*ahead, slice(1, None)), (*ahead, slice(None, -1))


def _add(faces: Array, axis: int, where: Array) -> None:
    _, lower = _cut(axis)
    faces[lower] |= where.astype(np.uint8) << np.uint8(axis)
