"""Loading of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io._clean import zero_nonfinite
from qsmengine.io.nifti import read_image

SMALL_MASK = 1000
"""Number of voxels below which a mask gets a note."""


def load_mask(path: str | Path, grid: Grid) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """Load a mask on `grid`; values above 0.5 are inside.

    Returns
    -------
    mask, notes
        (x, y, z) bool, C-contiguous; decisions.

    Raises
    ------
    InputError
        If shape or position differ from the grid's, or if the mask is empty.
    """
    path = Path(path)
    image = read_image(path)
    check_same_grid(image.grid, grid, path, "the image")
    notes = list(image.header.notes)
    values = image.array
    if values.ndim != 3:
        raise InputError(f"a mask has three dimensions, this has shape {values.shape}", source=path)
    unknown = np.isnan(values)
    if unknown.any():
        notes.append(f"{path}: {int(np.count_nonzero(unknown))} NaN values taken as outside the mask")
        values = np.where(unknown, np.float32(0), values)
    zero_nonfinite(values, "mask", path, notes)
    mask = np.ascontiguousarray(values > 0.5)
    count = int(np.count_nonzero(mask))
    if count == 0:
        raise InputError(f"empty mask: no value above 0.5 (largest {values.max():g})", source=path)
    if not ((values == 0) | (values == 1)).all():
        notes.append(f"{path}: values {values.min():g} .. {values.max():g} binarised above 0.5")
    if count == mask.size:
        notes.append(f"{path}: the mask covers the whole image")
    elif count < SMALL_MASK:
        notes.append(f"{path}: the mask has only {count} voxels")
    return mask, notes
