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


def _placed(labels, grid, target, fluid=0.0, scaling=1.0):
    """Labels on the grid of an image without contrast."""
    found = Segmentation(_classes(labels), grid, np.zeros(target.shape, bool))
    even, wet = np.ones(target.shape, np.float32), np.zeros(target.shape, np.float32) + np.float32(fluid)
    return place(labels, found, target, Tissues(even, even, even, wet), scaling)


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


def _without(labels, label, share):
    """Labels without a share of the voxels of one of them, from one end."""
    places = np.argwhere(labels == label)
    out = labels.copy()
    out[tuple(places[: round(share * len(places))].T)] = 0
    return out


def _of(labels, name, scaling=1.0):
    grid = _head()[0]
    return next(s for s in _placed(labels, grid, grid, scaling=scaling).volumes if s.name == name)


def test_plausible_volumes_are_neither_unreliable_nor_unusual():
    thalamus = _of(_head()[1], "thalamus", scaling=1.3)
    assert (thalamus.problems, thalamus.remarks) == ((), ())


@pytest.mark.parametrize(("left", "right", "words"), [(0.25, 0.25, "at the size"), (0.3, 0.0, "differ by")])
def test_atrophy_is_remarked_and_stays(left, right, words):
    labels = _without(_without(_head()[1], 10, left), 49, right)
    thalamus = _of(labels, "thalamus", scaling=1.2)
    assert thalamus.problems == ()
    assert words in "".join(thalamus.remarks)


@pytest.mark.parametrize(
    ("left", "right", "scaling", "words"),
    [(1.0, 0.0, 1.2, "differ by 200 %"), (0.5, 0.0, 1.2, "differ by 6"), (0.8, 0.8, 1.2, "not 8 to 32"),
     (0.0, 0.0, 2.4, "not 8 to 32"), (1.0, 1.0, 1.2, "not 8 to 32")],
)  # fmt: skip
def test_failed_segmentations_are_not_reliable(left, right, scaling, words):
    labels = _without(_without(_head()[1], 10, left), 49, right)
    assert words in "".join(_of(labels, "thalamus", scaling).problems)


def test_the_limits_follow_the_size_of_the_head():
    half = _without(_without(_head()[1], 10, 0.6), 49, 0.6)
    assert _of(half, "thalamus", scaling=1.2).problems
    assert not _of(half, "thalamus", scaling=2.0).problems
    unknown = "".join(_of(half, "thalamus", scaling=None).problems)
    assert "template" not in unknown
    assert "not 6.15 to 24.6" in unknown


def test_nothing_found_gives_no_labels_and_no_reliable_volume():
    grid, labels = _head()
    placed = _placed(np.zeros_like(labels), grid, grid)
    assert not placed.labels.any()
    assert all(s.volume == 0 and s.problems for s in placed.volumes)
    assert len(placed.volumes) == len(NUMBERS)
