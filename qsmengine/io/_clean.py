"""Handling of NaN, infinite and negative values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.norm import euclidean_norm

Mask: TypeAlias = npt.NDArray[np.bool_]

MAX_BAD_FRACTION = 0.05
"""Largest tolerated fraction of unusable values in an image, or of object voxels in one volume."""


def zero_nonfinite(array: Array, what: str, source: object, notes: list[str]) -> None:
    """Set NaN and infinite values of a float array to 0 in place, with a note.

    Raises
    ------
    InputError
        If more than 5 % of the values are NaN or infinite.
    """
    if _all_finite(array):
        return
    bad = ~np.isfinite(array)
    _replace(array, bad, f"{what} values are NaN or infinite", source, notes)


def clear_unknown(parts: Sequence[tuple[str, Array, object]], volume: str, notes: list[str]) -> Mask | None:
    """Set a series to 0, with a note, in voxels that are NaN or infinite in any volume.

    Parameters
    ----------
    parts
        Name, array (x, y, z, volume) and source of each part (magnitude, phase). The first defines the object.
    volume
        Name of a volume in messages, such as "echo".
    notes
        List that receives the findings.

    Returns
    -------
    unknown
        (x, y, z) bool, True where a value was not finite; None if all values are finite.

    Raises
    ------
    InputError
        If more than 5 % of the object's voxels are lost in one volume. The object consists of the voxels above
        a tenth of the brightest signal, holes filled; NaN around it (an applied mask) does not count.
    """
    cleaned = ((name, source, _not_finite(array)) for name, array, source in parts)
    lost = [(name, source, found) for name, source, found in cleaned if found is not None]
    if not lost:
        return None
    inside = _object(parts[0][1])
    size = int(inside.sum())
    for name, source, found in lost:
        _check_lost(
            f"{name} of {volume}", [int((inside & f).sum()) for f in np.moveaxis(found, 3, 0)], size, source
        )
    unknown: Mask = np.any([found.any(axis=3) for _, _, found in lost], axis=0)
    for _, array, _ in parts:
        array[unknown] = 0
    among = f"{int((unknown & inside).sum())} of the object's {size} voxels"
    for name, source, found in lost:
        notes.append(
            f"{source}: {int(found.sum())} of {found.size} {name} values are NaN or infinite; their voxels "
            f"({among}) are set to 0 in every {volume} and left out of masks"
        )
    return unknown


def _check_lost(what: str, counts: Sequence[int], size: int, source: object) -> None:
    worst = int(np.argmax(counts))
    share = counts[worst] / max(size, 1)
    if share > MAX_BAD_FRACTION:
        raise InputError(
            f"{what} {worst + 1} is NaN or infinite in {share:.0%} of the object's voxels (at most "
            f"{MAX_BAD_FRACTION:.0%}); leave it out or repair the image",
            source=source,
        )


def finite_or_zero(array: Array) -> Array:
    """Return a float array with 0 instead of NaN and infinite values; itself if there are none."""
    return array if _all_finite(array) else np.where(np.isfinite(array), array, array.dtype.type(0))


def _not_finite(array: Array) -> Mask | None:
    if _all_finite(array):
        return None
    return ~np.isfinite(array)


def _all_finite(array: Array) -> bool:
    """Return whether all values of a float array are finite.

    A finite norm, found in one pass, implies it; the squares of large values overflow.
    """
    return math.isfinite(euclidean_norm(array)) or (math.isfinite(array.min()) and math.isfinite(array.max()))


def _object(series: Array) -> Mask:
    """Return the voxels above a tenth of the 99th percentile of the root sum of squares, holes filled."""
    from scipy.ndimage import binary_fill_holes

    power = np.zeros(series.shape[:3])
    for v in range(series.shape[3]):
        power += np.nan_to_num(series[..., v].astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0) ** 2
    bright = power[power > 0]
    least = 0.01 * float(np.percentile(bright, 99)) if bright.size else 0.0
    return np.asarray(binary_fill_holes(power > least), dtype=np.bool_)


def zero_negative(array: Array, what: str, source: object, notes: list[str]) -> None:
    """Set negative values to 0 in place, with a note; raises InputError above 5 %."""
    if float(array.min()) < 0.0:
        _replace(array, array < 0.0, f"{what} values are negative", source, notes)


def _replace(array: Array, bad: Array, text: str, source: object, notes: list[str]) -> None:
    count = int(np.count_nonzero(bad))
    if count > MAX_BAD_FRACTION * array.size:
        raise InputError(f"{count} of {array.size} {text} (more than {MAX_BAD_FRACTION:.0%})", source=source)
    array[bad] = 0
    notes.append(f"{source}: {count} of {array.size} {text}; set to 0")
