"""DICOM studies of any orientation, and maps on their grids."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from qsmengine.grid import LPS, Grid
from qsmengine.io.nifti import write_image
from tests.cohort.dicom_making import SPACING, Study

SHAPE = (12, 10, 4)
ORIGIN = (-6.0, -7.5, -4.0)


def rotation(axis: int, degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    i, j = (k for k in range(3) if k != axis)
    turn = np.eye(3)
    turn[i, i] = turn[j, j] = np.cos(angle)
    turn[j, i] = np.sin(angle)
    turn[i, j] = -turn[j, i]
    return turn


ORIENTATIONS = {
    "axial": np.eye(3),
    "oblique": rotation(0, 20) @ rotation(1, -15) @ rotation(2, 5),
    "sagittal": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "flipped": np.diag([-1.0, -1.0, 1.0]),
}
"""Directions of columns, rows and slices in DICOM coordinates (left, posterior, superior)."""


def placed(axes: np.ndarray, slices: int, origin: Sequence[float] = ORIGIN, step: float = SPACING[2]) -> Any:
    """Return the edit of a study that gives its slices these axes."""
    normal = np.cross(axes[:, 0], axes[:, 1])

    def edit(dataset: Dataset, _: int) -> None:
        index = (int(dataset.InstanceNumber) - 1) % slices
        dataset.ImageOrientationPatient = [f"{value:.12g}" for value in (*axes[:, 0], *axes[:, 1])]
        dataset.ImagePositionPatient = [f"{value:.10g}" for value in np.add(origin, index * step * normal)]

    return edit


def grid_of(axes: np.ndarray) -> Grid:
    """Return the grid that dcm2niix gives the series: columns, rows from below, slices."""
    affine = np.eye(4)
    affine[:3, :3] = axes * SPACING
    affine[:3, 3] = ORIGIN
    affine = LPS @ affine
    affine[:3, 3] += (SHAPE[1] - 1) * affine[:3, 1]
    affine[:3, 1] *= -1
    return Grid(SHAPE, affine)


def make_study(folder: Path, name: str = "axial") -> Study:
    """Write magnitude and phase of two echoes."""
    study = Study(folder)
    times, edit = (6.0, 14.0), placed(ORIENTATIONS[name], SHAPE[2])
    study.write(description="gre", echo_times=times, image_type=("ORIGINAL", "PRIMARY", "P", "ND"), edit=edit)
    study.write(description="gre", echo_times=times, edit=edit)
    return study


def write_map(path: Path, array: np.ndarray, grid: Grid, **sidecar: object) -> Path:
    write_image(path, array, grid)
    path.with_name(path.name.removesuffix(".nii.gz") + ".json").write_text(json.dumps(sidecar))
    return path


def chi_map(folder: Path, grid: Grid, seed: int = 0) -> tuple[Path, np.ndarray]:
    """Write a susceptibility map [ppm] with a border of zeros; return its file and values."""
    chi = (0.05 * np.random.default_rng(seed).standard_normal(grid.shape)).astype(np.float32)
    chi[:2] = 0
    return write_map(folder / "sub-01_Chimap.nii.gz", chi, grid, Units="ppm", SkullStripped=True), chi


def complaints(path: Path) -> list[str]:
    """Return the errors that dciodvfy of dicom3tools finds in an object."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (package dicom3tools)")
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "no verdict"
    return [line for line in lines if line.startswith("Error")]
