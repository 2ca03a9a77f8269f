"""A head that is the template of the atlases, turned, moved, and enlarged."""

from __future__ import annotations

from functools import cache

import numpy as np

from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.transforms import Transform, Warp
from qsmengine.phantom.structural import rotation_matrix
from qsmengine.sessions.atlas import read_template
from qsmengine.stages.anatomy.atlas import CHI, RIGHT, SHARED, Head, Template
from qsmengine.stats.labels.tables import ATLASES, atlas_image, template_image

POSE = np.eye(4)
POSE[:3, :3], POSE[:3, 3] = 1.08 * rotation_matrix((6.0, -4.0, 9.0)), (4.0, -7.0, 3.0)
"""Template -> head [mm]."""
TO_IMAGE = np.eye(4)
TO_IMAGE[:3, :3], TO_IMAGE[:3, 3] = rotation_matrix((0.0, 5.0, -3.0)), (2.0, 1.0, -4.0)
"""Susceptibility map -> T1-weighted image [mm]."""


@cache
def template() -> Template:
    """Return the bundled template and atlases."""
    return read_template(template_image(), {name: atlas_image(name) for name in ATLASES})


def structures() -> np.ndarray:
    """Return the structures of the network on the grid of the template, taken from the atlases."""
    labels = np.zeros(template().grid.shape, np.int16)
    for one in SHARED:
        for side in (0, 1):
            labels[np.isin(template().atlases[one.atlas], one.nuclei[side])] = one.network[side][0]
    return labels


def thinned(number: int) -> np.ndarray:
    """Return the structures of the network, of which one has every fifth slice only."""
    labels = structures()
    sparse = np.arange(labels.shape[2]) % 5 > 0
    labels[(labels == number) & sparse] = 0
    return labels


def chi() -> np.ndarray:
    """Return the nominal susceptibility [ppm] on the grid of the template."""
    drawn = np.full(template().grid.shape, -0.03, np.float32)
    for name in sorted(CHI, reverse=True):
        for label, value in CHI[name].items():
            drawn[np.isin(template().atlases[name], (label, label + RIGHT[name]))] = value
    return drawn


def moved(matrix: np.ndarray) -> Grid:
    """Return the template's grid moved by a matrix."""
    grid = template().grid
    return Grid(grid.shape, matrix @ grid.affine, 3.0)


def straight(_channels: object, fixed: Grid, _moving: Grid, start: FloatArray) -> Transform:
    """Return the start with a warp that displaces nothing."""
    warp = Warp(np.zeros((*fixed.shape, 3), np.float32), fixed)
    return Transform(start, warp, warp)


def head(labels: np.ndarray | None = None, *, step: int = 1) -> Head:
    """Return the head; `labels` replace the network's structures, the map has every `step`-th voxel."""
    fine = moved(POSE)
    coarse = Grid(chi()[::step, ::step, ::step].shape, fine.affine @ np.diag([step, step, step, 1.0]), 3.0)
    return Head(
        image=template().image,
        structures=structures() if labels is None else labels,
        grid=moved(TO_IMAGE @ POSE),
        to_image=Transform(TO_IMAGE),
        chi=chi()[::step, ::step, ::step],
        chi_grid=coarse,
    )
