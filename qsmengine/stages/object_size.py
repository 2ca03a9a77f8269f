"""Size of the object relative to an adult's head, the scale of all lengths in mm.

The dipole field is scale-invariant: a head ten times smaller, measured with voxels ten times smaller, has the
same field. It needs every radius and margin ten times smaller, a weight in ppm mm divided by ten, and so on.
Methods therefore express lengths in units of `length_scale` mm (:class:`qsmengine.grid.Grid`).

The size is the geometric mean of the two largest extents, each between the 5th and the 95th percentile of the
object's voxels along an axis. An axis that the object fills from end to end is ignored: a slab of few slices
has the size of its cross-section, and the size of a crop is unknown. Lengths are not scaled if the size is
unknown or at least :data:`SMALL` times an adult's, which includes infants.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qsmengine.backend.device import Device, array_module, on_device, to_numpy
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.mask.blocks import block_mean, otsu

ADULT_BRAIN = 106.0
"""Size of an adult's brain [mm]."""
ADULT_HEAD = 166.0
"""Size of an adult's head in the magnitude [mm]."""
SMALL = 0.55
"""Relative size from which an object keeps the lengths of an adult."""
_SAMPLES = 64
"""Number of blocks along each axis of the image in which the head is searched."""
_TAILS = (0.05, 0.95)
_PREFERRED = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_FILLED = 0.25
"""Fraction of its maximum that an object's profile reaches at both ends of an axis that it fills."""
_MASKS = ("mask", "brain_mask", "reliable_mask", "local_mask")


@on_device
def sized_grid(grid: Grid, inputs: Mapping[str, Any], *, device: Device) -> Grid:
    """Return `grid` with the length scale of the object shown by the inputs; an existing scale is kept.

    A mask (x, y, z) among `inputs` is taken as a brain, else ``magnitude`` (x, y, z, echo) as a head. Without
    either, or if the size is unknown, the grid is returned unchanged.
    """
    if grid.length_scale is not None:
        return grid
    mask = next((inputs[name] for name in _MASKS if inputs.get(name) is not None), None)
    magnitude = inputs.get("magnitude")
    if mask is not None:
        size = object_size(mask.astype(bool, copy=False), grid) / ADULT_BRAIN
    elif magnitude is not None:
        size = _head_size(magnitude, grid, device) / ADULT_HEAD
    else:
        return grid
    if size == 0:
        return grid
    return grid.replace(length_scale=1.0 if size >= SMALL else rounded_scale(size, grid))


def size_notes(grid: Grid) -> tuple[str, ...]:
    """Return a note if lengths are scaled."""
    scale = grid.length_scale
    if scale is None or scale == 1.0:
        return ()
    text = (
        f"the object has {scale:.3g} times the size of an adult's: default lengths of all methods are scaled "
        "by this factor, lengths set by name are not (input.object_size sets the scale; 1 keeps all lengths)"
    )
    return (text,)


def rounded_scale(size: float, grid: Grid) -> float:
    """Return the scale nearest to `size` for which the scaled shortest voxel edge is a preferred number.

    The same voxels and nearly the same size then give the same lengths, so these do not vary within a study.
    """
    shortest = min(grid.voxel_edges)
    decade = 10.0 ** math.floor(math.log10(shortest / size))
    edges = [number * decade for number in _PREFERRED]
    return shortest / min(edges, key=lambda edge: abs(math.log(edge * size / shortest)))


def object_size(mask: Array, grid: Grid) -> float:
    """Return the geometric mean of the two largest extents [mm] of `mask` (x, y, z) bool.

    0 if it is unknown: the mask is empty, or fills two axes of the image or more.
    """
    extents = []
    depth, width = (mask.sum(axis=axis, dtype=np.int32) for axis in (2, 0))
    counts = (depth.sum(axis=1), depth.sum(axis=0), width.sum(axis=0))
    for count, edge in zip(counts, grid.voxel_edges, strict=True):
        profile = to_numpy(count).astype(np.float64)
        if min(profile[0], profile[-1]) >= _FILLED * profile.max():
            continue
        below = np.concatenate([[0.0], np.cumsum(profile)]) / profile.sum()
        first, last = np.interp(_TAILS, below, np.arange(len(below)))
        extents.append((last - first) * edge)
    if len(extents) < 2:
        return 0.0
    *_, second, largest = sorted(extents)
    return math.sqrt(second * largest)


def _head_size(magnitude: Array, grid: Grid, device: Device) -> float:
    """Return the size [mm] of the voxels above Otsu's threshold in the root of the first echo; 0: unknown."""
    nx, ny, nz = (max(1, n // _SAMPLES) for n in grid.shape)
    image = block_mean(magnitude[..., 0], (nx, ny, nz), device)
    root = array_module(image).sqrt(image)
    if not float(root.max()) > 0:
        return 0.0
    head = root > np.float32(otsu(root, device))
    affine = grid.affine @ np.diag([nx, ny, nz, 1.0])
    return object_size(head, grid.replace(shape=head.shape, affine=affine))
