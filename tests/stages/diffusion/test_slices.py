"""Slices that lost signal, and the mask of the b = 0 volumes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.data import DwiSeries
from qsmengine.errors import InputError
from qsmengine.phantom.scheme import default_scheme
from qsmengine.stages.diffusion.slices import SliceParams, b0_mask, outlier_slices, same_b
from tests.stages.diffusion.moving import motions, moved_series, smooth_head


def series(rng, degrees=2.0) -> tuple[Any, Any]:
    grid, mask, s0, tensor = smooth_head(rng)
    b, g = default_scheme(20, 1000.0, 4)
    return moved_series(tensor, s0, b, g, grid, motions(rng, grid, 24, degrees, 2.0), rng, 0.01), mask


def test_lost_slices_are_found_among_moving_volumes(rng):
    dwi, mask = series(rng)
    lost = [(7, 12), (7, 13), (15, 20), (2, 16)]
    for volume, z in lost:
        dwi.signal[:, :, z, volume] *= 0.5
    found = outlier_slices(dwi, mask, SliceParams())
    assert sorted(map(tuple, np.argwhere(found.outlier).tolist())) == sorted(lost)
    assert all(found.score[place] < -4 for place in lost)


def test_nothing_is_lost_in_a_sound_series(rng):
    assert not outlier_slices(*series(rng), SliceParams()).outlier.any()


def test_small_losses_count_by_the_part_that_is_missing(rng):
    dwi, mask = series(rng, 0.0)
    dwi.signal[:, :, 15, 9] *= 0.8
    assert not outlier_slices(dwi, mask, SliceParams(least_loss=0.3)).outlier.any()
    assert outlier_slices(dwi, mask, SliceParams()).outlier[9, 15]


def test_volumes_are_grouped_by_b():
    b = np.array([5.0, 1000, 0, 2000, 995, 2010, 30])
    groups = same_b(b, b <= 50)
    assert [group.tolist() for group in groups] == [[0, 2, 6], [1, 4], [3, 5]]


def test_mask_is_the_head(rng):
    dwi, mask = series(rng, 0.0)
    found = b0_mask(dwi)
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.93
    weighted = DwiSeries(dwi.signal[..., 4:], dwi.b_values[4:], dwi.b_vectors[4:], dwi.grid)
    with pytest.raises(InputError, match="no volume counts as b = 0"):
        b0_mask(weighted)
