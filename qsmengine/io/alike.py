"""Volumes of one series that do not belong together: copies, and volumes in different orientations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.io.orientation import central_part, check_magnitudes


def check_alike(signal: Array, names: Sequence[str], what: tuple[str, str]) -> None:
    """Check that no volume of a series is the copy of another, and that all have one orientation.

    Parameters
    ----------
    signal
        (x, y, z, volume), finite.
    names
        File of each volume.
    what
        What a volume is called, and several of them.

    Raises
    ------
    InputError
        For two volumes with the same values, and a volume that is mirrored against the others.
    """
    part = central_part(signal.shape[:3])
    images = [
        np.ascontiguousarray(signal[..., volume][part], dtype=np.float32) for volume in range(signal.shape[3])
    ]
    for pair in copies(images):
        raise InputError(copied(pair, what[1]), source=", ".join(dict.fromkeys(names[n] for n in pair)))
    check_magnitudes(images, names, what, alike=False)


def copies(images: Sequence[Array]) -> list[tuple[int, int]]:
    """Return the pairs of images (x, y, z) that have the same values, without those of one value everywhere."""
    pairs = combinations(range(len(images)), 2)
    return [
        (a, b) for a, b in pairs if np.array_equal(images[a], images[b]) and images[a].min() < images[a].max()
    ]


def copied(pair: tuple[int, int], what: str) -> str:
    """Return what is wrong with a pair of copies; `what` is what several such images are called."""
    return (
        f"{what} {pair[0] + 1} and {pair[1] + 1} have the same values in every voxel: one image was copied or "
        f"given twice; give the images of different {what}"
    )
