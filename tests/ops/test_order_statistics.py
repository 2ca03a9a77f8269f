"""Medians and percentiles, against NumPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.ops.order_statistics import median, medians, percentile


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 101, 4000])
def test_values_are_those_of_numpy(device, rng, count, dtype):
    values = rng.gamma(2.0, 1.0, count).astype(dtype)
    placed = device.asarray(values, dtype)
    assert median(placed) == float(np.median(values))
    ordered = device.xp.sort(placed)
    for q in (0.0, 33.3, 50.0, 95.0, 99.9, 100.0):
        assert percentile(placed, q) == pytest.approx(float(np.percentile(values, q)), rel=1e-6)
        assert percentile(ordered, q, ordered=True) == percentile(placed, q)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 11])
def test_medians_along_an_axis_are_those_of_numpy(rng, count, dtype):
    values = rng.normal(size=(count, 5, 4)).astype(dtype)
    values[count // 2, 2, 1] = np.nan
    before = values.copy()
    for axis in range(3):
        expected = np.median(values, axis=axis)
        found = medians(values, axis)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(values, before)


def test_shape_and_order_of_the_values_do_not_matter(device, rng):
    values = device.asarray(rng.normal(size=(4, 5, 6)))
    assert median(values) == median(values[::-1].reshape(-1))
    assert percentile(values, 20.0) == percentile(device.xp.sort(values.reshape(-1)), 20.0)


def test_given_values_are_left_alone(device, rng):
    values = device.asarray(rng.normal(size=50))
    before = to_numpy(values).copy()
    median(values)
    percentile(values, 95.0)
    np.testing.assert_array_equal(to_numpy(values), before)


@pytest.mark.parametrize("count", [1, 2, 101, 4000])
def test_values_that_may_be_overwritten_give_the_same_median(device, rng, count):
    values = rng.normal(size=count).astype(np.float32)
    assert median(device.asarray(values.copy()), overwrite=True) == float(np.median(values))


def test_a_value_that_is_nan_and_an_empty_array_give_nan(device):
    values = device.asarray(np.array([1.0, np.nan, 3.0]))
    assert math.isnan(median(values))
    assert math.isnan(percentile(values, 50.0))
    assert math.isnan(median(values[:0]))
    assert math.isnan(percentile(values[:0], 50.0))
