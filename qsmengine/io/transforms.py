"""Spatial transforms in the files of ITK: matrices as text, displacements as NIfTI images of vectors.

ITK's coordinates point left, posterior, and superior (LPS+); ANTs, SimpleITK, and 3D Slicer read these files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.grid import LPS, FloatArray, Grid
from qsmengine.io.atomic import write_text
from qsmengine.io.nifti import DISPLACEMENT, write_image

HEADER = "#Insight Transform File V1.0"


def write_matrix(path: str | Path, matrix: FloatArray) -> None:
    """Write a (4, 4) transform between points in scanner coordinates [mm] as an ITK text file."""
    turned = LPS @ matrix @ LPS
    numbers = " ".join(f"{value:.17g}" for value in [*turned[:3, :3].ravel(), *turned[:3, 3]])
    lines = [HEADER, "#Transform 0", "Transform: AffineTransform_double_3_3", f"Parameters: {numbers}",
             "FixedParameters: 0 0 0"]  # fmt: skip
    write_text(path, "\n".join(lines) + "\n")


def read_matrix(path: str | Path) -> FloatArray:
    """Read a matrix that ITK or :func:`write_matrix` wrote as text, (4, 4) [mm] in scanner coordinates.

    Raises
    ------
    InputError
        If the file is not one affine or rigid matrix of ITK in text form.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        rows = dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
        numbers = np.array(rows["Parameters"].split(), dtype=np.float64)
        centre = np.array(rows.get("FixedParameters", "0 0 0").split(), dtype=np.float64)
    except (UnicodeDecodeError, ValueError, KeyError) as error:
        raise InputError("is not a transform of ITK in text form", source=path) from error
    if numbers.shape != (12,) or centre.shape != (3,) or not np.isfinite([*numbers, *centre]).all():
        raise InputError("is not an affine transform of ITK: 12 numbers and a centre are needed", source=path)
    matrix = np.eye(4)
    matrix[:3, :3] = numbers[:9].reshape(3, 3)
    matrix[:3, 3] = numbers[9:] + centre - matrix[:3, :3] @ centre
    return np.asarray(LPS @ matrix @ LPS, dtype=np.float64)


def write_displacement(path: str | Path, field: npt.NDArray[np.float32], grid: Grid) -> None:
    """Write displacements (x, y, z, 3) [mm] along the scanner's axes as an ITK displacement field."""
    write_image(path, field * np.diag(LPS)[:3].astype(np.float32), grid, intent=DISPLACEMENT)
