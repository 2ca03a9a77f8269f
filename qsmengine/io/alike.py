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
    for one, other in combinations(range(len(images)), 2):
        if np.array_equal(images[one], images[other]) and images[one].min() < images[one].max():
            raise InputError(
                f"{what[1]} {one + 1} and {other + 1} have the same values in every voxel: one image was "
                f"copied or given twice; give the images of different {what[1]}",
                source=", ".join(dict.fromkeys((names[one], names[other]))),
            )
    check_magnitudes(images, names, what, alike=False)
