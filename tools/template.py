"""`python -m tools template T1.nii.gz`: measure the template of the head's size.

T1.nii.gz is the brain of the template, ICBM 152 2009a symmetric, 0 outside the cranial cavity. The results are
the centres of its structures, and the distances of the borders of cavity and brain mask in directions above the
base of the skull.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from qsmengine.backend.device import resolve_device
from qsmengine.grid import FloatArray, Grid
from qsmengine.io.nifti import read_image
from qsmengine.stages.anatomy import head_size
from qsmengine.stages.anatomy.head_size import MIDDLE, centres_of
from qsmengine.stages.anatomy.segmentation import segment
from qsmengine.stages.anatomy.structures import sides

FOLDER = Path(head_size.__file__).parent / "data"
DIRECTIONS = 800
"""Directions all around, of which those above `LOWEST` are kept."""
LOWEST = 15.0
"""Least elevation [degrees]."""
STEP, REACH = 0.05, 130.0
"""Distance of the points of a ray, and its length [mm]."""


def main(argv: list[str]) -> int:
    arguments = argparse.ArgumentParser(prog="python -m tools template", description=__doc__)
    arguments.add_argument("image", type=Path, help="T1-weighted brain of the template")
    options = arguments.parse_args(argv)
    array, grid = read_image(options.image, dtype=np.float32)[:2]
    found = segment(array, grid, resolve_device("cpu"))
    centres = centres_of(found, sides(found))
    lines = ["structure\tx\ty\tz", *(f"{n}\t" + "\t".join(f"{x:.1f}" for x in c) for n, c in centres.items())]
    (FOLDER / "mni152_centres.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rays = directions()
    table = np.column_stack([rays, borders(array > 0, grid, rays), borders(found.brain, grid, rays)])
    lines = ["x\ty\tz\tcavity\tbrain", *("\t".join(f"{number:.4g}" for number in row) for row in table)]
    (FOLDER / "mni152_borders.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(rays)} directions; cavity {(array > 0).sum() * grid.voxel_volume:.0f} mm^3")
    return 0


def directions() -> FloatArray:
    """Return evenly spread unit vectors (ray, 3) above `LOWEST`: a Fibonacci lattice."""
    z = 1 - (2 * np.arange(DIRECTIONS) + 1) / DIRECTIONS
    turn = np.pi * (1 + np.sqrt(5)) * (np.arange(DIRECTIONS) + 0.5)
    flat = np.sqrt(1 - z * z)
    rays = np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)
    return np.asarray(rays[z > np.sin(np.deg2rad(LOWEST))], dtype=np.float64)


def borders(inside: np.ndarray, grid: Grid, rays: FloatArray) -> FloatArray:
    """Return the distance (ray,) [mm] of the last point inside the cavity."""
    from scipy.ndimage import map_coordinates

    radius = np.arange(0, REACH, STEP)
    inverse = np.linalg.inv(grid.affine)
    points = MIDDLE + radius[None, :, None] * rays[:, None, :]
    voxels = np.moveaxis(points @ inverse[:3, :3].T + inverse[:3, 3], -1, 0)
    within = map_coordinates(inside.astype(np.float32), voxels, order=1) > 0.5
    return np.asarray(radius[len(radius) - 1 - within[:, ::-1].argmax(axis=1)])
