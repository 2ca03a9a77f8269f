from typing import Any

import numpy as np
import pytest

from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.phantom.labels import HeadIndex, Region
from qsmengine.phantom.refine import coarser_grid, refine_head, refined_grid

REGIONS = tuple(Region(n, f"region {n}", "n/a", "csf", brain=True) for n in range(4))


def head(index):
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (3, -5, 7)
    return HeadIndex(np.asarray(index, np.uint8), REGIONS, Grid(index.shape, affine))


def test_without_smoothing_every_voxel_is_repeated(rng):
    coarse = head(rng.integers(0, 4, (7, 6, 5)))
    fine = refine_head(coarse, 3, 0.0)
    for offset in np.ndindex(3, 3, 3):
        np.testing.assert_array_equal(fine.index[tuple(slice(o, None, 3) for o in offset)], coarse.index)


def test_a_ball_becomes_rounder_and_keeps_its_volume():
    away = np.moveaxis(np.indices((40, 40, 40)), 0, -1) - [19.7, 20.2, 19.5]
    ball = (np.linalg.norm(away, axis=-1) < 11).astype(np.uint8)
    fine_away = (np.moveaxis(np.indices((80, 80, 80)), 0, -1) + 0.5) / 2 - 0.5 - [19.7, 20.2, 19.5]
    true = np.linalg.norm(fine_away, axis=-1) < 11
    smooth, stairs = (refine_head(head(ball), 2, s).index == 1 for s in (0.6, 0.0))
    assert smooth.sum() == pytest.approx(true.sum(), rel=0.02)
    assert (smooth != true).sum() < 0.7 * (stairs != true).sum()


@pytest.mark.parametrize("axis", range(3))
def test_sheets_of_one_voxel_survive(axis):
    index = np.zeros((24, 21, 22), np.uint8)
    sheet: list[Any] = [slice(None)] * 3
    sheet[axis] = 10
    index[tuple(sheet)] = 2
    fine = refine_head(head(index), 2).index == 2
    assert fine.sum() == 8 * (index == 2).sum()


def test_a_large_label_map_is_refined_like_its_parts(rng):
    """Blocks of the computation leave no seams."""
    index = np.repeat(np.repeat(rng.integers(0, 4, (14, 13, 12)), 3, 0), 3, 1)
    whole = refine_head(head(index), 2).index
    part = refine_head(head(index[5:35, 4:36]), 2).index
    np.testing.assert_array_equal(whole[18:62, 16:64], part[8:52, 8:56])


def test_fine_voxels_fill_the_coarse_ones():
    coarse = Grid((4, 5, 6), np.array([[0, 0, 2.0, 1], [1.5, 0, 0, 2], [0, 1.0, 0, 3], [0, 0, 0, 1]]))
    fine = refined_grid(coarse, 2)
    assert fine.shape == (8, 10, 12)
    corner = fine.affine @ [-0.5, -0.5, -0.5, 1]
    np.testing.assert_allclose(corner, coarse.affine @ [-0.5, -0.5, -0.5, 1])
    back = coarser_grid(fine, 2)
    assert back.shape == coarse.shape
    np.testing.assert_allclose(back.affine, coarse.affine)


def test_impossible_values_are_refused():
    small = head(np.zeros((3, 3, 3)))
    with pytest.raises(UsageError, match="subdivision"):
        refine_head(small, 0)
    with pytest.raises(UsageError, match="smoothing"):
        refine_head(small, 2, 0.9)
