"""Sides, placement and plausibility of deep grey matter."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from qsmengine.grid import Grid
from qsmengine.phantom.structural import rotation_matrix
from qsmengine.stages.anatomy.refinement import Tissues
from qsmengine.stages.anatomy.structures import (
    LEFT_DOWN_FORWARD,
    NUMBERS,
    STRUCTURES,
    Segmentation,
    place,
    sides,
)

CENTRES = {"thalamus": (12, -18, 8), "caudate": (14, 10, 12), "putamen": (26, 2, 2), "pallidum": (19, -4, 0),
           "hippocampus": (26, -22, -14), "amygdala": (23, -4, -20), "accumbens": (9, 11, -7)}  # fmt: skip
RADII = {"thalamus": 12, "caudate": 9, "putamen": 10, "pallidum": 7, "hippocampus": 9, "amygdala": 7,
         "accumbens": 4.5}  # fmt: skip
SPACING = 2.0


@cache
def _head(degrees=(0.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0)):
    """Grid with the axes of the network, and labels (x, y, z) of a tilted and shifted head."""
    affine = np.eye(4)
    affine[:3, :3] = LEFT_DOWN_FORWARD * SPACING
    affine[:3, 3] = (60 + shift[0], -60 + shift[1], 50 + shift[2])
    grid = Grid((60, 50, 64), affine, 3.0)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    points = index @ affine[:3, :3].T + affine[:3, 3] - shift
    points = points @ rotation_matrix(degrees)
    labels = np.zeros(grid.shape, np.uint8)
    for s in sorted(STRUCTURES, key=lambda s: -RADII[s.name]):
        for side, label in ((-1, s.left), (1, s.right)):
            centre = np.array(CENTRES[s.name]) * [side, 1, 1]
            labels[((points - centre) ** 2).sum(axis=-1) < RADII[s.name] ** 2] = label
    return grid, labels


def _placed(labels, grid, target, fluid=0.0):
    """Labels on the grid of an image without contrast."""
    found = Segmentation(_classes(labels), grid, np.zeros(target.shape, bool))
    even, wet = np.ones(target.shape, np.float32), np.zeros(target.shape, np.float32) + np.float32(fluid)
    return place(labels, found, target, Tissues(even, even, even, wet))


def _classes(labels):
    lookup = np.zeros(256, np.uint8)
    for s in STRUCTURES:
        lookup[[s.left, s.right]] = s.number
    return lookup[labels]


@pytest.mark.parametrize("degrees", [(0.0, 0.0, 0.0), (10.0, 8.0, -12.0), (-6.0, -14.0, 9.0)])
def test_sides_are_told_apart_in_a_tilted_and_shifted_head(degrees):
    grid, labels = _head(degrees, (14.0, -6.0, 9.0))
    found = sides(Segmentation(_classes(labels), grid, np.zeros(grid.shape, bool)))
    wrong = (found != labels)[labels > 0]
    assert wrong.mean() < 1e-3


def test_volumes_do_not_depend_on_the_grid_of_the_image():
    grid, labels = _head()
    affine = np.eye(4)
    affine[:3, :3] = rotation_matrix((5, 10, 15)) @ np.diag([1.3, 1.6, 1.7])
    affine[:3, 3] = (-70, -70, -60)
    target = Grid((110, 90, 90), affine, 3.0)
    placed = _placed(labels, grid, target)
    for s in placed.volumes:
        true = float((labels == s.label).sum()) * SPACING**3
        assert s.volume == pytest.approx(true, rel=0.06)
        assert (placed.labels == s.label).sum() * target.voxel_volume == pytest.approx(true, rel=0.25)


def test_voxels_of_fluid_are_left_out():
    grid, labels = _head()
    fluid = np.zeros(grid.shape, np.float32)
    caudate = np.argwhere(labels == 11)
    fluid[tuple(caudate[: len(caudate) // 2].T)] = 0.8
    placed = _placed(labels, grid, grid, fluid)
    assert next(s.volume for s in placed.volumes if s.label == 11) == pytest.approx(
        SPACING**3 * len(caudate) / 2, rel=0.02
    )
    assert not placed.labels[fluid > 0.5].any()


def test_implausible_volumes_and_asymmetry_are_not_reliable():
    grid, labels = _head()
    good = _placed(labels, grid, grid)
    assert not any(s.problems for s in good.volumes if s.name in {"thalamus", "putamen", "hippocampus"})
    half = labels.copy()
    half[(labels == 51) & (np.indices(labels.shape)[1] % 4 == 0)] = 0
    problems = {s.name: s.problems for s in _placed(half, grid, grid).volumes}
    assert any("differ by more than 15 %" in text for text in problems["putamen"])
    missing = _placed(np.where(labels == 10, 0, labels).astype(np.uint8), grid, grid)
    thalamus = next(s for s in missing.volumes if s.name == "thalamus")
    assert any("not 9 to 24" in text for text in thalamus.problems)


def test_nothing_found_gives_no_labels_and_no_reliable_volume():
    grid, labels = _head()
    placed = _placed(np.zeros_like(labels), grid, grid)
    assert not placed.labels.any()
    assert all(s.volume == 0 and s.problems for s in placed.volumes)
    assert len(placed.volumes) == len(NUMBERS)
