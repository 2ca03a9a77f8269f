"""Erosion, dilation and closing by a ball, against SciPy's exact distance transform."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from qsmengine.backend.device import to_numpy
from qsmengine.errors import UsageError
from qsmengine.ops.morphology import MAX_REACH, closed, dilated, eroded
from tests.ops.masks import SHAPES, masks

SIZES = [(1.0, 1.0, 1.0), (0.7, 0.7, 2.1), (3.0, 0.5, 0.9)]
RADII = [0.4, 1.0, 2.1, 3.0, 5.0]


def reference(mask, radius, voxel_size):
    return mask if mask.all() else distance_transform_edt(mask, sampling=voxel_size) > radius


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_erosion_and_dilation_are_those_of_an_exact_distance_transform(shape, device, rng):
    for mask in masks(shape, rng):
        placed = device.asarray(mask, bool)
        for size in SIZES:
            for radius in RADII:
                found = to_numpy(eroded(placed, radius, size, device))
                np.testing.assert_array_equal(found, reference(mask, radius, size))
                found = to_numpy(dilated(placed, radius, size, device))
                np.testing.assert_array_equal(found, ~reference(~mask, radius, size))


def test_voxels_at_exactly_the_radius_are_eroded(device):
    mask = np.ones((9, 9, 9), bool)
    mask[4, 4, 4] = False
    kept = to_numpy(eroded(device.asarray(mask, bool), 2.1, (0.7, 0.7, 0.7), device))
    assert not kept[4, 4, 1]
    assert not kept[1, 4, 4]
    assert kept[4, 4, 0]
    assert kept[4, 3, 1]


def test_closing_keeps_the_mask_and_closes_narrow_gaps_only(device):
    mask = np.zeros((30, 9, 9), bool)
    mask[4:10], mask[13:18], mask[27:] = True, True, True
    gaps = to_numpy(closed(device.asarray(mask, bool), 2.0, (1.0, 1.0, 1.0), device))
    assert gaps[4:18].all()
    assert not gaps[20:25].any()
    assert gaps[mask].all()


def test_radius_of_0_changes_nothing(device, rng):
    mask = device.asarray(rng.random((5, 6, 7)) > 0.5, bool)
    for change in (eroded, dilated, closed):
        np.testing.assert_array_equal(to_numpy(change(mask, 0.0, (1.0, 1.0, 1.0), device)), to_numpy(mask))


def test_radius_beyond_the_bytes_of_a_distance_is_an_error(device):
    mask = device.asarray(np.zeros((1, 1, MAX_REACH + 2), bool), bool)
    assert not to_numpy(eroded(mask, float(MAX_REACH), (1.0, 1.0, 1.0), device)).any()
    with pytest.raises(UsageError, match="254 voxels"):
        eroded(mask, float(MAX_REACH + 1), (1.0, 1.0, 1.0), device)
