"""The unweighted image of a series."""

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.data import DwiSeries
from qsmengine.grid import Grid
from qsmengine.stages.diffusion.planes import volume_median


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("volumes", [[0, 1, 2], [2, 3], [4], [0, 2, 5]])
def test_median_of_volumes_in_a_row_and_apart(device, rng, volumes, order):
    signal = np.asarray(rng.normal(2.0, 1.0, (5, 4, 3, 6)), np.float32, order=order)
    table = np.zeros(6), np.zeros((6, 3))
    series = DwiSeries(device.asarray(signal), *table, Grid.from_voxel_size((5, 4, 3), (2.0, 2.0, 2.0)))
    if order == "F" and device.kind == "cpu":
        series = DwiSeries(signal, *table, series.grid)
    median, positive = volume_median(series, np.array(volumes), device)
    np.testing.assert_allclose(to_numpy(median), np.median(signal[..., volumes], axis=3), rtol=1e-6)
    assert np.array_equal(to_numpy(positive), (signal[..., volumes] > 0).all(axis=3))


def test_the_median_leaves_the_series_as_it_was(device, rng):
    signal = np.asfortranarray(rng.normal(2.0, 1.0, (5, 4, 3, 6)), np.float32)
    given = signal if device.kind == "cpu" else device.asarray(signal)
    series = DwiSeries(given, np.zeros(6), np.zeros((6, 3)), Grid.from_voxel_size((5, 4, 3), (2.0, 2.0, 2.0)))
    before = signal.copy()
    volume_median(series, np.arange(3), device)
    assert np.array_equal(to_numpy(series.signal), before)
