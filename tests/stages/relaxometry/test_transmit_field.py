"""B1 from two images, and from R1 itself."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.stages.relaxometry.sharpened_field import SharpeningParams, sharpening
from qsmengine.stages.relaxometry.transmit_field import (
    AfiParams,
    DoubleAngleParams,
    EntropyParams,
    afi,
    double_angle,
    entropy,
    minimum_entropy,
)
from tests.stages.gre import DEVICE, grid_of

SHAPE = (40, 42, 38)


@pytest.fixture(scope="module")
def brain():
    """R1 of three tissues in random blobs with 3 % noise, B1, and a mask (x, y, z)."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(1)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    blobs = gaussian_filter(rng.normal(size=SHAPE), 1.5)
    r1 = np.where(blobs > np.quantile(blobs, 0.6), 1.15, np.where(blobs > np.quantile(blobs, 0.1), 0.72, 0.3))
    field = np.exp(0.1 * x - 0.12 * (x**2 + y**2) + 0.05 * z * y)
    return r1 * (1 + 0.03 * rng.normal(size=SHAPE)), field, x**2 + y**2 + z**2 < 0.9


WITHOUT_MAP = pytest.mark.parametrize(
    ("method", "params"), [(minimum_entropy, EntropyParams), (sharpening, SharpeningParams)]
)


@WITHOUT_MAP
def test_the_field_is_recovered_without_a_map_up_to_its_mean(brain, method, params):
    r1, field, mask = brain
    found = method(r1 / field**2, mask, grid_of(SHAPE), params(), device=DEVICE)
    error = np.log(found[mask] / field[mask])
    assert np.log(field[mask]).std() > 0.045
    assert error.std() < 0.01
    assert np.log(found[mask]).mean() == pytest.approx(0.0, abs=1e-4)
    assert not found[~mask].any()


@WITHOUT_MAP
def test_the_mean_is_a_convention(brain, method, params):
    r1, _, mask = brain
    one, other = (method(r1, mask, grid_of(SHAPE), params(mean=mean), device=DEVICE) for mean in (1.0, 0.9))
    np.testing.assert_allclose(other[mask], 0.9 * one[mask], rtol=1e-4)


def test_the_gradient_of_the_entropy_is_that_of_differences():
    rng = np.random.default_rng(2)
    logarithm = np.log(rng.choice([0.4, 0.8, 1.2], 4000) * (1 + 0.05 * rng.normal(size=4000)))
    columns, at = rng.normal(size=(4, 4000)), 0.02 * rng.normal(size=4)
    gradient = entropy(at, logarithm, columns)[1]
    for k in range(4):
        step = np.zeros(4)
        step[k] = 1e-4
        change = entropy(at + step, logarithm, columns)[0] - entropy(at - step, logarithm, columns)[0]
        assert change / 2e-4 == pytest.approx(gradient[k], rel=0.05, abs=2e-3)


@WITHOUT_MAP
def test_a_small_mask_is_refused(method, params):
    mask = np.zeros(SHAPE, bool)
    mask[:3, :3, :3] = True
    with pytest.raises(InputError, match="a field of order 3 needs 400"):
        method(np.ones(SHAPE), mask, grid_of(SHAPE), params(), device=DEVICE)


@WITHOUT_MAP
def test_an_even_rate_leaves_an_even_field(method, params):
    shape = (12, 12, 12)
    found = method(np.ones(shape), np.ones(shape, bool), grid_of(shape), params(order=2), device=DEVICE)
    np.testing.assert_allclose(found, 1.0, atol=1e-3)


def test_two_repetition_times_give_the_flip_angle():
    rng = np.random.default_rng(3)
    shape = (7, 8, 9)
    field, size = rng.uniform(0.6, 1.4, shape), rng.uniform(100, 900, shape)
    cosine, n = np.cos(np.radians(55.0) * field), 6.0
    long = size * (1 + n * cosine) / (n + cosine)
    mask = np.ones(shape, bool)
    mask[0] = False
    found = afi(size, long, mask, grid_of(shape), AfiParams(ratio=n, flip_angle=55.0), device=DEVICE)
    np.testing.assert_allclose(found[mask], field[mask], rtol=2e-4)
    assert not found[~mask].any()


def test_twice_the_angle_gives_the_flip_angle():
    rng = np.random.default_rng(4)
    shape = (7, 8, 9)
    field, size = rng.uniform(0.6, 1.4, shape), rng.uniform(100, 900, shape)
    angle = np.radians(60.0) * field
    images = size * np.sin(angle), size * np.sin(2 * angle)
    mask = np.ones(shape, bool)
    found = double_angle(*images, mask, grid_of(shape), DoubleAngleParams(flip_angle=60.0), device=DEVICE)
    np.testing.assert_allclose(found, field, rtol=2e-4)


def test_voxels_without_solution_are_zero():
    shape = (4, 4, 4)
    mask = np.ones(shape, bool)
    first, second = np.full(shape, 100.0), np.full(shape, 50.0)
    first[0], second[1], second[2] = 0.0, 250.0, 600.0
    for found in (
        afi(first, second, mask, grid_of(shape), AfiParams(), device=DEVICE),
        double_angle(first, second, mask, grid_of(shape), DoubleAngleParams(), device=DEVICE),
    ):
        assert not found[:3].any()
        assert (found[3] > 0).all()
