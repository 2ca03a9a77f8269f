"""A map of R2 stored in another orientation than R2*, found by the tissues that both show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.io.orientation import central_part

EVIDENT, GAIN = 0.5, 0.25
"""Correlation of a mirror image with R2* from which it is refused, and its excess over that as stored."""
LARGEST = 3.0
"""Largest rate that counts [mean]."""
FEWEST = 200
"""Number of voxels from which a correlation counts."""


def check_mirrored_rates(r2: Array, r2star: Array, mask: Array, path: Path) -> None:
    """Raise InputError, for the file `path`, if the mirror image of a rate fits the other one clearly better.

    `r2` and `r2star` [1/s] are (x, y, z), with 0 where unknown, and compared in `mask` (x, y, z).
    """
    part = central_part(mask.shape)
    inside = (mask[part] > 0) & (r2star[part] > 0)
    one, other = (np.nan_to_num(image[part].astype(np.float32)) for image in (r2star, r2))
    stored = _agreement(one, other, inside, ())
    flips = [axes for count in (1, 2, 3) for axes in combinations(range(3), count)]
    best, axes = max((_agreement(one, other, inside, axes), axes) for axes in flips)
    if best > max(EVIDENT, stored + GAIN):
        along = ", ".join("xyz"[axis] for axis in axes)
        raise InputError(
            f"R2 and R2* agree better if one is mirrored along {along} of the array (correlation {best:.2f}, "
            f"as stored {stored:.2f}), although the affines agree; store both in the same orientation",
            source=path,
            field="affine",
        )


def _agreement(one: Array, other: Array, inside: Array, axes: Sequence[int]) -> float:
    """Return the correlation of an image and a mirrored one in the voxels where both are known."""
    turned = np.flip(other, tuple(axes))
    both = inside & (turned > 0)
    if np.count_nonzero(both) < FEWEST:
        return 0.0
    first, second = (
        np.minimum(image[both], LARGEST * image[both].mean(dtype=np.float64)) for image in (one, turned)
    )
    first, second = first - first.mean(dtype=np.float64), second - second.mean(dtype=np.float64)
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.vdot(first, second)) / norm if norm > 0 else 0.0
