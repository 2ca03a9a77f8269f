"""FLAIR image of the head that a T1-weighted image shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qsmengine.backend.device import to_numpy
from qsmengine.data import Map
from qsmengine.errors import DeviceError, InputError
from qsmengine.grid import Grid
from qsmengine.io.structural import StructuralFile, open_structural
from qsmengine.ops.alignment import align
from qsmengine.ops.registration import MISSING, available
from qsmengine.ops.transforms import Volume, bring


def open_flair(path: Path, grid: Grid) -> StructuralFile:
    """Read the header of a FLAIR image that goes with a T1-weighted image on `grid`.

    Raises
    ------
    InputError
        As :func:`~qsmengine.io.structural.open_structural` does.
    DeviceError
        If it lies on another grid and the package antspyx is not installed.
    """
    file = open_structural(path)
    if not file.grid.matches(grid) and not available():
        raise DeviceError(f"{path}: alignment with the T1-weighted image {MISSING}")
    return file


def on_grid_of(image: Map, flair: Map) -> tuple[Volume, list[str]]:
    """Return a FLAIR image (x, y, z) on the grid of the T1-weighted `image`, and a note if it was moved there.

    An image on another grid is aligned rigidly and interpolated by cubic splines.

    Raises
    ------
    InputError
        If the alignment misses a limit of its check, as it does for two heads.
    DeviceError
        If the images lie on two grids and the package antspyx is not installed.
    """
    fixed, moving = (
        np.ascontiguousarray(to_numpy(one.array), dtype=np.float32).reshape(one.grid.shape)
        for one in (image, flair)
    )
    if flair.grid.matches(image.grid):
        return moving, []
    found = align(fixed, image.grid, moving, flair.grid, "rigid")
    if found.problems:
        raise InputError(
            f"does not align with the T1-weighted image ({'; '.join(found.problems)})", field="flair"
        )
    note = f"FLAIR: aligned with the T1-weighted image (edges agree by {found.agreement.edges:.2f})"
    return bring(moving, flair.grid, image.grid, found.transform, order=3), [note]
