"""The rim of the mask: steep fields lose weight, chi stays near that of the voxels beneath."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.stages.single_step.rim import limit_rim, steepness, trust, weight_of_steepness

SHAPE = (12, 11, 10)


def ball(radius):
    centred = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SHAPE], indexing="ij"))
    return (centred**2).sum(0) < radius**2


def plane(slopes):
    return sum(s * x for s, x in zip(slopes, np.indices(SHAPE), strict=True))


def test_steepness_of_a_plane_is_its_slope_per_voxel(device, rng):
    slopes = rng.uniform(-1, 1, 3)
    found = to_numpy(steepness(device.asarray(plane(slopes)), device.asarray(np.ones(SHAPE), bool)))
    assert found == pytest.approx(np.linalg.norm(slopes), rel=1e-4)


def test_voxels_outside_the_mask_do_not_make_a_field_steep(device, rng):
    inside = ball(4)
    field = np.where(inside, 0.3, rng.normal(size=SHAPE))
    assert not to_numpy(steepness(device.asarray(field), device.asarray(inside, bool)))[inside].any()


def test_error_adds_to_the_noise_in_quadrature(device, rng):
    slopes, noise, share = rng.uniform(0.01, 0.02, 3), 1e-3, 0.07
    weight = device.asarray(np.full(SHAPE, rng.uniform(1, 9)))
    inside = device.asarray(np.ones(SHAPE), bool)
    found = to_numpy(weight_of_steepness(weight, device.asarray(plane(slopes)), inside, noise, share))
    expected = noise / np.hypot(noise, share * np.linalg.norm(slopes))
    assert found == pytest.approx(expected, rel=1e-3)


def test_unit_of_the_weight_does_not_matter_and_flat_fields_change_nothing(device, rng):
    weight, field = rng.uniform(1, 2, SHAPE), rng.normal(size=SHAPE)
    inside = device.asarray(ball(4), bool)
    results = [
        to_numpy(weight_of_steepness(device.asarray(s * weight), device.asarray(field), inside, 0.1, 0.07))
        for s in (1, 1000)
    ]
    assert results[1] == pytest.approx(results[0], rel=1e-4)
    flat = to_numpy(weight_of_steepness(device.asarray(weight), device.zeros(SHAPE), inside, 0.0, 0.07))
    assert flat == pytest.approx(weight, rel=1e-6)


def test_without_a_known_noise_the_typical_error_takes_its_place(device, rng):
    field = device.asarray(plane((0.02, 0.0, 0.0)))
    weight, inside = device.asarray(np.ones(SHAPE)), device.asarray(np.ones(SHAPE), bool)
    found = to_numpy(weight_of_steepness(weight, field, inside, 0.0, 0.07))
    assert found == pytest.approx(np.sqrt(0.5), rel=1e-4)


def test_trust_is_one_from_the_median_on(device, rng):
    weight = rng.uniform(0.1, 3, SHAPE)
    share = to_numpy(trust(device.asarray(weight), device.asarray(np.ones(SHAPE), bool)))
    assert share == pytest.approx(np.minimum(weight / np.median(weight), 1), rel=1e-4)
    assert not to_numpy(trust(device.zeros(SHAPE), device.asarray(np.ones(SHAPE), bool))).any()


def test_chi_of_the_rim_stays_near_the_mean_beneath_and_the_inside_is_unchanged(device, rng):
    mask = ball(4.9)
    chi = np.where(mask, 0.2 + 0.001 * rng.normal(size=SHAPE), 0)
    deep = ball(2)
    outliers = mask & ~ball(4.2)
    chi[outliers] += rng.choice([-9.0, 9.0], int(outliers.sum()))
    limit = device.asarray(np.full(SHAPE, 0.03))
    found = to_numpy(limit_rim(device.asarray(chi), device.asarray(mask, bool), 2.0, limit, (1, 1, 1), device))
    assert found[deep] == pytest.approx(chi[deep], abs=1e-6)
    assert np.abs(found[outliers] - 0.2).max() <= 0.032
    assert np.abs(found[outliers] - 0.2).min() >= 0.028


def test_the_rim_lies_at_the_ends_of_the_array_too(device, rng):
    mask = np.zeros((14, 13, 12), bool)
    mask[:11, :10, :9] = True
    chi = np.where(mask, 0.5 * rng.standard_normal(mask.shape), 0).astype(np.float32)
    limit = device.zeros(mask.shape) + np.float32(0.01)

    def limited(image, inside):
        array = device.asarray(image)
        return to_numpy(limit_rim(array, device.asarray(inside, bool), 2.5, limit, (1.0, 1.0, 1.0), device))

    found, shifted = limited(chi, mask), limited(np.roll(chi, 2, (0, 1, 2)), np.roll(mask, 2, (0, 1, 2)))
    assert np.abs(np.roll(shifted, -2, (0, 1, 2)) - found).max() <= 1e-5
