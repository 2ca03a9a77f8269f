"""Structural images: one 3-D image per series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.header import check_stored_size, read_header
from qsmengine.io.nifti import read_image

SHEAR = 0.01
"""Largest cosine between voxel axes."""
NEAR_ZERO, NEGATIVE = 0.02, 0.01
"""Part of the 98th percentile to which interpolation undershoots, and share of voxels that may lie below."""
THICKEST, LEAST = 5.0, 16
"""Largest voxel edge [mm], and least number of voxels along each axis."""


@dataclass(frozen=True)
class StructuralFile:
    """Structural image on disk whose header was checked; its voxels are not read."""

    path: Path
    grid: Grid
    notes: tuple[str, ...] = ()

    @property
    def n_volumes(self) -> int:
        """Number of volumes: 1."""
        return 1

    @property
    def sources(self) -> tuple[Path, ...]:
        """The image."""
        return (self.path,)


def open_structural(path: Path) -> StructuralFile:
    """Read the header of a structural image (x, y, z).

    Raises
    ------
    InputError
        Naming the file and the field, for an image that is not 3-D, has less than 16 voxels along an axis,
        voxel edges above 5 mm, or sheared voxels.
    """
    header, grid = read_header(path)
    check_stored_size(header)
    if len(header.shape) > 3 and any(n > 1 for n in header.shape[3:]):
        raise InputError(f"has {header.shape[3]} volumes, one is needed", source=str(path), field="dim")
    if min(grid.shape) < LEAST:
        raise InputError(
            f"{grid.shape} voxels; at least {LEAST} along each axis are needed", source=str(path), field="dim"
        )
    if max(grid.voxel_edges) > THICKEST:
        raise InputError(
            f"voxels of {max(grid.voxel_edges):.3g} mm; at most {THICKEST:g} mm resolve the brain's structures",
            source=str(path), field="pixdim",
        )  # fmt: skip
    if np.abs(grid.axes.T @ grid.axes - np.eye(3)).max() > SHEAR:
        raise InputError(
            "voxel axes are not perpendicular; resample the image", source=str(path), field="affine"
        )
    return StructuralFile(path, grid)


def read_structural(file: StructuralFile) -> npt.NDArray[np.float32]:
    """Return the image (x, y, z).

    Raises
    ------
    InputError
        Naming the file, for values that are not finite, and many below 0: the tissue classes need magnitudes,
        and a constant taken from them changes the volumes.
    """
    image = read_image(file.path).array
    array = np.ascontiguousarray(image.reshape(file.grid.shape), dtype=np.float32)
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise InputError(f"{count} voxels are not finite", source=str(file.path), field="data")
    limit = -NEAR_ZERO * float(np.percentile(np.abs(array), 98))
    negative = float(np.mean(array < limit, dtype=np.float64))
    if negative > NEGATIVE:
        raise InputError(
            f"{100 * negative:.0f} % of the voxels are negative: give the magnitude as it was reconstructed, "
            "not shifted or normalised to its mean",
            source=str(file.path),
            field="data",
        )
    return array
