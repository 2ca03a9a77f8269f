"""Directions whose length carries the b-value."""

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.io import load_dwi
from qsmengine.phantom.scheme import repulsion_directions

TRUE_B = np.array([0.0, 0.0, *[1000.0] * 20, *[2000.0] * 20])
WEIGHTED = TRUE_B > 0


@pytest.fixture
def unit():
    directions = np.array(repulsion_directions(20))
    return np.concatenate([np.zeros((2, 3)), directions, directions])


@pytest.fixture
def series(save, tmp_path, rng, unit):
    """Two tensors with kurtosis, measured at TRUE_B; the table is what the test makes it."""

    def _series(b_values, b_vectors, true_b=TRUE_B):
        axis = np.array([[3.0, 1.0, 0.5], [0.3, -1.0, 2.0]])
        axis /= np.linalg.norm(axis, axis=1)[:, None]
        diffusivity = 0.4e-3 + 1.2e-3 * (axis @ unit.T) ** 2
        decay = -true_b * diffusivity + (true_b * diffusivity) ** 2 / 6 * 0.8
        signal = 1000 * np.exp(np.repeat(decay, 60, axis=0)).reshape(6, 5, 4, -1)
        signal = np.abs(signal + rng.normal(0, 5, signal.shape)).astype(np.float32)
        np.savetxt(tmp_path / "d.bval", b_values[None], "%g")
        np.savetxt(tmp_path / "d.bvec", b_vectors.T, "%.8f")
        return load_dwi(save("d.nii.gz", signal))

    return _series


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_b_is_scaled_where_the_image_follows_the_lengths(series, unit, power):
    nominal = np.where(WEIGHTED, 2000.0, 0.0)
    loaded = series(nominal, unit * (TRUE_B / 2000.0)[:, None] ** power)
    np.testing.assert_allclose(loaded.series.b_values, TRUE_B, rtol=1e-5)
    np.testing.assert_allclose(loaded.series.b_vectors, unit, atol=1e-6)
    assert "lengths encode the b-value" in loaded.notes[0]
    assert "1000, 2000 s/mm^2" in loaded.notes[0]
    assert len(loaded.notes) == 1


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_b_that_follows_the_lengths_already_is_kept(series, unit, power):
    loaded = series(TRUE_B, unit * (TRUE_B / 2000.0)[:, None] ** power)
    np.testing.assert_array_equal(loaded.series.b_values, TRUE_B)
    assert "b kept" in loaded.notes[0]


def test_lengths_that_mean_nothing_leave_b_alone(series, unit, rng):
    true_b = np.where(WEIGHTED, 1000.0, 0.0)
    loaded = series(true_b, unit * np.where(np.arange(len(unit)) < 22, 0.6, 1.0)[:, None], true_b)
    np.testing.assert_array_equal(loaded.series.b_values, true_b)
    assert "b kept" in loaded.notes[0]


def test_lengths_that_the_image_cannot_judge_are_refused(series, unit):
    nominal = np.full(len(TRUE_B), 2000.0)
    unit[:2] = unit[2:4]
    with pytest.raises(
        InputError, match=r"d\.bvec: bvec: the directions' lengths, 0\.5 to 1 .* does not decide"
    ):
        series(nominal, unit * np.maximum(TRUE_B / 2000.0, 0.5)[:, None])
