"""Connected parts of masks, against SciPy's labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from qsmengine.backend.device import to_numpy
from qsmengine.ops.components import connected_to_border, filled, largest_component, largest_components
from tests.ops.masks import SHAPES, masks


def sizes_of(mask):
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels, sizes


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_largest_component_is_the_first_of_the_largest_labels(shape, device, rng):
    for mask in masks(shape, rng):
        labels, sizes = sizes_of(mask)
        expected = (labels == sizes.argmax()) & mask
        np.testing.assert_array_equal(to_numpy(largest_component(device.asarray(mask, bool), device)), expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_largest_components_are_few_and_large(shape, device, rng):
    for mask in masks(shape, rng):
        labels, sizes = sizes_of(mask)
        kept = np.argsort(sizes, kind="stable")[::-1][:3]
        kept = kept[sizes[kept] >= 0.2 * sizes.max()]
        found = to_numpy(largest_components(device.asarray(mask, bool), 3, 0.2, device))
        np.testing.assert_array_equal(found, np.isin(labels, kept) & mask)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_filling_is_that_of_scipy(shape, device, rng):
    for mask in masks(shape, rng):
        placed = device.asarray(mask, bool)
        np.testing.assert_array_equal(to_numpy(filled(placed, device)), ndimage.binary_fill_holes(mask))
        outside = to_numpy(connected_to_border(~placed, device))
        np.testing.assert_array_equal(outside, ~ndimage.binary_fill_holes(mask))


def test_winding_part_across_long_rows_is_one(device):
    mask = np.zeros((9, 9, 600), bool)
    mask[::2, ::2] = True
    for x in range(0, 9, 2):
        for y in range(1, 9, 2):
            mask[x, y, 0 if (x + y) % 4 == 1 else -1] = True
    for x in range(1, 9, 2):
        mask[x, 0 if x % 4 == 1 else -1, 300] = True
    mask[0, 0, 255:257] = False
    labels, sizes = sizes_of(mask)
    found = to_numpy(largest_component(device.asarray(mask, bool), device))
    np.testing.assert_array_equal(found, labels == sizes.argmax())
    assert found.sum() < mask.sum()
