"""Brain mask of a diffusion series from its median unweighted image.

BET (:mod:`qsmengine.stages.mask.bet`) fits a surface to the brain. Fat suppression darkens the scalp in these
images, so the threshold is lower than for gradient echoes. A head smaller than `SMALL` is first enlarged to the
size of an adult's, because BET's lengths are those of an adult. If BET encloses less than `LEAST_OF_HEAD` of
the head, the head (the largest component above Otsu's threshold, opened and filled) is the mask.

A mask is implausible if it covers a fraction of the image outside `COVERS`, if the head is in many pieces, or
if the background is brighter than `DARK` times the inside: crops and tissue blocks without air have no brain
mask.

References: Smith 2002, 10.1002/hbm.10062; Otsu 1979, 10.1109/TSMC.1979.4310076.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.components import filled, largest_component
from qsmengine.ops.gaussian import gaussian_filter
from qsmengine.ops.morphology import dilated, eroded
from qsmengine.ops.order_statistics import median
from qsmengine.stages.mask.bet import BetParams, bet
from qsmengine.stages.mask.blocks import otsu

COVERS = (0.05, 0.98)
"""Smallest and largest fraction of the image that a plausible mask covers."""
DARK = 0.15
"""Largest ratio of the medians outside and inside a plausible mask."""
LEAST_OF_HEAD = 0.4
"""Smallest fraction of the head that a plausible brain fills."""
CONNECTED = 0.8
"""Smallest fraction of the voxels above Otsu's threshold in the largest component of a plausible head."""
SMALL = 50.0
"""Radius below which a head is enlarged [mm]."""
ADULT = 75.0
"""Radius to which it is enlarged [mm]."""

LARGEST_VOXEL = 9.0
"""Longest voxel edge after enlarging [mm]."""

_BET = BetParams.model_construct(threshold=0.3, bright_rim=None)
_SMOOTHING = 0.7
"""Standard deviation of the Gaussian before Otsu's threshold [edges of a cube of the voxel's volume]."""
_OPENING = 0.08
"""Radius of the opening that cuts bridges to the scalp [radii of the head]."""


class UnweightedMask(NamedTuple):
    """`mask` (x, y, z) bool, or None if it would be implausible, with the `reason`."""

    mask: Array | None
    reason: str = ""


def unweighted_mask(image: Array, grid: Grid, device: Device) -> UnweightedMask:
    """Return the brain in an unweighted image.

    Parameters
    ----------
    image
        (x, y, z) float32, any unit; the median over the unweighted volumes.
    grid
        Geometry.
    device
        Where to compute.
    """
    image = device.asarray(image)
    if not bool((image > 0).any()):
        return UnweightedMask(None, "the unweighted image has no signal")
    edge = (grid.voxel_volume) ** (1 / 3)
    smooth = gaussian_filter(image, grid.voxel_size, _SMOOTHING * edge, device)
    tissue = smooth > np.float32(otsu(smooth, device))
    radius = (3 * float(tissue.sum()) * grid.voxel_volume / (4 * math.pi)) ** (1 / 3)
    core = largest_component(eroded(tissue, _OPENING * radius, grid.voxel_size, device), device)
    if not bool(core.any()):
        return UnweightedMask(None, "no head stands out from the background")
    grown = dilated(core, _OPENING * radius + min(grid.voxel_size), grid.voxel_size, device)
    head = grown & tissue
    if float(head.sum()) < CONNECTED * float(tissue.sum()):
        return UnweightedMask(None, "the bright voxels lie in many separate parts")
    head = filled(head, device)
    brain = _brain(image, grid, radius, device)
    mask = head if brain is None or float(brain.sum()) < LEAST_OF_HEAD * float(head.sum()) else brain
    return _plausible(mask & (image > 0), image)


def _brain(image: Array, grid: Grid, radius: float, device: Device) -> Array | None:
    """Return BET's mask; None if it finds no brain."""
    if radius < SMALL:
        affine = grid.affine.copy()
        affine[:3] *= max(1.0, min(ADULT / radius, LARGEST_VOXEL / max(grid.voxel_size)))
        grid = grid.replace(affine=affine)
    try:
        return bet(image[..., None], grid, _BET, device=device)
    except InputError:
        return None


def _plausible(mask: Array, image: Array) -> UnweightedMask:
    covered = float(mask.mean(dtype=np.float64))
    if not COVERS[0] <= covered <= COVERS[1]:
        return UnweightedMask(None, f"the mask would cover {100 * covered:.1f} % of the image")
    contrast = median(image[~mask]) / median(image[mask])
    if not contrast < DARK:
        return UnweightedMask(None, f"the surroundings are {100 * contrast:.0f} % as bright as the object")
    return UnweightedMask(mask)
