"""Brain masks with the errors that brain extraction makes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from qsmengine.errors import UsageError
from qsmengine.phantom.labels import LabelArray

Mask = npt.NDArray[np.bool_]
MASK_ERRORS = ("large", "small", "holes", "dura")
HOLES = 8
HOLE_RADIUS = (2.0, 4.0)
"""[mm]"""
DURA_REACH = 4.0
"""[mm]"""
SOFT = ("cerebrospinal_fluid", "vein", "artery", "soft_tissue", "mucosa")
"""Names of labels with signal outside the brain."""


def wrong_mask(
    error: str,
    mask: Mask,
    labels: LabelArray,
    names: Mapping[int, str],
    voxel_size: tuple[float, float, float],
    rng: np.random.Generator,
) -> Mask:
    """Return `mask` (x, y, z) with an error.

    Parameters
    ----------
    error
        "large" or "small": one voxel more or less on every side; "holes": balls left out, half of them at the
        surface; "dura": tissue and fluid with signal up to 4 mm outside the upper half of the brain included.
    mask
        (x, y, z) brain.
    labels, names
        (x, y, z) label map of the whole head and the name of each label.
    voxel_size
        [mm].
    rng
        Source of the holes.

    Raises
    ------
    UsageError
        For an unknown error.
    """
    from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt

    if error == "large":
        return np.asarray(binary_dilation(mask))
    if error == "small":
        return np.asarray(binary_erosion(mask))
    if error == "holes":
        return _with_holes(mask, voxel_size, rng)
    if error == "dura":
        soft = np.isin(labels, [number for number, name in names.items() if name in SOFT])
        near = distance_transform_edt(~mask, sampling=voxel_size) <= DURA_REACH
        middle = int(np.mean(np.nonzero(mask)[2]))
        near[:, :, :middle] = False
        return np.asarray(mask | (near & soft))
    raise UsageError(f"mask error: {error!r} is none of {', '.join(MASK_ERRORS)}")


def _with_holes(mask: Mask, voxel_size: tuple[float, float, float], rng: np.random.Generator) -> Mask:
    from scipy.ndimage import binary_erosion

    rim = np.argwhere(mask & ~binary_erosion(mask))
    inside = np.argwhere(mask)
    half = HOLES // 2
    centres = np.concatenate([rng.choice(rim, half), rng.choice(inside, HOLES - half)])
    left = mask.copy()
    axes = [np.arange(n) * h for n, h in zip(mask.shape, voxel_size, strict=True)]
    for centre in centres:
        x, y, z = np.meshgrid(
            *(a - a[c] for a, c in zip(axes, centre, strict=True)), indexing="ij", sparse=True
        )
        left &= x * x + y * y + z * z > rng.uniform(*HOLE_RADIUS) ** 2
    return left
