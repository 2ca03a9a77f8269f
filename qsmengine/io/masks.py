"""Loading of masks: two values, labels, or a probability on any scale.

| values | inside |
|---|---|
| 0 and one other | the other |
| up to 1, or 1.5 with the overshoot of an interpolation | above 0.5 |
| whole numbers: labels | above 0.5, thus every label |
| probability in percent, 0 .. 255, ...: most voxels reach 90 % of the largest value | above half of it |

Other values, such as those of a skull-stripped image, do not define a mask and are refused.
"""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io._clean import zero_nonfinite
from qsmengine.io.nifti import check_real, read_stored, scale_stored
from qsmengine.memory_order import c_ordered

Mask = npt.NDArray[np.bool_]

SMALL_MASK = 1000
"""Number of voxels below which a mask gets a note."""
OVERSHOOT = 1.5
"""Largest value of a mask of 0 and 1 after interpolation with splines or a sinc."""
EMPTY, FULL = 0.01, 0.9
"""Fractions of the largest value: below the first a probability is none, above the second it is certainty."""
LEVELS = 20
"""Largest value of whole numbers from which they may be a probability instead of labels."""

SAMPLES = 64
"""Greatest number of voxels along each axis in which a mask is compared with an image."""
REVERSED, BETTER = -0.2, 0.05
"""Correlation with the magnitude below which a mask is reversed; gain from which its mirror image is better."""


def load_mask(path: str | Path, grid: Grid) -> tuple[Mask, list[str]]:
    """Load a mask on `grid`.

    Returns
    -------
    mask, notes
        (x, y, z) bool, C-contiguous; decisions.

    Raises
    ------
    InputError
        If shape or position differ from the grid's, and as :func:`read_mask` does.
    """
    mask, own, notes = read_mask(path)
    check_same_grid(own, grid, path, "the image")
    return mask, notes


def read_mask(path: str | Path) -> tuple[Mask, Grid, list[str]]:
    """Load a mask, its grid and notes.

    Raises
    ------
    InputError
        If the image is not three-dimensional, no voxel is inside, or the values do not define a mask.
    """
    path = Path(path)
    stored, grid, header = read_stored(path)
    check_real(header)
    notes = list(header.notes)
    if stored.ndim != 3:
        raise InputError(f"a mask has three dimensions, this has shape {stored.shape}", source=path)
    whole = stored.dtype.kind in "iu" and not header.is_scaled
    values = stored if whole else scale_stored(stored, header.slope, header.intercept)
    return inside_of(values, path, notes), grid, notes


def inside_of(values: Array, source: Path, notes: list[str]) -> Mask:
    """Return the voxels (x, y, z) inside a mask with the given values, as bool, C-contiguous.

    Raises
    ------
    InputError
        If no voxel is inside, or the values do not define a mask.
    """
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        unknown = np.isnan(values)
        if unknown.any():
            notes.append(f"{source}: {int(np.count_nonzero(unknown))} NaN values taken as outside the mask")
            values = np.where(unknown, np.float32(0), values)
        zero_nonfinite(values, "mask", source, notes)
        low, high = float(values.min()), float(values.max())
    if not high > 0.5:
        raise InputError(f"empty mask: no value above 0.5 (largest {high:g})", source=source)
    if low > 0.5 and high > low:
        raise InputError(
            f"values {low:g} .. {high:g}: none is outside; store 1 inside and 0 outside", source=source
        )
    half = _half(values, high, source)
    plain = values.dtype.kind in "iub" and low >= 0 and high == 1  # zeros and ones
    mask: Mask = c_ordered(values.view(np.bool_) if plain and values.dtype.itemsize == 1 else values > half)
    if not plain and (high != 1 or np.count_nonzero(values != 0) != np.count_nonzero(values == 1)):
        notes.append(f"{source}: values {low:g} .. {high:g} binarised above {half:g}")
    count = int(np.count_nonzero(mask))
    if count == mask.size:
        notes.append(f"{source}: the mask covers the whole image")
    elif count < SMALL_MASK:
        notes.append(f"{source}: the mask has only {count} voxels")
    return mask


def _half(values: Array, high: float, source: Path) -> float:
    """Return the value above which a voxel is inside; InputError if the values do not define it."""
    if high <= OVERSHOOT:
        return 0.5
    inside = values[values > EMPTY * high]
    mostly_full = 2 * np.count_nonzero(inside > FULL * high) > inside.size
    if bool((values == np.rint(values)).all()):
        levels = np.unique(values[values > 0])
        if len(levels) == 1 or high < LEVELS:
            return 0.5
        if mostly_full and len(levels) > high / 10:
            return high / 2
        if len(levels) <= high / 2:
            return 0.5
    elif mostly_full:
        return high / 2
    raise InputError(
        f"values up to {high:g} do not separate inside from outside: they are not 0 and 1, a probability, or "
        "labels; store 1 inside and 0 outside",
        source=source,
    )


def check_placement(mask: Mask, magnitude: Array, source: Path) -> list[str]:
    """Compare a mask with the magnitude (x, y, z) of its object; return a note if it seems to be mirrored.

    Raises
    ------
    InputError
        If the mask and the square root of the magnitude are clearly anticorrelated: inside and outside are
        exchanged.
    """
    step = tuple(slice(None, None, -(-n // SAMPLES)) for n in mask.shape)
    inside, image = mask[step].astype(np.float32), np.sqrt(np.maximum(magnitude[step], 0)).astype(np.float32)
    inside, image = inside - inside.mean(), image - image.mean()
    norm = float(np.linalg.norm(inside) * np.linalg.norm(image))
    if not norm > 0:
        return []
    stored = float(np.vdot(inside, image)) / norm
    if stored < REVERSED:
        raise InputError(
            f"inside and outside seem to be exchanged: the magnitude is low inside (correlation {stored:.2f}); "
            "store 1 inside the object and 0 outside",
            source=source,
        )
    flips = (axes for count in (1, 2, 3) for axes in combinations(range(3), count))
    best, axes = max((float(np.vdot(np.flip(inside, axes), image)) / norm, axes) for axes in flips)
    if best < stored + BETTER:
        return []
    along = ", ".join("xyz"[axis] for axis in axes)
    note = f"fits the magnitude better if mirrored along {along} of the array"
    return [
        f"{source}: the mask {note} (correlation {best:.2f}, as stored {stored:.2f}); check its orientation"
    ]
