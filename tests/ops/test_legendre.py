"""Products of Legendre polynomials over a mask."""

from __future__ import annotations

import numpy as np
from numpy.polynomial.legendre import legval

from qsmengine.ops.legendre import LegendreBasis, spread_voxels
from tests.stages.gre import DEVICE

SHAPE = (12, 13, 14)


def mask_of():
    mask = np.zeros(SHAPE, bool)
    mask[2:11, 1:12, 3:13] = True
    return mask


def test_the_image_is_the_sum_of_the_columns():
    basis = LegendreBasis.over(mask_of(), 3)
    assert len(basis.powers) == 20
    assert basis.powers[0] == (0, 0, 0)
    coefficients = np.random.default_rng(1).normal(size=20)
    image = basis.image(coefficients, DEVICE)
    voxels = np.nonzero(mask_of())
    np.testing.assert_allclose(image[voxels], coefficients @ basis.columns(voxels), rtol=1e-5, atol=1e-5)


def test_products_are_scaled_to_the_box_of_the_mask():
    basis = LegendreBasis.over(mask_of(), 2)
    column = basis.columns(np.nonzero(mask_of()))[basis.powers.index((2, 0, 0))]
    u = np.linspace(-1, 1, 9)[np.nonzero(mask_of())[0] - 2]
    np.testing.assert_allclose(column, legval(u, [0, 0, 1]), atol=1e-12)


def test_a_mask_of_one_plane_has_finite_products():
    mask = np.zeros(SHAPE, bool)
    mask[5, 2:9, 4:8] = True
    basis = LegendreBasis.over(mask, 3)
    assert np.isfinite(basis.columns(np.nonzero(mask))).all()


def test_voxels_are_spread_evenly():
    mask = mask_of()
    few = spread_voxels(mask, 100)
    assert mask[few].all()
    assert 50 < len(few[0]) <= 100
    assert len(spread_voxels(mask, 10_000)[0]) == mask.sum()
