from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.phase.weighted_fit import WeightedFitParams, weighted_fit
from tests.stages.gre import DEVICE, TWO_PI, grid_of

GAMMA = 42.576e6
B0 = 2.89


def fit(unwrapped, magnitude, times, mask=None, offset=False):
    mask = np.ones(unwrapped.shape[:3], bool) if mask is None else mask
    grid = grid_of(mask.shape, field_strength=B0)
    return weighted_fit(
        unwrapped, magnitude, mask, times, grid, WeightedFitParams(offset=offset), device=DEVICE
    )


def phase_of(ppm, times, offset=0.0):
    return (TWO_PI * GAMMA * B0 * 1e-6 * ppm[..., None] * np.asarray(times) + offset).astype(np.float32)


MANY = [(0.004, 0.011), (0.003, 0.004, 0.0195), tuple(np.arange(1, 13) * 3e-3)]


@pytest.mark.parametrize(
    ("times", "offset"), [((0.02,), False), *((t, o) for t in MANY for o in (False, True))]
)
def test_noise_free_field_is_recovered(times, offset):
    rng = np.random.default_rng(len(times))
    ppm = rng.normal(0, 0.3, (7, 9, 11))
    magnitude = rng.uniform(0.2, 900, (*ppm.shape, len(times))).astype(np.float32)
    result = fit(phase_of(ppm, times, 1.3 if offset else 0.0), magnitude, times, offset=offset)
    np.testing.assert_allclose(result.total_field, ppm, atol=2e-6, rtol=3e-6)
    assert np.isfinite(result.noise).all()


@pytest.mark.parametrize("offset", [False, True])
def test_field_equals_numpys_weighted_least_squares(offset):
    rng = np.random.default_rng(8)
    times = (0.004, 0.01, 0.013, 0.024)
    unwrapped = rng.normal(0, 3, (3, 4, 5, 4)).astype(np.float32)
    magnitude = rng.uniform(1, 5, unwrapped.shape).astype(np.float32)
    result = fit(unwrapped, magnitude, times, offset=offset).total_field
    for index in np.ndindex(3, 4, 5):
        design = np.stack([times, np.ones(4)], axis=1)[:, : 1 + offset]
        w = magnitude[index].astype(float)
        slope = np.linalg.lstsq(design * w[:, None], unwrapped[index] * w, rcond=None)[0][0]
        assert result[index] == pytest.approx(slope / (TWO_PI * GAMMA * B0) * 1e6, rel=2e-5, abs=1e-5)


@pytest.mark.parametrize("offset", [False, True])
def test_noise_map_is_the_standard_deviation_over_repetitions(offset):
    rng = np.random.default_rng(5)
    times = np.array([0.004, 0.012, 0.018, 0.025])
    shape = (40, 40, 40)
    rate = np.where(np.arange(40) < 20, 15.0, 60.0)[:, None, None, None]
    truth = np.exp(-rate * times) * np.ones((*shape, 1))
    signal = truth + 0.02 * (rng.standard_normal(truth.shape) + 1j * rng.standard_normal(truth.shape))
    result = fit(
        np.angle(signal).astype(np.float32), np.abs(signal).astype(np.float32), tuple(times), offset=offset
    )
    for half in (slice(0, 20), slice(20, 40)):
        assert result.noise[half].mean() == pytest.approx(result.total_field[half].std(), rel=0.04)
    assert result.noise[20:].mean() > 1.1 * result.noise[:20].mean()


def test_optimal_weights_give_less_noise_than_equal_ones():
    rng = np.random.default_rng(12)
    times = np.array([0.004, 0.02, 0.04])
    signal = np.exp(-40 * times) * np.ones((30, 30, 30, 1))
    signal = signal + 0.03 * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    phase, magnitude = np.angle(signal).astype(np.float32), np.abs(signal).astype(np.float32)
    weighted = fit(phase, magnitude, tuple(times)).total_field.std()
    equal = fit(phase, np.ones_like(magnitude), tuple(times)).total_field.std()
    assert weighted < 0.8 * equal


@pytest.mark.parametrize("times", [(0.02,), (0.004, 0.011)])
def test_noise_below_three_echoes_is_found_from_neighbours(times):
    rng = np.random.default_rng(3)
    shape, sigma = (40, 36, 32), 0.02
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    ppm = 0.4 * x * y + 0.3 * z**3 + 0.05 * np.sin(6 * x)
    size = (1 + 0.5 * y)[..., None] * np.exp(-25 * np.asarray(times))
    noise = sigma * (rng.standard_normal(size.shape) + 1j * rng.standard_normal(size.shape))
    magnitude = np.abs(size + noise).astype(np.float32)
    unwrapped = phase_of(ppm, times) + np.angle(size + noise)
    mask = x**2 + y**2 + z**2 < 0.9
    magnitude[~mask] = np.nan
    result = fit(unwrapped.astype(np.float32), magnitude, times, mask)
    spread = sigma / np.sqrt((size**2 * np.asarray(times) ** 2).sum(axis=-1)) / (TWO_PI * GAMMA * B0) * 1e6
    np.testing.assert_allclose(np.median((result.noise / spread)[mask]), 1.0, atol=0.04)
    error = (result.total_field - ppm) / np.where(mask, result.noise, 1)
    assert error[mask].std() == pytest.approx(1.0, abs=0.04)


def test_noise_is_relative_where_one_or_two_echoes_have_too_few_voxels():
    rng = np.random.default_rng(3)
    times = (0.004, 0.011)
    magnitude = rng.uniform(1, 2, (5, 5, 4, 2)).astype(np.float32)
    result = fit(np.zeros_like(magnitude), magnitude, times)
    information = (magnitude.astype(float) ** 2 * np.asarray(times) ** 2).sum(axis=-1)
    expected = 1 / np.sqrt(information)
    np.testing.assert_allclose(result.noise, expected / np.median(expected), rtol=1e-5)


def test_units_of_the_magnitude_do_not_matter():
    rng = np.random.default_rng(4)
    times = (0.004, 0.009, 0.02)
    magnitude = rng.uniform(0.5, 2, (8, 8, 8, 3)).astype(np.float32)
    unwrapped = rng.normal(0, 1, magnitude.shape).astype(np.float32)
    plain = fit(unwrapped, magnitude, times)
    for factor in (1e-6, 1e7):
        scaled = fit(unwrapped, magnitude * np.float32(factor), times)
        np.testing.assert_allclose(scaled.total_field, plain.total_field, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(scaled.noise, plain.noise, rtol=1e-5)


def test_voxels_without_signal_stay_finite_and_the_outside_is_zero():
    rng = np.random.default_rng(7)
    times = (0.004, 0.009, 0.02)
    magnitude = rng.uniform(0.5, 2, (8, 8, 8, 3)).astype(np.float32)
    unwrapped = rng.normal(0, 1, magnitude.shape).astype(np.float32)
    magnitude[2, 2, 2] = 0
    mask = np.ones((8, 8, 8), bool)
    mask[0] = False
    plain = fit(unwrapped, magnitude, times, mask)
    magnitude[0], unwrapped[0] = np.nan, np.inf
    result = fit(unwrapped, magnitude, times, mask)
    for a, b in zip(plain, result, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(b).all()
        assert (b[0] == 0).all()
    assert result.noise[2, 2, 2] > 100 * np.median(result.noise[mask])


def test_bad_inputs_are_named():
    phase = np.zeros((4, 4, 4, 1), np.float32)
    with pytest.raises(InputError, match="one echo does not determine a phase offset"):
        fit(phase, phase + 1, (0.01,), offset=True)
    with pytest.raises(InputError, match="magnitude: the median of the first echo in the mask is 0"):
        fit(phase, phase, (0.01,))
    grid = Grid.from_voxel_size((4, 4, 4), (1, 1, 1))
    with pytest.raises(InputError, match="MagneticFieldStrength"):
        weighted_fit(
            phase, phase + 1, np.ones((4, 4, 4), bool), (0.01,), grid, WeightedFitParams(), device=DEVICE
        )


def test_offset_that_was_left_is_no_noise():
    rng = np.random.default_rng(6)
    times = np.array([0.004, 0.012, 0.018, 0.025])
    shape = (24, 24, 24)
    ppm = rng.normal(0, 0.05, shape)
    left = 0.1 * np.sin(np.arange(24) / 3)[:, None, None, None]
    signal = np.exp(-20 * times) * np.exp(1j * (phase_of(ppm, times).astype(float) + left))
    signal = signal + 0.02 * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    magnitude = np.abs(signal).astype(np.float32)
    unwrapped = phase_of(ppm, times) + np.angle(signal * np.exp(-1j * phase_of(ppm, times).astype(float)))
    found = fit(unwrapped.astype(np.float32), magnitude, tuple(times)).noise
    expected = 0.02 / np.sqrt((np.exp(-40 * times) * times**2).sum()) / (TWO_PI * GAMMA * B0 * 1e-6)
    assert np.median(found) == pytest.approx(expected, rel=0.04)
