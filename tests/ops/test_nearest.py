"""Nearest known voxels of gaps, against SciPy's feature transform."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_fill_holes, distance_transform_edt, uniform_filter

from qsmengine.backend.device import to_numpy
from qsmengine.ops.nearest import nearest_known


def gaps_of(device, known):
    gap = binary_fill_holes(known) & ~known
    found = nearest_known(device.asarray(known, bool), device.asarray(gap, bool), device)
    return gap, to_numpy(found)


def test_nearest_is_that_of_an_exact_feature_transform_ties_included(device, rng):
    seen = 0
    for width in (1, 3, 5):
        for _ in range(10):
            known = uniform_filter(rng.random((19, 17, 23)), width) < (0.7 if width == 1 else 0.52)
            gap, found = gaps_of(device, known)
            places = distance_transform_edt(~known, return_distances=False, return_indices=True)
            expected = np.ravel_multi_index(tuple(places), known.shape)
            np.testing.assert_array_equal(found[gap], expected[gap])
            seen += gap.sum()
    assert seen > 5000


def test_centre_of_a_hollow_ball_takes_the_lowest_place(device):
    distance = np.linalg.norm(np.moveaxis(np.indices((41, 41, 41)), 0, -1) - 20.0, axis=-1)
    known = (distance >= 15) & (distance < 19)
    gap, found = gaps_of(device, known)
    assert gap[20, 20, 20]
    assert np.unravel_index(found[20, 20, 20], known.shape) == (20, 20, 5)


def test_known_voxels_are_their_own_and_others_have_none(device):
    known = np.zeros((5, 5, 5), bool)
    known[1:4, 1:4, 1:4] = True
    known[2, 2, 2] = False
    _, found = gaps_of(device, known)
    np.testing.assert_array_equal(found[known], np.flatnonzero(known))
    assert found[2, 2, 2] == np.ravel_multi_index((2, 2, 1), known.shape)
    assert (found[0] == -1).all()
